"""OpenAPI 3.1 from the Endpoint table: nothing in it is written by hand, so it can't differ from what is served.

Beside it stand the parts: schemas of types, answers and refusals, links, and examples.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.gateway.description import examples
from services.gateway.description.links import links_of
from services.gateway.description.responses import (
    PROBLEM,
    RCA_ERROR,
    answers,
    errors_of,
    headers,
    refusals,
)
from services.gateway.description.schemas import schemas_of, without_null
from shared.contracts.common import ErrorEnvelope
from shared.contracts.constants import ADMIN, PUBLIC, Endpoint
from shared.http_dialects import is_foreign

AnyEndpoint = Endpoint[Any, Any, Any]
Json = dict[str, Any]
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_DESCRIPTION = """Security operations by agents, and the root-cause API beside it, behind one gateway.

Every answer names its `X-Request-ID`. Refusals under `/api/v1` come in the SOC envelope, elsewhere as `{error, code}`,
at the doors for shippers as their products tell them, and as RFC 9457 for whoever asks for `application/problem+json`.
A method that a path doesn't have is 405 with `Allow`, an unknown path 404; a request that isn't HTTP is 400 in the
envelope. Lists take `limit` and `cursor`. Times are RFC 3339 in UTC with milliseconds."""

_PARAMETERS: Json = {
    "RequestId": {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Kept when it is 8 to 128 of A-Z a-z 0-9 . _ : - and replaced when it is not",
        "schema": {"type": "string"},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same request is answered again, not done again, for 24 hours",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that was seen: 409 when somebody changed it since. Without it, or with *, any will do",
        "schema": {"type": "string", "pattern": '^(\\*|"[0-9]{1,18}")$'},
    },
}
_SECURITY_SCHEMES: Mapping[str, Json] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token of POST /api/v1/auth/token (a JWT), or an API key",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key, aur_<id>_<secret>"},
    "basic": {"type": "http", "scheme": "basic", "description": "Any name, and an API key as the password"},
    "userId": {
        "type": "apiKey",
        "in": "header",
        "name": "X-User-ID",
        "description": "A user's id, from an address that may name one, or beside that user's own credentials",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "A ticket of POST /api/v1/ws/tickets, for clients that can't set headers",
    },
}
_ALL_WAYS: list[Json] = [{"bearer": []}, {"apiKey": []}, {"session": []}]


def document(
    endpoints: Mapping[str, AnyEndpoint], own_service: str, soc_form: Iterable[str], session_cookie: str
) -> Json:
    """The document. `endpoints` are named, `soc_form` lists the paths that refuse in the SOC envelope, `session_cookie`
    is the name of the browsers' cookie."""
    types = [one for endpoint in endpoints.values() for one in (endpoint.query, endpoint.body, endpoint.returns)]
    schemas, components = schemas_of([ErrorEnvelope, *(kind for kind in types if kind not in (None, bytes, str))])
    components |= {"RcaError": RCA_ERROR, "Problem": PROBLEM}
    with_envelope, shared_refusals = frozenset(soc_form), Json()
    paths: dict[str, Json] = defaultdict(dict)
    for name, endpoint in endpoints.items():
        proxied = endpoint.service != own_service
        operation = _operation(name, endpoint, schemas, components)
        security = _security(endpoint, of_soc=endpoint.path in with_envelope)
        if security is not None:
            operation["security"] = security
        if endpoint.keyed:
            operation["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})
        told = refusals(
            endpoint,
            errors_of(endpoint, proxied=proxied),
            in_envelope=endpoint.path in with_envelope,
            components=shared_refusals,
        )
        # A status that is an answer too (a probe's 503) is described by the answer.
        operation["responses"] = {**told, **_linked(endpoint, answers(endpoint, schemas), endpoints)}
        paths[endpoint.path]["get" if endpoint.method == "WS" else endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Aurora",
            "version": "1.0",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": _ALL_WAYS,
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints.values())],
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "responses": shared_refusals,
            "parameters": _PARAMETERS,
            "headers": headers(),
            "securitySchemes": {**_SECURITY_SCHEMES, "session": _session(session_cookie)},
        },
    }


def _linked(endpoint: AnyEndpoint, told: Json, endpoints: Mapping[str, AnyEndpoint]) -> Json:
    links = links_of(endpoint, endpoints)
    if links:
        told[str(endpoint.status)]["links"] = links
    return told


def _operation(name: str, endpoint: AnyEndpoint, schemas: Mapping[Any, Json], components: Json) -> Json:
    operation: Json = {
        "operationId": name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "x-permission": endpoint.permission,
        "parameters": _parameters(endpoint, schemas, components),
    }
    if endpoint.method == "WS":
        operation["x-websocket"] = True
    if endpoint.deprecated:
        operation["deprecated"] = True
    if endpoint.body is not None:
        operation["requestBody"] = _request_body(endpoint, schemas)
        operation["x-max-body-bytes"] = endpoint.max_body
    return operation


def _session(cookie: str) -> Json:
    text = "The cookie of a browser's session; what changes something needs an Origin that is ours"
    return {"type": "apiKey", "in": "cookie", "name": cookie, "description": text}


def _security(endpoint: AnyEndpoint, *, of_soc: bool) -> list[Json] | None:
    """Which credentials do; None for those of the whole API."""
    if endpoint.permission == PUBLIC:
        return []
    if endpoint.permission == ADMIN:
        # A key has scopes, never the role.
        return [{"bearer": []}, {"session": []}]
    if endpoint.method == "WS":
        return [*_ALL_WAYS, {"ticket": []}]
    if is_foreign(endpoint.path):
        return [{"bearer": []}, {"apiKey": []}, {"basic": []}]
    return None if of_soc else [*_ALL_WAYS, {"userId": []}]


def _parameters(endpoint: AnyEndpoint, schemas: Mapping[Any, Json], components: Json) -> list[Json]:
    parameters: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
            "example": examples.PARAMETERS.get(name, examples.ANY_ID),
        }
        for name in _PATH_PARAMETER.findall(endpoint.path)
    ]
    if endpoint.query is not None:
        parameters += _query_parameters(components[schemas[endpoint.query]["$ref"].rpartition("/")[2]], endpoint)
    parameters.append({"$ref": "#/components/parameters/RequestId"})
    if endpoint.versioned and endpoint.method != "GET":
        parameters.append({"$ref": "#/components/parameters/IfMatch"})
    return parameters


def _query_parameters(schema: Json, endpoint: AnyEndpoint) -> list[Json]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": without_null(field)}
        for name, field in schema["properties"].items()
        # A WebSocket's ticket is a credential, described among the security schemes.
        if not (endpoint.method == "WS" and name == "ticket")
    ]


def _request_body(endpoint: AnyEndpoint, schemas: Mapping[Any, Json]) -> Json:
    schema = {} if endpoint.body is bytes else schemas[endpoint.body]
    content = {}
    for media in endpoint.consumes:
        content[media] = {"schema": schema}
        example = _example(endpoint, schema, media)
        if example is not None:
            content[media]["examples"] = {"example": {"value": example}}
    shape: Any = endpoint.body
    required = shape is not bytes and any(field.required for field in msgspec.structs.fields(shape))
    return {"content": content, "required": True} if required else {"content": content}


def _example(endpoint: AnyEndpoint, schema: Json, media: str) -> Any:
    if endpoint.body is bytes:
        return examples.RAW.get(endpoint.path, {}).get(media)
    return examples.BODIES.get(schema.get("$ref", "").rpartition("/")[2])
