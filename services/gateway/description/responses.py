"""What an endpoint answers, as OpenAPI has it: its own answer, and every refusal with an example. Pure.

Refusals of Aurora's own paths are shared components, one for each set of codes; those of the doors are told by the same
function that tells them to the shippers.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from services.gateway.description.schemas import REFERENCE, Json, schema_of_example
from shared.contracts.constants import PUBLIC, Endpoint, ErrorCode
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    CONFLICT,
    DEADLINE_EXCEEDED,
    INSUFFICIENT_PERMISSIONS,
    INTERNAL,
    INVALID_CREDENTIALS,
    MALFORMED_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION,
    AuroraError,
)
from shared.http_dialects import is_foreign, refusal_of

AnyEndpoint = Endpoint[Any, Any, Any]
_MOMENT = "2026-06-14T12:00:00.000Z"
_REQUEST_ID = "550e8400-e29b-41d4-a716-446655440000"
_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}

#: Name -> (description, schema, whether every response has it).
_HEADERS: Mapping[str, tuple[str, Json, bool]] = {
    "X-API-Version": ("Version of this API", {"type": "string", "const": "1.0"}, True),
    "X-Request-ID": ("Id of this request: yours if you sent a valid one", _TEXT, True),
    "X-AuroraSOC-Mode": ("Mode of operation", {"enum": ["dry_run", "monitor", "active"]}, True),
    "X-RateLimit-Limit": ("Requests per minute", _COUNT, False),
    "X-RateLimit-Remaining": ("Requests left in this minute", _COUNT, False),
    "X-RateLimit-Reset": ("End of this minute, in seconds since 1970", _COUNT, False),
    "RateLimit": ("The same, as the IETF writes it: r is left, t are seconds", _TEXT, False),
    "RateLimit-Policy": ("The limit q in a window of w seconds", _TEXT, False),
    "Retry-After": ("Seconds to wait before trying again", {"type": "integer", "minimum": 1}, False),
    "WWW-Authenticate": ("How to say who asks", _TEXT, False),
    "ETag": ("The revision of what is answered, for If-Match", _TEXT, False),
    "Location": ("Where to go on", _TEXT, False),
    "Idempotency-Replayed": ("`true` when the answer is that of an earlier request with the same key", _TEXT, False),
    "Deprecation": ("Since when, or that, this route is deprecated", _TEXT, False),
    "Sunset": ("When this route will be gone", _TEXT, False),
    "Link": ("What to use instead", _TEXT, False),
}
_EVERY_RESPONSE = ("X-API-Version", "X-Request-ID", "X-AuroraSOC-Mode")
_COUNTED = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy")

RCA_ERROR: Json = {
    "type": "object",
    "description": "Every refused request outside /api/v1.",
    "properties": {"error": _TEXT, "code": _TEXT},
    "required": ["error", "code"],
}
PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457, for whoever sends Accept: application/problem+json.",
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "instance": _TEXT,
        "code": _TEXT,
        "detail": _TEXT,
        "errors": {},
        "request_id": _TEXT,
    },
    "required": ["type", "title", "status", "instance", "code", "detail", "errors", "request_id"],
}


def headers() -> Json:
    """The header components."""
    return {
        name: {"description": text, "schema": schema, **({"required": True} if always else {})}
        for name, (text, schema, always) in _HEADERS.items()
    }


def errors_of(endpoint: AnyEndpoint, *, proxied: bool) -> list[ErrorCode]:
    """Every code this endpoint may refuse with: its own, and those that follow from what it is."""
    codes = [*endpoint.errors, MALFORMED_REQUEST, INTERNAL]
    if endpoint.permission != PUBLIC:
        # A page of somebody else's may do nothing by a browser's cookie, whatever the permission.
        codes += [AUTHENTICATION_REQUIRED, TOKEN_EXPIRED, INVALID_CREDENTIALS, INSUFFICIENT_PERMISSIONS, UNAVAILABLE]
    if endpoint.query is not None or endpoint.body not in (None, bytes):
        codes.append(VALIDATION)
    if endpoint.body is not None:
        codes += [PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE]
    if "{" in endpoint.path:
        codes.append(NOT_FOUND)
    if endpoint.keyed:
        codes += [CONFLICT, VALIDATION, PAYLOAD_TOO_LARGE]
    if proxied:
        codes += [PAYLOAD_TOO_LARGE, UNAVAILABLE, DEADLINE_EXCEEDED]
    if endpoint.tag != "Health":
        codes.append(RATE_LIMITED)
    return sorted(set(codes), key=lambda code: code.code)


def answers(endpoint: AnyEndpoint, schemas: Mapping[Any, Json]) -> Json:
    """The endpoint's own answers by status."""
    if endpoint.method == "WS":
        frame = f"Switching to WebSocket; each text frame is {schemas[endpoint.returns]['$ref']}"
        return {"101": {"description": frame, "headers": _references(_EVERY_RESPONSE)}}
    return {str(status): _answer(endpoint, status, schemas) for status in (endpoint.status, *endpoint.also)}


def _answer(endpoint: AnyEndpoint, status: int, schemas: Mapping[Any, Json]) -> Json:
    names = [*_EVERY_RESPONSE, *(_COUNTED if endpoint.tag != "Health" else ())]
    if 300 <= status < 400:
        names.append("Location")
    if endpoint.versioned:
        names.append("ETag")
    if endpoint.deprecated:
        names += ["Deprecation", "Sunset", "Link"]
    if endpoint.keyed:
        names.append("Idempotency-Replayed")
    response: Json = {"description": endpoint.summary, "headers": _references(names)}
    if endpoint.returns is not None and status != 204 and not 300 <= status < 400:
        schema = _TEXT if endpoint.returns is str else schemas[endpoint.returns]
        response["content"] = {endpoint.produces: {"schema": schema}}
    return response


def refusals(endpoint: AnyEndpoint, errors: Iterable[ErrorCode], *, in_envelope: bool, components: Json) -> Json:
    """The endpoint's refusals by status. Shared ones are added to `components`."""
    if is_foreign(endpoint.path):
        return _foreign(endpoint, errors)
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    if not in_envelope:
        # The RCA page knows no 422: see shared/http_errors.py.
        errors = sorted({MALFORMED_REQUEST if code is VALIDATION else code for code in errors}, key=lambda c: c.code)
    for code in errors:
        by_status[code.status].append(code)
    told: Json = {}
    for status, codes in sorted(by_status.items()):
        name = ("Refused" if in_envelope else "RcaRefused") + "_".join(
            code.code.removeprefix("AURORA-") for code in codes
        )
        components.setdefault(name, _refusal(codes, in_envelope))
        told[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return told


def _refusal(codes: list[ErrorCode], in_envelope: bool) -> Json:
    own = REFERENCE.format(name="ErrorEnvelope" if in_envelope else "RcaError")
    examples = {code.code: {"summary": code.message, "value": _example(code, in_envelope)} for code in codes}
    problem = {"schema": {"$ref": REFERENCE.format(name="Problem")}}
    return {
        "description": _sentence(codes),
        "headers": _references(_refusal_headers(codes)),
        "content": {
            "application/json": {"schema": {"$ref": own}, "examples": examples},
            "application/problem+json": problem,
        },
    }


def _refusal_headers(codes: Iterable[ErrorCode]) -> list[str]:
    names = [*_EVERY_RESPONSE, *_COUNTED]
    if any(code.retryable for code in codes):
        names.append("Retry-After")
    if any(code.status == 401 for code in codes):
        names.append("WWW-Authenticate")
    return names


def _example(code: ErrorCode, in_envelope: bool) -> Json:
    if not in_envelope:
        return {"error": code.message, "code": code.code}
    detail = [{"path": "query.limit", "message": "Expected `int` >= 1"}] if code is VALIDATION else None
    inside = {"code": code.code, "message": code.message, "detail": detail}
    return {"error": {**inside, "timestamp": _MOMENT, "request_id": _REQUEST_ID}}


def _foreign(endpoint: AnyEndpoint, errors: Iterable[ErrorCode]) -> Json:
    """Refusals as the product of a door tells them: status, form and example from what is really sent."""
    path = re.sub(r"\{(\w+)\}", r"\1", endpoint.path)
    told: Json = {}
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in errors:
        for media_type in dict.fromkeys((*endpoint.consumes, "")):
            refusal = refusal_of(path, media_type, AuroraError(code))
            if refusal is None:
                continue
            response = told.setdefault(str(refusal.status), {"content": {}})
            if code not in by_status[refusal.status]:
                by_status[refusal.status].append(code)
            if endpoint.method != "HEAD":
                response["content"].setdefault(refusal.content_type, _told(refusal.content_type, refusal.body))
    for status, codes in by_status.items():
        response = told[str(status)]
        response["description"] = _sentence(codes)
        response["headers"] = _references(_refusal_headers(codes))
        if not response["content"]:
            del response["content"]
    return dict(sorted(told.items()))


def _told(content_type: str, body: bytes) -> Json:
    if content_type == "application/json":
        value = orjson.loads(body)
        return {"schema": schema_of_example(value), "example": value}
    return {"schema": {} if content_type.startswith("application/") else _TEXT}


def _sentence(codes: Iterable[ErrorCode]) -> str:
    return ", ".join(f"{code.code} {code.message}" for code in codes)


def _references(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
