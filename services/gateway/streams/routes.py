"""The WebSockets, and the tickets for them.

A handshake that is refused is answered as any other request. After it the socket ends with 1001 when the gateway
stops, 1008 when the session does, 1013 when the client takes nothing or its session can't be checked, 1011 on a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import WSCloseCode, WSMsgType, web

from services.gateway.streams.domain import STREAMS, Position, Stream
from services.gateway.streams.service import TICKET_SECONDS, Streams, Tickets
from shared import tasks
from shared.contracts.constants import Endpoint
from shared.contracts.identity import CREATE_WS_TICKET, WebSocketTicket
from shared.contracts.system import WS_AGENT_THOUGHTS, WS_ALERTS, WS_RECEIPTS, StreamFrame, StreamQuery
from shared.errors import UNAVAILABLE, AuroraError
from shared.http import Call, Route, bind
from shared.identity import Principal
from shared.log import get_logger
from shared.telemetry import WEBSOCKET_CLIENTS, WEBSOCKET_SLOW_READERS

_HEARTBEAT_SECONDS = 20.0
_PARTING_SECONDS = 3.0
#: Clients have nothing to say but pongs.
_LARGEST_INCOMING = 1024
#: Bytes on their way to one client before sending waits for it.
_IN_FLIGHT = 256 * 1024
_log = get_logger("streams")

StreamEndpoint = Endpoint[StreamQuery, None, StreamFrame]


class Parting(NamedTuple):
    """How a socket ends."""

    code: int
    reason: bytes


@dataclass
class Sockets:
    """The open WebSockets of this process. `alive` raises AuroraError when the principal's session is over."""

    streams: Streams
    alive: Callable[[Principal], Awaitable[None]]
    slow_seconds: float
    session_check_seconds: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def stop(self, _app: web.Application) -> None:
        """Lets every socket go with 1001; for the application's on_shutdown."""
        self.stopping.set()

    async def serve(self, endpoint: StreamEndpoint, call: Call[StreamQuery, None]) -> web.WebSocketResponse:
        """One client, from handshake to close."""
        start = await self.streams.position(call.query.since)
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS,
            max_msg_size=_LARGEST_INCOMING,
            compress=False,
            timeout=_PARTING_SECONDS,
            writer_limit=_IN_FLIGHT,
        )
        await socket.prepare(call.request)
        with WEBSOCKET_CLIENTS.labels(endpoint.path).track_inprogress():
            parting = await self._run(socket, endpoint, start, call.principal)
        if parting is not None:
            await _part(socket, call.request, parting)
        return socket

    async def _run(
        self, socket: web.WebSocketResponse, endpoint: StreamEndpoint, start: Position, principal: Principal
    ) -> Parting | None:
        try:
            async with asyncio.TaskGroup() as group:
                parts = [
                    group.create_task(self._send(socket, endpoint, STREAMS[endpoint], start), name="stream:send"),
                    group.create_task(_listen(socket), name="stream:listen"),
                    group.create_task(self._watch(principal), name="stream:watch"),
                ]
                done, rest = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                await tasks.end(rest)
            return next((task.result() for task in done if task.result() is not None), None)
        except* Exception as group_error:  # noqa: BLE001 - a boundary: the socket is no longer HTTP, so it is closed here
            _log.error("stream failed", exc_info=group_error)
        return Parting(WSCloseCode.INTERNAL_ERROR, b"internal error")

    async def _send(
        self, socket: web.WebSocketResponse, endpoint: StreamEndpoint, stream: Stream, start: Position
    ) -> Parting | None:
        async with aclosing(self.streams.frames(stream, start)) as frames:
            async for frame in frames:
                try:
                    async with asyncio.timeout(self.slow_seconds):
                        await socket.send_str(frame.decode())
                except TimeoutError:
                    WEBSOCKET_SLOW_READERS.labels(endpoint.path).inc()
                    return Parting(WSCloseCode.TRY_AGAIN_LATER, b"too slow: resume with since")
                except ConnectionError:
                    return None
        return None

    async def _watch(self, principal: Principal) -> Parting:
        while True:
            try:
                async with asyncio.timeout(self.session_check_seconds):
                    await self.stopping.wait()
                return Parting(WSCloseCode.GOING_AWAY, b"stopping")
            except TimeoutError:
                pass
            try:
                await self.alive(principal)
            except AuroraError as error:
                if error.code is UNAVAILABLE:
                    return Parting(WSCloseCode.TRY_AGAIN_LATER, b"the session can't be checked")
                return Parting(WSCloseCode.POLICY_VIOLATION, b"the session has ended")


async def _listen(socket: web.WebSocketResponse) -> Parting | None:
    async for message in socket:
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            break
        return Parting(WSCloseCode.POLICY_VIOLATION, b"this stream takes no messages")
    return None


async def _part(socket: web.WebSocketResponse, request: web.Request, parting: Parting) -> None:
    try:
        async with asyncio.timeout(_PARTING_SECONDS):
            await socket.close(code=parting.code, message=parting.reason, drain=False)
    except TimeoutError:
        _log.info("client didn't take its close", code=parting.code)
    # A client that takes nothing would keep the connection, and what waits for it, for ever.
    if request.transport is not None:
        request.transport.abort()


def routes(sockets: Sockets, tickets: Tickets) -> list[Route]:
    """The routes of streams."""

    def serving(endpoint: StreamEndpoint) -> Callable[[Call[StreamQuery, None]], Awaitable[Any]]:
        return lambda call: sockets.serve(endpoint, call)

    async def ticket(call: Call[None, None]) -> WebSocketTicket:
        return WebSocketTicket(await tickets.issue(call.principal), TICKET_SECONDS)

    return [
        bind(CREATE_WS_TICKET, ticket),
        bind(WS_ALERTS, serving(WS_ALERTS)),
        bind(WS_AGENT_THOUGHTS, serving(WS_AGENT_THOUGHTS)),
        bind(WS_RECEIPTS, serving(WS_RECEIPTS)),
    ]
