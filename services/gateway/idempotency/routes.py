"""What stands between a write with an Idempotency-Key and whoever does it: a service, or the gateway itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from services.gateway.idempotency import domain
from services.gateway.idempotency.domain import Body, Fingerprint, Record
from services.gateway.idempotency.service import Claim, Idempotency, require_same
from shared.contracts.constants import Endpoint
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, AuroraError, field_error
from shared.http import READ_BODY, read_body
from shared.http_errors import error_response
from shared.identity import Principal

HEADER = "Idempotency-Key"
AnyEndpoint = Endpoint[Any, Any, Any]


class Forward(Protocol):
    """Does the write. `sent` sees each piece of its body, `received` each piece of its answer."""

    def __call__(
        self,
        request: web.Request,
        endpoint: AnyEndpoint,
        principal: Principal,
        *,
        sent: Callable[[bytes], None] | None = None,
        received: Callable[[bytes], None] | None = None,
    ) -> Awaitable[web.StreamResponse]: ...


class OnceOnly:
    """Does a write once for its key, and tells its answer to whoever sends it again."""

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency

    async def __call__(
        self, request: web.Request, endpoint: AnyEndpoint, principal: Principal, forward: Forward
    ) -> web.StreamResponse:
        """The answer of another service, new or kept; bodies are streamed.

        Raises AURORA-4090 for a key in use or used otherwise, 4220 for a malformed one.
        """
        known, fingerprint = await self._idempotency.begin(_place(request, principal)), _fingerprint(request)
        if isinstance(known, Record):
            await _read(request, endpoint.max_body, fingerprint)
            return _again(known, fingerprint)
        body = Body()
        async with self._idempotency.held(known):
            response = await forward(request, endpoint, principal, sent=fingerprint.add, received=body.add)
            # An answer given before the whole body was read has no fingerprint: it is none to keep.
            if request.content.at_eof():
                headers = domain.kept_headers(response.headers)
                known.record = body.record(fingerprint.digest(), response.status, headers)
            return response

    def middleware(
        self, own: Callable[[web.Request], AnyEndpoint | None], principal_of: Callable[[web.Request], Principal]
    ) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """For the gateway's own writes: `own` says which a request is for, None for any other request."""

        @web.middleware
        async def once(request: web.Request, handler: Handler) -> web.StreamResponse:
            endpoint = own(request) if HEADER in request.headers else None
            if endpoint is None:
                return await handler(request)
            principal = principal_of(request)
            principal.require(endpoint.permission)
            place, fingerprint = _place(request, principal), _fingerprint(request)
            request[READ_BODY] = await read_body(request, endpoint.max_body)
            fingerprint.add(request[READ_BODY])
            known = await self._idempotency.begin(place)
            if isinstance(known, Record):
                return _again(known, fingerprint)
            async with self._idempotency.held(known):
                return await _do(request, handler, known, fingerprint)

        return once


async def _do(request: web.Request, handler: Handler, claim: Claim, fingerprint: Fingerprint) -> web.StreamResponse:
    try:
        response = await handler(request)
    except AuroraError as refusal:
        claim.record = _record(error_response(request, refusal), fingerprint)
        raise
    claim.record = _record(response, fingerprint)
    return response


def _record(response: web.StreamResponse, fingerprint: Fingerprint) -> Record | None:
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes | None):
        return None
    body = Body()
    body.add(response.body or b"")
    cookies = [cookie.OutputString() for cookie in response.cookies.values()]
    return body.record(fingerprint.digest(), response.status, domain.kept_headers(response.headers, cookies))


def _place(request: web.Request, principal: Principal) -> str:
    key = request.headers[HEADER]
    if not domain.is_key(key):
        raise field_error(f"header.{HEADER}", "takes 1 to 255 visible ASCII characters")
    return domain.store_key(principal.id, key)


def _fingerprint(request: web.Request) -> Fingerprint:
    return Fingerprint(request.method, request.rel_url.raw_path_qs, request.headers.get(hdrs.IF_MATCH))


def _again(known: Record, fingerprint: Fingerprint) -> web.Response:
    require_same(known, fingerprint.digest())
    headers = CIMultiDict([*known.headers, ("Idempotency-Replayed", "true")])
    return web.Response(status=known.status, body=known.body or None, headers=headers)


async def _read(request: web.Request, limit: int, fingerprint: Fingerprint) -> None:
    total = 0
    try:
        async for piece in request.content.iter_any():
            total += len(piece)
            if total > limit:
                raise AuroraError(PAYLOAD_TOO_LARGE, {"limit_bytes": limit})
            fingerprint.add(piece)
    except web.RequestPayloadError as error:
        raise AuroraError(MALFORMED_REQUEST, message="The body could not be read to its end") from error
