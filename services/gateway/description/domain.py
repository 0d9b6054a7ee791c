"""OpenAPI 3.1 from the Endpoint table: nothing in it is written by hand, so it can't differ from what is served."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from shared.contracts.common import ErrorEnvelope
from shared.contracts.constants import AUTHENTICATED, PUBLIC, Endpoint, ErrorCode
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    CONFLICT,
    DEADLINE_EXCEEDED,
    INSUFFICIENT_PERMISSIONS,
    INTERNAL,
    INVALID_CREDENTIALS,
    MALFORMED_REQUEST,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION,
)

AnyEndpoint = Endpoint[Any, Any, Any]
Json = dict[str, Any]
_REF = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_KEYED = ("POST", "PATCH")
_MOMENT = "2026-06-14T12:00:00.000Z"
_EXAMPLE_ID = "550e8400-e29b-41d4-a716-446655440000"

_HEADERS: Json = {
    "X-API-Version": ("Version of this API", {"type": "string", "const": "1.0"}),
    "X-Request-ID": ("Id of this request: yours if you sent a valid one", {"type": "string"}),
    "X-AuroraSOC-Mode": ("Mode of operation", {"enum": ["dry_run", "monitor", "active"]}),
    "Retry-After": ("Seconds to wait before trying again", {"type": "integer"}),
}
_EVERY_RESPONSE = ("X-API-Version", "X-Request-ID", "X-AuroraSOC-Mode")
_PARAMETERS: Json = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Kept when it is 8 to 128 of A-Z a-z 0-9 . _ : -",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{8,128}$"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same request is answered again, not done again, for 24 hours",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    },
}
_RCA_ERROR: Json = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "code": {"type": "string"}},
    "required": ["error", "code"],
}


def document(
    endpoints: Mapping[str, AnyEndpoint], own_service: str, soc_form: Iterable[str], foreign: Iterable[str] = ()
) -> Json:
    """The document. `endpoints` are named, `soc_form` lists the paths that refuse in the SOC envelope, `foreign` those
    that refuse as another product does."""
    schemas, components = _schemas(endpoints.values())
    components["RcaError"] = _RCA_ERROR
    with_envelope, as_others = frozenset(soc_form), frozenset(foreign)
    paths: dict[str, Json] = defaultdict(dict)
    for name, endpoint in endpoints.items():
        method = "get" if endpoint.method == "WS" else endpoint.method.lower()
        operation = _operation(name, endpoint, schemas, components)
        if endpoint.service != own_service and endpoint.method in _KEYED:
            operation["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
        errors = errors_of(endpoint, proxied=endpoint.service != own_service)
        refusals = _refusals(errors, endpoint.path in with_envelope)
        if endpoint.path in as_others:
            for refusal in refusals.values():
                del refusal["content"]
        operation["responses"].update(refusals)
        paths[endpoint.path][method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Aurora", "version": "1.0", "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints.values())],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "parameters": _PARAMETERS,
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def errors_of(endpoint: AnyEndpoint, *, proxied: bool) -> list[ErrorCode]:
    """Every code this endpoint may refuse with: its own, and those that follow from what it is."""
    codes = list(endpoint.errors)
    if endpoint.permission != PUBLIC:
        codes += [AUTHENTICATION_REQUIRED, TOKEN_EXPIRED, INVALID_CREDENTIALS, UNAVAILABLE]
    if endpoint.permission not in (PUBLIC, AUTHENTICATED) or endpoint.method == "WS":
        codes.append(INSUFFICIENT_PERMISSIONS)
    if endpoint.query is not None or endpoint.body not in (None, bytes):
        codes.append(VALIDATION)
    if endpoint.body is not None:
        codes += [MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE]
    if endpoint.method == "WS":
        codes.append(MALFORMED_REQUEST)
    if proxied:
        codes += [UNAVAILABLE, DEADLINE_EXCEEDED]
        codes += [CONFLICT, VALIDATION] if endpoint.method in _KEYED else []
    if endpoint.tag != "Health":
        codes.append(RATE_LIMITED)
    return sorted({*codes, INTERNAL}, key=lambda code: code.code)


def _operation(name: str, endpoint: AnyEndpoint, schemas: Mapping[Any, Json], components: Json) -> Json:
    parameters: list[Json] = [
        {"name": found, "in": "path", "required": True, "schema": {"type": "string"}}
        for found in _PATH_PARAMETER.findall(endpoint.path)
    ]
    if endpoint.query is not None:
        parameters += _query_parameters(components[schemas[endpoint.query]["$ref"].rpartition("/")[2]])
    parameters.append({"$ref": "#/components/parameters/RequestId"})
    operation: Json = {
        "operationId": name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "x-permission": endpoint.permission,
        "parameters": parameters,
        "responses": _success(endpoint, schemas),
    }
    if endpoint.permission == PUBLIC:
        operation["security"] = []
    if endpoint.method == "WS":
        operation["x-websocket"] = True
    if endpoint.deprecated:
        operation["deprecated"] = True
    if endpoint.body is not None:
        schema = {} if endpoint.body is bytes else schemas[endpoint.body]
        operation["requestBody"] = {"content": {media: {"schema": schema} for media in endpoint.consumes}}
        operation["x-max-body-bytes"] = endpoint.max_body
    return operation


def _query_parameters(schema: Json) -> list[Json]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _without_null(field)}
        for name, field in schema["properties"].items()
    ]


def _without_null(field: Json) -> Json:
    """A parameter that isn't given is absent, never null."""
    field = {key: value for key, value in field.items() if not (key == "default" and value is None)}
    options = [option for option in field.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else field


def _success(endpoint: AnyEndpoint, schemas: Mapping[Any, Json]) -> Json:
    if endpoint.method == "WS":
        frame = f"Switching to WebSocket; each text frame is {schemas[endpoint.returns]['$ref']}"
        return {"101": {"description": frame, "headers": _headers(_EVERY_RESPONSE)}}
    response: Json = {"description": endpoint.summary, "headers": _headers(_EVERY_RESPONSE)}
    if endpoint.returns is not None:
        schema = {"type": "string"} if endpoint.returns is str else schemas[endpoint.returns]
        response["content"] = {endpoint.produces: {"schema": schema}}
    return {str(endpoint.status): response}


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusals(errors: Iterable[ErrorCode], in_envelope: bool) -> Json:
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in errors:
        by_status[code.status].append(code)
    return {str(status): _refusal(codes, in_envelope) for status, codes in sorted(by_status.items())}


def _refusal(codes: list[ErrorCode], in_envelope: bool) -> Json:
    schema = _REF.format(name="ErrorEnvelope" if in_envelope else "RcaError")
    names = (*_EVERY_RESPONSE, "Retry-After") if any(code.retryable for code in codes) else _EVERY_RESPONSE
    examples = {code.code: {"summary": code.message, "value": _example(code, in_envelope)} for code in codes}
    return {
        "description": ", ".join(f"{code.code} {code.message}" for code in codes),
        "headers": _headers(names),
        "content": {"application/json": {"schema": {"$ref": schema}, "examples": examples}},
    }


def _example(code: ErrorCode, in_envelope: bool) -> Json:
    if not in_envelope:
        return {"error": code.message, "code": code.code}
    inside = {"code": code.code, "message": code.message, "detail": None}
    return {"error": {**inside, "timestamp": _MOMENT, "request_id": _EXAMPLE_ID}}


def _schemas(endpoints: Iterable[AnyEndpoint]) -> tuple[dict[Any, Json], Json]:
    """Schema by type, and the components they refer to."""
    types: dict[Any, None] = {ErrorEnvelope: None}
    for endpoint in endpoints:
        types.update(
            (kind, None) for kind in (endpoint.query, endpoint.body, endpoint.returns) if kind not in (None, bytes, str)
        )
    schemas, components = msgspec.json.schema_components(list(types), ref_template=_REF)
    for kind in types:
        _name_times(inspect.type_info(kind), components, set())
    for schema in components.values():
        if "description" in schema:
            schema["description"] = re.sub(r"\s+", " ", schema["description"])
    return dict(zip(types, schemas, strict=True)), dict(components)


def _name_times(kind: Any, components: Json, seen: set[Any]) -> None:
    """Adds `format: date-time`, which msgspec leaves out, to the times of every struct that is reached from `kind`."""
    if isinstance(kind, inspect.StructType) and kind.cls not in seen:
        seen.add(kind.cls)
        (reference,), _ = msgspec.json.schema_components([kind.cls], ref_template="{name}")
        properties = components[reference["$ref"]]["properties"]
        for field in kind.fields:
            _name_time(properties[field.encode_name], field.type)
            _name_times(field.type, components, seen)
    inner = [getattr(kind, name, None) for name in ("type", "item_type", "value_type")]
    for member in (*inner, *getattr(kind, "types", ())):
        if isinstance(member, inspect.Type):
            _name_times(member, components, seen)


def _name_time(schema: Json, kind: inspect.Type) -> None:
    options = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    if any(isinstance(option, inspect.DateTimeType) for option in options):
        target = next((option for option in schema.get("anyOf", ()) if option == {"type": "string"}), schema)
        target["format"] = "date-time"
