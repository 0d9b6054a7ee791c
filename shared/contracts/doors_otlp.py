"""The door of OpenTelemetry: OTLP/HTTP logs, from SDKs, agents and collectors.

The messages are OTLP's own (opentelemetry-proto, collector/logs/v1), so bodies are read by the door itself.
"""

from __future__ import annotations

from shared.contracts.constants import SIEM_WRITE, Endpoint
from shared.errors import (
    CLICKHOUSE_UNAVAILABLE,
    MALFORMED_REQUEST,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
)

OTLP_LOGS = Endpoint(
    "POST",
    "/v1/logs",
    SIEM_WRITE,
    service="siem",
    summary="Export log records by OTLP/HTTP",
    body=bytes,
    errors=(
        MALFORMED_REQUEST,
        RATE_LIMITED,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        UNAVAILABLE,
        CLICKHOUSE_UNAVAILABLE,
    ),
    tag="Doors for shippers",
    consumes=("application/x-protobuf", "application/json"),
    max_body=32 * 1024 * 1024,
    timeout_seconds=120.0,
)
