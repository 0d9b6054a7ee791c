"""The door that Loki's clients knock at: promtail, Alloy, Fluent Bit and the handlers that write to Loki.

The shapes are Loki's own (its HTTP API, "Ingest logs"), so bodies are read by the door itself and not by a struct.
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

#: Bytes of a body, packed or not.
LOKI_MAX_BODY = 32 * 1024 * 1024

LOKI_PUSH = Endpoint(
    "POST",
    "/loki/api/v1/push",
    SIEM_WRITE,
    service="siem",
    summary="Push log streams as Loki takes them",
    body=bytes,
    status=204,
    errors=(
        MALFORMED_REQUEST,
        RATE_LIMITED,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        UNAVAILABLE,
        CLICKHOUSE_UNAVAILABLE,
    ),
    tag="Doors for shippers",
    consumes=("application/json", "application/x-protobuf"),
    max_body=LOKI_MAX_BODY,
    timeout_seconds=120.0,
)
