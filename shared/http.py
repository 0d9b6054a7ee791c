"""Turns typed handlers into an aiohttp application: one fixed order of middlewares, one error boundary.

`bind(ENDPOINT, handler)` ties a handler to its constant; `application` checks the caller, the permission, the query
and the body against the contract before the handler runs, and encodes what it returns. Knows no service.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler as AiohttpHandler

from shared import moments, telemetry
from shared.contracts.constants import ANY_MEDIA_TYPE, PUBLIC, Endpoint
from shared.contracts.wire import encode
from shared.errors import (
    INTERNAL,
    MALFORMED_REQUEST,
    PAYLOAD_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION,
    AuroraError,
    field_error,
)
from shared.http_errors import REQUEST_ID, error_of, error_response
from shared.http_paths import Nearer
from shared.identity import Principal
from shared.invalid import MAX_PROBLEMS, problems_in_json, problems_of
from shared.log import get_logger

Q = TypeVar("Q")
B = TypeVar("B")
R = TypeVar("R")

API_VERSION = "1.0"
#: What aiohttp unpacks; anything else it would hand on packed.
_ENCODINGS = ("gzip", "deflate", "zstd", "br", "identity", "")
ANONYMOUS = Principal("anonymous", "user", "anonymous", "api_service", frozenset())
Authenticate = Callable[[web.Request], Awaitable[Principal]]
_log = get_logger("http")


@dataclass(frozen=True, slots=True)
class Host:
    """The service that answers, and how to read the mode it is in."""

    service: str
    mode: Callable[[], str]


HOST = web.AppKey("host", Host)
#: Who asked, for the log; whoever authenticates sets it.
PRINCIPAL_ID = web.RequestKey("principal_id", str)
#: The body, where a middleware had to read it before the handler.
READ_BODY = web.RequestKey("read_body", bytes)


@dataclass(frozen=True, slots=True)
class Call(Generic[Q, B]):
    """One checked request. `path` holds the path's parameters; `request` is there for streams and headers."""

    principal: Principal
    path: Mapping[str, str]
    query: Q
    body: B
    request: web.Request


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint and its handler."""

    endpoint: Endpoint[Any, Any, Any]
    handler: Callable[[Call[Any, Any]], Awaitable[Any]]
    streamed: bool = False


def bind_streamed(
    endpoint: Endpoint[Q, bytes, R],
    handler: Callable[[Call[Q, AsyncIterator[bytes]]], Awaitable[R | web.StreamResponse]],
) -> Route:
    """As `bind`; the handler takes the body in pieces, as it comes. Iterating raises what `read_body` does."""
    return Route(endpoint, handler, streamed=True)


def bind(endpoint: Endpoint[Q, B, R], handler: Callable[[Call[Q, B]], Awaitable[R | web.StreamResponse]]) -> Route:
    """Ties a handler to its endpoint. The handler returns the endpoint's type, or a response of its own."""
    return Route(endpoint, handler)


_NEARER = web.AppKey("nearer", Nearer)


def application(
    service: str,
    routes: Iterable[Route],
    *,
    authenticate: Authenticate,
    mode: Callable[[], str],
    middlewares: Iterable[Any] = (),
) -> web.Application:
    """The application of one service. `middlewares` run inside the error boundary, before the handler."""
    app = web.Application(middlewares=[_observe, _error_boundary, *middlewares], client_max_size=64 * 1024 * 1024)
    app[HOST] = Host(service, mode)
    for route in routes:
        method = "GET" if route.endpoint.method == "WS" else route.endpoint.method
        app.router.add_route(method, route.endpoint.path, _endpoint_handler(route, authenticate))
    app.on_response_prepare.append(_stamp)
    app.on_startup.append(_compare_paths)
    return app


async def _compare_paths(app: web.Application) -> None:
    # Once all routes are there: the gateway adds those of the services behind it.
    routes = [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None]
    app[_NEARER] = Nearer(routes)


def _require_own_path(request: web.Request) -> None:
    resource = request.match_info.route.resource
    methods = request.app[_NEARER].methods(None if resource is None else resource.canonical, request.path)
    if methods is not None and request.method not in methods:
        raise web.HTTPMethodNotAllowed(request.method, methods)


async def _stamp(request: web.Request, response: web.StreamResponse) -> None:
    stamp(request.app, request.get(REQUEST_ID) or telemetry.request_id(), response)
    if request.body_exists and not request.content.at_eof():
        # Answered before the body was read: the client must not send its next request on this connection, which is
        # closed once the rest of the body has had its time to arrive.
        response.headers[hdrs.CONNECTION] = "close"
        response.force_close()


def stamp(app: web.Application, request_id: str, response: web.StreamResponse) -> None:
    """The three headers of every response, handshakes and errors too (SOC page, "API versioning headers")."""
    response.headers["X-API-Version"] = API_VERSION
    response.headers[telemetry.REQUEST_ID_HEADER] = request_id
    response.headers["X-AuroraSOC-Mode"] = app[HOST].mode()


@web.middleware
async def _observe(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    request_id = telemetry.accept_request_id(request.headers.get(telemetry.REQUEST_ID_HEADER))
    request[REQUEST_ID] = request_id
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unmatched"
    service = request.app[HOST].service
    started = time.perf_counter()
    with telemetry.span(f"{request.method} {route}", request.headers, request_id):
        response = await handler(request)
        seconds = time.perf_counter() - started
        telemetry.http_answered(service, request.method, route, response.status, seconds)
        _log.info(
            "request",
            method=request.method,
            route=route,
            status=response.status,
            milliseconds=round(seconds * 1000, 2),
            principal=request.get(PRINCIPAL_ID),
        )
    return response


@web.middleware
async def _error_boundary(request: web.Request, handler: AiohttpHandler) -> web.StreamResponse:
    try:
        _require_own_path(request)
        return await handler(request)
    except AuroraError as error:
        if error.code.status >= 500:
            _log.warning("refused", code=error.code.code, detail=error.detail)
        return error_response(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return error_response(request, error_of(error), allow=error.headers.get(hdrs.ALLOW))
    except ConnectionResetError:
        raise
    except Exception as error:  # noqa: BLE001 - the boundary: the peer learns the code and the request id, nothing else
        _log.error("request failed", exc_info=error)
        return error_response(request, AuroraError(INTERNAL))


def _endpoint_handler(route: Route, authenticate: Authenticate) -> AiohttpHandler:
    endpoint = route.endpoint

    async def handle(request: web.Request) -> web.StreamResponse:
        principal = ANONYMOUS if endpoint.permission == PUBLIC else await authenticate(request)
        request[PRINCIPAL_ID] = principal.id
        principal.require(endpoint.permission)
        _refuse_nul(request.match_info, "path")
        query = None if endpoint.query is None else _decode_query(request, endpoint.query)
        body = None if endpoint.body is None else await _body_of(request, route)
        result = await route.handler(Call(principal, request.match_info, query, body, request))
        if isinstance(result, web.StreamResponse):
            return result
        return json_response(result, endpoint.status)

    return handle


def json_response(value: Any, status: int = 200) -> web.Response:
    """A contract as a JSON response; no body with 204."""
    if status == 204:
        return web.Response(status=204)
    return web.Response(body=encode(value), status=status, content_type="application/json")


def _decode_query(request: web.Request, kind: type[Q]) -> Q:
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise AuroraError(VALIDATION, [{"path": f"query.{name}", "message": "given more than once"}])
        values[name] = value
    _refuse_nul(values, "query")
    try:
        query = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise AuroraError(VALIDATION, problems_of(error, values, kind, "query", strict=False)) from error
    _refuse_lax(query, values)
    return query


def _refuse_nul(values: Mapping[str, str], root: str) -> None:
    """No id or filter has U+0000 in it: a store would refuse it without knowing the field. Logs may, and so may `q`."""
    for name, value in values.items():
        if "\x00" in value and name != "q":
            raise field_error(f"{root}.{name}", "must not hold the character U+0000")


def _refuse_lax(query: Any, values: Mapping[str, str]) -> None:
    """msgspec takes the word null for null and a number for a time; here what is left out is null, times are times."""
    for name, field in zip(query.__struct_encode_fields__, query.__struct_fields__, strict=True):
        value = getattr(query, field)
        if value is None and name in values:
            raise field_error(f"query.{name}", "can't be null; leave it out")
        if isinstance(value, datetime) and name in values and ":" not in values[name]:
            raise field_error(f"query.{name}", "must be a time as RFC 3339 has it")
        if isinstance(value, datetime) and not moments.is_held(value):
            raise field_error(f"query.{name}", moments.MESSAGE)


async def _body_of(request: web.Request, route: Route) -> Any:
    endpoint, media_type = route.endpoint, request.content_type
    has_body = request.body_exists
    if has_body and media_type not in endpoint.consumes and ANY_MEDIA_TYPE not in endpoint.consumes:
        raise AuroraError(UNSUPPORTED_MEDIA_TYPE, {"accepted": list(endpoint.consumes)})
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() not in _ENCODINGS:
        raise AuroraError(UNSUPPORTED_MEDIA_TYPE, {"accepted_encodings": list(_ENCODINGS)})
    if route.streamed:
        return body_pieces(request, endpoint.max_body)
    data = await read_body(request, endpoint.max_body)
    if endpoint.body is bytes:
        return data
    if media_type == "application/x-www-form-urlencoded":
        return await _decode_form(data, endpoint.body)
    try:
        return _decode_json(data or b"{}", endpoint.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body is not valid JSON") from error


def _decode_json(data: bytes, kind: Any) -> Any:
    try:
        body = msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise AuroraError(VALIDATION, problems_in_json(error, data, kind, "body")) from error
    if moments.has_times(kind) and (paths := list(islice(moments.not_held(body, "body"), MAX_PROBLEMS))):
        raise AuroraError(VALIDATION, [{"path": path, "message": moments.MESSAGE} for path in paths])
    return body


async def _decode_form(data: bytes, kind: Any) -> Any:
    from urllib.parse import parse_qsl

    try:
        pairs = parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=100)
    except ValueError as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body is not a valid form") from error
    try:
        return msgspec.convert(dict(pairs), kind, strict=False)
    except msgspec.ValidationError as error:
        raise AuroraError(VALIDATION, problems_of(error, dict(pairs), kind, "body", strict=False)) from error


async def read_body(request: web.Request, limit: int) -> bytes:
    """The body, decompressed. Raises AURORA-4130 beyond `limit` bytes, AURORA-4000 when it can't be decompressed."""
    if READ_BODY in request:
        return request[READ_BODY]
    chunks = bytearray()
    async for piece in body_pieces(request, limit):
        chunks += piece
    return bytes(chunks)


async def body_pieces(request: web.Request, limit: int) -> AsyncIterator[bytes]:
    """As `read_body`, as it comes: none of it is kept, and the limit is held while reading."""
    if request.content_length is not None and request.content_length > limit:
        raise AuroraError(PAYLOAD_TOO_LARGE, {"limit_bytes": limit})
    total = 0
    try:
        async for piece in request.content.iter_chunked(256 * 1024):
            total += len(piece)
            if total > limit:
                raise AuroraError(PAYLOAD_TOO_LARGE, {"limit_bytes": limit})
            yield piece
    except web.RequestPayloadError as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body could not be read or decompressed") from error
