"""Refusals in the words of other products: each door that unmodified clients use answers as its product would.

One row for each product: which paths are its, and how it tells an AuroraError. The AURORA code goes along in the header
X-Aurora-Error. To add a product, write its function and its row. This file knows no handler and no service.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shared.contracts.wire import encode
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    INTERNAL,
    MALFORMED_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    UNAVAILABLE,
    AuroraError,
)

#: The AURORA code of a refusal, beside a body that has no place for it.
CODE_HEADER = "X-Aurora-Error"
_PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as one product tells it. `status` is what its clients expect, mostly the code's own."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def refusal_of(path: str, request_type: str, error: AuroraError) -> Refusal | None:
    """How the product that owns `path` tells `error`; None for Aurora's own paths. `request_type` is a media type."""
    for pattern, tell in _DIALECTS:
        if pattern.match(path):
            refusal = tell(error, request_type)
            refusal.headers[CODE_HEADER] = error.code.code
            return refusal
    return None


def _sentence(error: AuroraError) -> str:
    """The message, with what is wrong with the first field where that is known."""
    match error.detail:
        case [{"path": path, "message": message}, *_]:
            return f"{error.message}: {path} {message}"
    return error.message


def _elasticsearch(error: AuroraError, _request_type: str) -> Refusal:
    status = error.code.status
    kind = _ELASTICSEARCH_TYPES.get(status, "illegal_argument_exception" if status < 500 else "exception")
    cause = {"type": kind, "reason": _sentence(error)}
    headers = {"X-Elastic-Product": "Elasticsearch"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="aurora", charset="UTF-8"'
    return Refusal(status, encode({"error": {"root_cause": [cause], **cause}, "status": status}), headers=headers)


_ELASTICSEARCH_TYPES = {
    401: "security_exception",
    403: "security_exception",
    404: "resource_not_found_exception",
    413: "content_too_long_exception",
    415: "media_type_header_exception",
    429: "es_rejected_execution_exception",
    503: "unavailable_shards_exception",
    504: "process_cluster_event_timeout_exception",
}


def _splunk(error: AuroraError, _request_type: str) -> Refusal:
    text, number = _SPLUNK_CODES.get(error.code.code, ("Internal server error", 8))
    status = error.code.status
    if error.code in (MALFORMED_REQUEST, NOT_FOUND):
        text = _sentence(error)
    if error.code is RATE_LIMITED:
        status = 503  # "Server is busy": what HEC's clients send again after
    elif number == 8 and status < 500:
        text, number = _sentence(error), 6
    return Refusal(status, encode({"text": text, "code": number}))


#: The table of HEC's own codes: "Troubleshoot HTTP Event Collector" of Splunk's manual.
_SPLUNK_CODES = {
    AUTHENTICATION_REQUIRED.code: ("Token is required", 2),
    "AURORA-4011": ("Invalid token", 4),
    "AURORA-4012": ("Invalid token", 4),
    "AURORA-4030": ("Invalid token: it lacks the scope siem:write", 4),
    MALFORMED_REQUEST.code: ("Invalid data format", 6),
    NOT_FOUND.code: ("Not found", 404),
    PAYLOAD_TOO_LARGE.code: ("Request body too large", 27),
    RATE_LIMITED.code: ("Server is busy", 9),
    UNAVAILABLE.code: ("Server is busy", 9),
    "AURORA-5032": ("Server is busy", 9),
    INTERNAL.code: ("Internal server error", 8),
}


def _loki(error: AuroraError, _request_type: str) -> Refusal:
    return Refusal(error.code.status, (_sentence(error) + "\n").encode(), "text/plain")


def _otlp(error: AuroraError, request_type: str) -> Refusal:
    status, number, text = error.code.status, _GRPC_CODES.get(error.code.status, 13), _sentence(error)
    if request_type != _PROTOBUF:
        return Refusal(status, encode({"code": number, "message": text}))
    message = text.encode()[:_LONGEST_STATUS]
    # google.rpc.Status: field 1 is the code, field 2 the message; a length beyond 127 takes two bytes.
    length = bytes([len(message)]) if len(message) < 128 else bytes([len(message) & 0x7F | 0x80, len(message) >> 7])
    return Refusal(status, b"\x08" + bytes([number]) + b"\x12" + length + message, _PROTOBUF)


def _mcp(error: AuroraError, _request_type: str) -> Refusal:
    data = {"code": error.code.code} | ({} if error.detail is None else {"detail": error.detail})
    told = {"code": error.code.rpc_code, "message": _sentence(error), "data": data}
    return Refusal(error.code.status, encode({"jsonrpc": "2.0", "id": None, "error": told}))


_LONGEST_STATUS = 1024
#: HTTP status -> google.rpc.Code.
_GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 3, 415: 3, 422: 3, 429: 8, 500: 13, 503: 14, 504: 4}

_DIALECTS: tuple[tuple[re.Pattern[str], Callable[[AuroraError, str], Refusal]], ...] = (
    (re.compile(r"/services/collector(/|$)"), _splunk),
    (re.compile(r"/loki/"), _loki),
    (re.compile(r"/v1/logs$"), _otlp),
    (re.compile(r"/mcp$"), _mcp),
    # Its own paths begin with an underscore, at the root or after the name of an index.
    (re.compile(r"/$|/_|/[^/]+/_(bulk|doc|create)(/|$)"), _elasticsearch),
)


def is_foreign(path: str) -> bool:
    """Whether refusals of this path come in another product's form."""
    return any(pattern.match(path) for pattern, _ in _DIALECTS)


def code_in(headers: Any) -> str:
    """The AURORA code that a refusal's headers tell, "" without one."""
    return str(headers.get(CODE_HEADER, ""))
