"""Forwards a request to the service that owns its endpoint, in the caller's name, and streams both bodies.

The caller's identity is signed anew for that one service. A service that can't be reached is AURORA-5030 and named;
one that doesn't answer in time is AURORA-5040. Bodies pass as they are, compressed or not, and are never kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import hdrs, web

from services.gateway.proxy import domain
from shared import telemetry
from shared.contracts.constants import Endpoint
from shared.errors import (
    DEADLINE_EXCEEDED,
    INTERNAL,
    MALFORMED_REQUEST,
    PAYLOAD_TOO_LARGE,
    UNAVAILABLE,
    AuroraError,
)
from shared.http_dialects import CODE_HEADER
from shared.identity import Principal, Signer
from shared.log import get_logger
from shared.upstream import Answer, AnswerLate, Pool, UpstreamError

AnyEndpoint = Endpoint[Any, Any, Any]
#: A request's body up to this size, and an answer's, is passed on in one piece.
_SMALL_REQUEST = 64 * 1024
_SMALL_ANSWER = 256 * 1024
_CLIENT_PAUSE_SECONDS = 30
_CODE_HEADER = CODE_HEADER.lower()
_log = get_logger("proxy")


@dataclass(slots=True)
class Upload:
    """The client's body on its way. Iterating raises AURORA-4130 beyond `limit` bytes, and keeps that in `refusal`.

    `seen` is called with each piece, in order.
    """

    content: aiohttp.StreamReader
    limit: int
    seen: Callable[[bytes], None] | None = None
    refusal: AuroraError | None = field(default=None, init=False)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        while True:
            piece = await self._next()
            if not piece:
                return
            total += len(piece)
            if total > self.limit:
                self.refusal = AuroraError(PAYLOAD_TOO_LARGE, {"limit_bytes": self.limit})
                raise self.refusal
            if self.seen is not None:
                self.seen(piece)
            yield piece

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(_CLIENT_PAUSE_SECONDS):
                return await self.content.readany()
        except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
            self.refusal = AuroraError(MALFORMED_REQUEST, message="The body could not be read to its end")
            raise self.refusal from error

    async def drain(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self])


class Forwarder:
    """Knows where each service is, and how to speak to it."""

    def __init__(self, upstreams: Mapping[str, str], signer: Signer) -> None:
        """Raises ValueError for an upstream that is no URL."""
        self._pools = {service: Pool(url) for service, url in upstreams.items()}
        self._signer = signer

    async def forward(
        self,
        request: web.Request,
        endpoint: AnyEndpoint,
        principal: Principal,
        *,
        sent: Callable[[bytes], None] | None = None,
        received: Callable[[bytes], None] | None = None,
    ) -> web.StreamResponse:
        """The service's answer, on its way to the client.

        `sent` sees each piece of the request's body, `received` each piece of the answer's.
        Raises AURORA-4130 for a body over the endpoint's limit, 5030 and 5040 for the service.
        """
        if request.content_length is not None and request.content_length > endpoint.max_body:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"limit_bytes": endpoint.max_body})
        upload = Upload(request.content, endpoint.max_body, sent)
        try:
            async with await self._ask(request, endpoint, principal, upload) as answer:
                return await _pass_on(request, endpoint, answer, received)
        except AnswerLate as error:
            raise AuroraError(DEADLINE_EXCEEDED, {"service": endpoint.service}) from error
        except UpstreamError as error:
            _log.warning("service can't be reached", asked=endpoint.service, reason=f"{type(error).__name__}: {error}")
            raise AuroraError(UNAVAILABLE, {"service": endpoint.service}) from error

    async def _ask(self, request: web.Request, endpoint: AnyEndpoint, principal: Principal, upload: Upload) -> Answer:
        pool = self._pools.get(endpoint.service)
        if pool is None:
            raise AuroraError(UNAVAILABLE, {"service": endpoint.service}, message="This service is not deployed")
        headers = domain.passing(request.headers)
        headers.update(telemetry.headers())
        headers[hdrs.AUTHORIZATION] = f"Bearer {self._signer.token_for(principal, endpoint.service)}"
        try:
            return await pool.ask(
                request.method,
                domain.target(endpoint, request.match_info, request.rel_url.raw_query_string),
                headers,
                seconds=endpoint.timeout_seconds,
                body=await _body(request, upload),
                length=request.content_length,
            )
        except ValueError as error:
            raise AuroraError(MALFORMED_REQUEST, message="A header can't be passed on") from error

    async def close(self) -> None:
        """Closes the connections."""
        for pool in self._pools.values():
            await pool.close()


async def _body(request: web.Request, upload: Upload) -> bytes | Upload | None:
    if not request.body_exists:
        return None
    length = request.content_length
    return await upload.drain() if length is not None and length <= _SMALL_REQUEST else upload


async def _pass_on(
    request: web.Request,
    endpoint: AnyEndpoint,
    answer: Answer,
    received: Callable[[bytes], None] | None,
) -> web.StreamResponse:
    if answer.status == 401 or (answer.status >= 400 and not _is_refusal(answer)):
        # The client's token was good. If ours isn't, or the answer isn't in the form of a refusal, that is our fault.
        _log.error("service answered out of contract", asked=endpoint.service, status=answer.status)
        raise AuroraError(UNAVAILABLE if answer.status in (401, 502, 503) else INTERNAL, {"service": endpoint.service})
    headers = domain.returning(answer.headers)
    if answer.length is not None and answer.length <= _SMALL_ANSWER:
        body = await answer.read()
        if received is not None:
            received(body)
        return web.Response(status=answer.status, headers=headers, body=body)
    return await _stream(request, web.StreamResponse(status=answer.status, headers=headers), answer, received)


def _media_type(answer: Answer) -> str:
    content_type = answer.headers.get("content-type", "application/octet-stream")
    return content_type.partition(";")[0].strip().lower()


def _is_refusal(answer: Answer) -> bool:
    return _media_type(answer).endswith("json") or _CODE_HEADER in answer.headers


async def _stream(
    request: web.Request,
    response: web.StreamResponse,
    answer: Answer,
    received: Callable[[bytes], None] | None,
) -> web.StreamResponse:
    await response.prepare(request)
    try:
        while piece := await answer.piece():
            if received is not None:
                received(piece)
            await response.write(piece)
    except UpstreamError as error:
        # Part of the answer is out, so nothing can be refused any more: a cut connection says that it isn't whole.
        _log.warning("answer was cut", reason=type(error).__name__)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError from error
    await response.write_eof()
    return response
