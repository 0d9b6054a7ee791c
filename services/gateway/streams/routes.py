"""The WebSockets, and the tickets for them.

A handshake that is refused is answered as any other request. After it the socket ends with 1001 when the gateway
stops, 1008 when what it was opened with does (token, key, session), 1013 when the client is too slow or its session
can't be checked, 1011 on a fault.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import WSCloseCode, WSMsgType, web

from services.gateway.streams.domain import Position, Stream, stream_at
from services.gateway.streams.service import TICKET_SECONDS, Streams, Tickets
from shared import tasks
from shared.contracts.constants import Endpoint
from shared.contracts.fleet import WS_AGENT_TOOL_CALLS
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
#: After a write the next waits so long, and takes all that came meanwhile: a write costs a system call.
_PACE_SECONDS = 0.008
_log = get_logger("streams")

StreamEndpoint = Endpoint[StreamQuery, None, StreamFrame]


class Parting(NamedTuple):
    """How a socket ends."""

    code: int
    reason: bytes


@dataclass
class Sockets:
    """The open WebSockets of this process. `still_admitted` raises AuroraError when what opened one is over."""

    streams: Streams
    still_admitted: Callable[[web.Request, Principal], Awaitable[None]]
    slow_seconds: float
    session_check_seconds: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def stop(self, _app: web.Application) -> None:
        """Lets every socket go with 1001; for the application's on_shutdown."""
        self.stopping.set()

    async def serve(self, endpoint: StreamEndpoint, call: Call[StreamQuery, None]) -> web.WebSocketResponse:
        """One client, from handshake to close."""
        stream = stream_at(endpoint, call.path)
        start = await self.streams.position(call.query.since)
        socket = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS,
            max_msg_size=_LARGEST_INCOMING,
            compress=False,
            timeout=_PARTING_SECONDS,
            writer_limit=0,  # after each write of ours it waits for room, if there is none
        )
        await socket.prepare(call.request)
        if call.request.transport is not None:
            call.request.transport.set_write_buffer_limits(high=_IN_FLIGHT)
        with WEBSOCKET_CLIENTS.labels(endpoint.path).track_inprogress():
            parting = await self._run(_Client(socket, call.request, endpoint.path), stream, start, call.principal)
        if parting is not None:
            await _part(socket, call.request, parting)
        return socket

    async def _run(self, client: _Client, stream: Stream, start: Position, principal: Principal) -> Parting | None:
        try:
            async with asyncio.TaskGroup() as group:
                parts = [
                    group.create_task(self._send(client, stream, start), name="stream:send"),
                    group.create_task(_listen(client.socket), name="stream:listen"),
                    group.create_task(self._watch(client.request, principal), name="stream:watch"),
                ]
                done, rest = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                await tasks.end(rest)
            return next((task.result() for task in done if task.result() is not None), None)
        except* Exception as group_error:  # noqa: BLE001 - a boundary: the socket is no longer HTTP, so it is closed here
            _log.error("stream failed", exc_info=group_error)
        return Parting(WSCloseCode.INTERNAL_ERROR, b"internal error")

    async def _send(self, client: _Client, stream: Stream, start: Position) -> Parting | None:
        try:
            await self._send_all(client, stream, start)
        except TimeoutError:
            WEBSOCKET_SLOW_READERS.labels(client.path).inc()
            return Parting(WSCloseCode.TRY_AGAIN_LATER, b"too slow: resume with since")
        except ConnectionError:
            return None
        return None

    async def _send_all(self, client: _Client, stream: Stream, start: Position) -> None:
        """Runs until cancelled. Raises TimeoutError when the client is too slow, ConnectionError when it is gone."""
        channel, since = await self.streams.channel(stream), start.since
        if start.gap is not None:
            await client.send([start.gap], self.slow_seconds)
        while since < (floor := channel.ring.floor):
            async with aclosing(self.streams.stored(stream, since, floor)) as frames:
                async for _, frame in frames:
                    await client.send([frame], self.slow_seconds)
            since = floor
        while True:
            found = await channel.after(since)
            if found is None:
                raise TimeoutError
            since, newest = found
            await client.send(newest, self.slow_seconds)
            await asyncio.sleep(_PACE_SECONDS)

    async def _watch(self, request: web.Request, principal: Principal) -> Parting:
        while True:
            try:
                async with asyncio.timeout(self.session_check_seconds):
                    await self.stopping.wait()
                return Parting(WSCloseCode.GOING_AWAY, b"stopping")
            except TimeoutError:
                pass
            try:
                await self.still_admitted(request, principal)
            except AuroraError as error:
                if error.code is UNAVAILABLE:
                    return Parting(WSCloseCode.TRY_AGAIN_LATER, b"the session can't be checked")
                return Parting(WSCloseCode.POLICY_VIOLATION, b"the session has ended")


@dataclass(frozen=True, slots=True)
class _Client:
    """One socket at an endpoint's path, written to in as few system calls as there can be."""

    socket: web.WebSocketResponse
    request: web.Request
    path: str

    async def send(self, frames: Sequence[bytes], seconds: float) -> None:
        """Sends the frames as text messages. Raises TimeoutError when there is no room for them in so many seconds."""
        transport = self.request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        if len(frames) > 1:
            transport.write(b"".join([part for frame in frames[:-1] for part in (_head(len(frame)), frame)]))
        async with asyncio.timeout(seconds):
            # The library's own way for the last: it waits while the transport has enough.
            await self.socket.send_frame(frames[-1], WSMsgType.TEXT)


def _head(length: int) -> bytes:
    """The head of a whole, unmasked text message (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((0x81, length))
    return struct.pack("!BBH", 0x81, 126, length) if length < 65536 else struct.pack("!BBQ", 0x81, 127, length)


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


def routes(sockets: Sockets, tickets: Tickets, until: Callable[[web.Request], float]) -> list[Route]:
    """The routes of streams. `until` says when what a request was made with ends, in epoch seconds."""

    def serving(endpoint: StreamEndpoint) -> Callable[[Call[StreamQuery, None]], Awaitable[Any]]:
        return lambda call: sockets.serve(endpoint, call)

    async def ticket(call: Call[None, None]) -> WebSocketTicket:
        return WebSocketTicket(await tickets.issue(call.principal, until(call.request)), TICKET_SECONDS)

    return [
        bind(CREATE_WS_TICKET, ticket),
        bind(WS_ALERTS, serving(WS_ALERTS)),
        bind(WS_AGENT_THOUGHTS, serving(WS_AGENT_THOUGHTS)),
        bind(WS_RECEIPTS, serving(WS_RECEIPTS)),
        bind(WS_AGENT_TOOL_CALLS, serving(WS_AGENT_TOOL_CALLS)),
    ]
