"""Logs one line through the handler that PyPI has for Splunk's HTTP Event Collector: host, port, key, line."""

import logging
import sys

from splunk_handler import SplunkHandler

host, port, key, line = sys.argv[1:]
handler = SplunkHandler(
    host, port, key, "main", protocol="http", hostname="web01", sourcetype="splunk-peer", flush_interval=0.1
)
logger = logging.getLogger("peer")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
logger.info(line)
logging.shutdown()
