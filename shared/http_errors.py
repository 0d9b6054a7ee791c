"""How a refusal looks over HTTP: the SOC envelope, the RCA shape, RFC 9457 where the client asks for it, or, at
the doors for other products' shippers, those products' own form."""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs, web

from shared.clock import utc_now
from shared.contracts.common import ErrorBody, ErrorEnvelope
from shared.contracts.constants import ErrorCode
from shared.contracts.wire import encode
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    INSUFFICIENT_PERMISSIONS,
    INTERNAL,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION,
    AuroraError,
)
from shared.http_dialects import refusal_of

_BY_STATUS: dict[int, ErrorCode] = {
    401: AUTHENTICATION_REQUIRED,
    403: INSUFFICIENT_PERMISSIONS,
    404: NOT_FOUND,
    405: METHOD_NOT_ALLOWED,
    413: PAYLOAD_TOO_LARGE,
    415: UNSUPPORTED_MEDIA_TYPE,
    500: INTERNAL,
    503: UNAVAILABLE,
}
#: The request's X-Request-ID, set before anything can be refused.
REQUEST_ID = web.RequestKey("request_id", str)
#: Paths that answer in the SOC envelope; all others are the RCA page's (DECISIONS, "Requests and errors").
_SOC_PREFIXES = ("/api/v1/", "/metrics", "/.well-known/")


def uses_envelope(path: str) -> bool:
    """Whether refusals of this path come in the SOC envelope rather than in the RCA page's shape."""
    return path.startswith(_SOC_PREFIXES)


def error_of(error: web.HTTPException) -> AuroraError:
    """aiohttp's own refusal (404, 405, 413, ...) as ours."""
    return error_of_status(error.status)


def error_of_status(status: int) -> AuroraError:
    """The error of ours that a status means, where nothing else is known of it."""
    return AuroraError(_BY_STATUS.get(status, INTERNAL if status >= 500 else MALFORMED_REQUEST))


def error_body(error: AuroraError, request_id: str) -> ErrorEnvelope:
    """The SOC envelope of a refusal."""
    return ErrorEnvelope(ErrorBody(error.code.code, error.message, error.detail, utc_now(), request_id))


def error_response(request: web.Request, error: AuroraError, *, allow: str | None = None) -> web.Response:
    """The response that tells a refusal in the form this path and this client use."""
    foreign = refusal_of(request.path, request.content_type, error)
    if foreign is None and not uses_envelope(request.path):
        error = _of_rca(error)
    if foreign is not None:
        response = web.Response(
            body=foreign.body, status=foreign.status, content_type=foreign.content_type, headers=foreign.headers
        )
    else:
        response = _own_response(request, error)
    if response.status == 401:
        response.headers.setdefault(hdrs.WWW_AUTHENTICATE, 'Bearer realm="aurora"')
    if error.retry_after is not None:
        response.headers[hdrs.RETRY_AFTER] = str(max(1, round(error.retry_after)))
    if allow:
        response.headers[hdrs.ALLOW] = allow
    return response


def _of_rca(error: AuroraError) -> AuroraError:
    """The RCA page has 400 for invalid parameters, and no place for fields in its form: the sentence names one."""
    match error:
        case AuroraError(code=code, detail=[{"path": path, "message": message}, *_]) if code is VALIDATION:
            return AuroraError(MALFORMED_REQUEST, error.detail, message=f"Invalid request: {path}: {message}")
        case AuroraError(code=code) if code is VALIDATION:
            return AuroraError(MALFORMED_REQUEST, error.detail, message=error.message)
    return error


def _own_response(request: web.Request, error: AuroraError) -> web.Response:
    request_id = request.get(REQUEST_ID, "")
    content_type = "application/json"
    body: Any
    if "application/problem+json" in request.headers.get(hdrs.ACCEPT, ""):
        content_type = "application/problem+json"
        body = _problem(request, error, request_id)
    elif uses_envelope(request.path):
        body = error_body(error, request_id)
    else:
        body = {"error": error.message, "code": error.code.code}
    return web.Response(body=encode(body), status=error.code.status, content_type=content_type)


def _problem(request: web.Request, error: AuroraError, request_id: str) -> dict[str, Any]:
    return {
        "type": f"urn:aurora:error:{error.code.code}",
        "title": error.message,
        "status": error.code.status,
        "instance": request.path,
        "code": error.code.code,
        "detail": error.message,
        "errors": error.detail,
        "request_id": request_id,
    }
