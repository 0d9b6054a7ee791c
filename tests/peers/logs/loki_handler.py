"""Logs one line through python-logging-loki: URL, key, line."""

import logging
import sys

import logging_loki  # type: ignore[import-untyped]  # it has no types

url, key, line = sys.argv[1:]
handler = logging_loki.LokiHandler(url=url, tags={"job": "loki-peer"}, auth=("peer", key), version="1")
logger = logging.getLogger("peer")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
logger.info(line)
