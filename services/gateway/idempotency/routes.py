"""What stands between a write with an Idempotency-Key and the service that does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from services.gateway.idempotency import domain
from services.gateway.idempotency.domain import Answer, Fingerprint, Record
from services.gateway.idempotency.service import Idempotency, require_same
from shared.contracts.constants import Endpoint
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, AuroraError, field_error
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
        received: Callable[[int, str, bytes], None] | None = None,
    ) -> Awaitable[web.StreamResponse]: ...


class OnceOnly:
    """Does a write once for its key, and tells its answer to whoever sends it again."""

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency

    async def __call__(
        self, request: web.Request, endpoint: AnyEndpoint, principal: Principal, forward: Forward
    ) -> web.StreamResponse:
        """The answer, new or kept. Raises AURORA-4090 for a key in use or used otherwise, 4220 for a malformed one."""
        key = request.headers[HEADER]
        if not domain.is_key(key):
            raise field_error(f"header.{HEADER}", "takes 1 to 255 visible ASCII characters")
        place = domain.store_key(principal.id, key)
        fingerprint = Fingerprint(request.method, request.rel_url.raw_path_qs)
        known = await self._idempotency.begin(place)
        if known is not None:
            return await _again(request, endpoint, known, fingerprint)
        answer, whole = Answer(), False
        try:
            response = await forward(request, endpoint, principal, sent=fingerprint.add, received=answer.add)
            # An answer given before the whole body was read has no fingerprint: it is none to keep.
            whole = request.content.at_eof()
            return response
        finally:
            await self._idempotency.finish(place, fingerprint.digest(), answer if whole else Answer())


async def _again(
    request: web.Request, endpoint: AnyEndpoint, known: Record, fingerprint: Fingerprint
) -> web.StreamResponse:
    if known.state != "running":
        await _read(request, endpoint.max_body, fingerprint)
    require_same(known, fingerprint.digest())
    headers = {"Idempotency-Replayed": "true"}
    if known.status == 204:
        return web.Response(status=204, headers=headers)
    return web.Response(status=known.status, body=known.body, headers={**headers, "Content-Type": known.content_type})


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
