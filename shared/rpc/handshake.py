"""Who gets in: the HTTP side of an agent's port. A service token opens the WebSocket, named paths answer plain GETs.

Everything else is refused in the error envelope, with the headers every response of Aurora has. Knows no frame and no
JSON-RPC.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from shared.clock import utc_now
from shared.contracts.common import ErrorBody, ErrorEnvelope
from shared.contracts.constants import ErrorCode
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    INTERNAL,
    INVALID_CREDENTIALS,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    AuroraError,
)
from shared.identity import Principal, bearer
from shared.log import get_logger
from shared.rpc.transport import Admission, Asked, Rejection
from shared.telemetry import REQUEST_ID_HEADER, accept_request_id

Authenticate = Callable[[str], Awaitable[Principal] | Principal]

_JSON = "application/json"
_UPGRADE_REQUIRED = 426
_log = get_logger("rpc")


@dataclass(frozen=True)
class HttpAnswer:
    """What a plain GET is answered with. `headers` come on top of those that every response has."""

    status: int
    body: bytes
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)


HttpGet = Callable[[], Awaitable[HttpAnswer]]


class Gate:
    """Judges handshakes. `http_get` maps public paths to handlers; `headers` are read for each response, so that a
    changed mode shows; `full` says whether another connection is too many."""

    def __init__(
        self,
        authenticate: Authenticate,
        http_get: Mapping[str, HttpGet],
        headers: Callable[[], Mapping[str, str]],
        full: Callable[[], bool],
    ) -> None:
        self._authenticate = authenticate
        self._http_get = http_get
        self._headers = headers
        self._full = full

    async def admit(self, asked: Asked) -> Admission | Rejection:
        """The way in for the caller, or the answer instead."""
        request_id = accept_request_id(asked.request_id)
        try:
            answer = await self._plain(asked)
            if answer is not None:
                headers = {**answer.headers, **self._common(request_id)}
                return Rejection(answer.status, answer.body, answer.content_type, headers)
            principal = await self._principal(asked)
            if self._full():
                raise AuroraError(UNAVAILABLE, {"reason": "too many connections"}, retry_after=1.0)
            return Admission(principal, self._common(request_id))
        except AuroraError as refusal:
            return self._refuse(refusal, request_id)
        except Exception:  # noqa: BLE001 - the edge of the process: the peer is told nothing, the log everything
            _log.error("handshake failed", request_id=request_id, exc_info=True)
            return self._refuse(AuroraError(INTERNAL), request_id)

    def rejected(self, asked: Asked, status: int) -> Rejection:
        """The envelope for a handshake that breaks the WebSocket protocol."""
        code = UNAVAILABLE if status == UNAVAILABLE.status else MALFORMED_REQUEST
        return self._refuse(AuroraError(code), accept_request_id(asked.request_id), status)

    async def _plain(self, asked: Asked) -> HttpAnswer | None:
        handler = self._http_get.get(asked.path)
        if asked.method != "GET" and (handler is not None or asked.path == "/"):
            raise AuroraError(METHOD_NOT_ALLOWED)
        if handler is not None:
            return await handler()
        if asked.path != "/":
            raise AuroraError(NOT_FOUND)
        return None

    async def _principal(self, asked: Asked) -> Principal:
        found = self._authenticate(bearer(asked.authorization))
        return await found if inspect.isawaitable(found) else found

    def _common(self, request_id: str) -> dict[str, str]:
        return {"X-API-Version": "1.0", REQUEST_ID_HEADER: request_id, **self._headers()}

    def _refuse(self, error: AuroraError, request_id: str, status: int | None = None) -> Rejection:
        body = ErrorBody(error.code.code, error.message, error.detail, utc_now(), request_id)
        headers = self._common(request_id) | _extra_headers(error.code, error)
        answer_status = error.code.status if status is None else status
        if answer_status == _UPGRADE_REQUIRED:
            headers["Upgrade"] = "websocket"
        return Rejection(answer_status, msgspec.json.encode(ErrorEnvelope(body)), _JSON, headers)


def _extra_headers(code: ErrorCode, error: AuroraError) -> dict[str, str]:
    if code in (TOKEN_EXPIRED, INVALID_CREDENTIALS):
        return {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    if code is AUTHENTICATION_REQUIRED:
        return {"WWW-Authenticate": "Bearer"}
    if code is METHOD_NOT_ALLOWED:
        return {"Allow": "GET"}
    if error.retry_after is not None:
        return {"Retry-After": str(int(error.retry_after))}
    return {}
