"""Logs one line through OpenTelemetry's SDK and its OTLP/HTTP exporter: endpoint, key, encoding, line."""

import logging
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

endpoint, key, line = sys.argv[1:]
provider = LoggerProvider(resource=Resource.create({"service.name": "otel-peer", "host.name": "web01"}))
exporter = OTLPLogExporter(endpoint, headers={"X-API-Key": key}, compression=Compression.Gzip)
provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
logger = logging.getLogger("peer")
logger.setLevel(logging.INFO)
logger.addHandler(LoggingHandler(logger_provider=provider))
logger.info(line)
provider.shutdown()
