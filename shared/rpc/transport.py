"""The WebSocket library, behind an interface of our own: text messages over a socket, for both sides.

No compression, no proxy, no redirect; every size and time is bounded; the library's errors become ConnectionLost or an
AuroraError here. Knows no JSON-RPC. What a listener lets in is decided by the `admit` it is given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from websockets import Headers, Request, Response
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from shared.contracts.common import ErrorEnvelope
from shared.contracts.constants import ERROR_CODES
from shared.errors import AuroraError
from shared.rpc.frames import MASKED
from shared.rpc.shortcut import Shortcut

_CLOSE_SECONDS = 2.0
_TEXT_ONLY = 1003
_SWITCHING_PROTOCOLS = 101

# The library logs each refused handshake with a traceback, and headers (so tokens) at debug: we log what matters.
_quiet = logging.getLogger("shared.rpc.websockets")
_quiet.setLevel(logging.CRITICAL)


class ConnectionLost(Exception):
    """The connection couldn't be made, or ended before an answer. `code` is the WebSocket close code, None without
    one."""

    def __init__(self, code: int | None = None) -> None:
        self.code = code
        super().__init__(f"connection lost ({code})")


@dataclass(frozen=True)
class Asked:
    """The request of a handshake, as far as anyone needs it. A header sent twice counts as not sent."""

    method: str
    path: str
    authorization: str | None
    request_id: str | None
    upgrade: bool


@dataclass(frozen=True)
class Rejection:
    """An answer in plain HTTP instead of a WebSocket."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Admission:
    """The way in: `who` is handed to the connection's handler, `headers` go onto the 101."""

    who: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Socket:
    """One open WebSocket: whole text messages in and out."""

    def __init__(self, connection: Shortcut, max_frame: int) -> None:
        self._connection = connection
        self._max_frame = max_frame
        self._received = 0
        #: Sends without waiting, if the connection is open and its buffers have room; whether it did. `alone`: at once,
        #: and not at the end of the turn together with what else there may be.
        self.post = connection.post

    def take_by(self, take: Callable[[str], object]) -> None:
        """From now on hands a message to `take` as soon as it is there, where nothing else is on the way and our own
        buffers have room. All others come by `receive`. `take` must not wait."""
        self._connection.take_by(take, self._max_frame)

    async def receive(self) -> str | None:
        """The next message that wasn't taken; None when the connection has ended. A binary frame ends it with 1003.
        Asking for the next says that the one before is dealt with."""
        self._connection.behind -= self._received
        self._received = 0
        try:
            message = await self._connection.recv()
        except ConnectionClosed:
            return None
        self._received = 1
        if isinstance(message, str):
            return message
        await self.close(_TEXT_ONLY, "text frames only")
        return None

    async def send(self, message: bytes) -> None:
        """Sends UTF-8 bytes as one text frame; waits while the peer's buffers are full. Raises ConnectionLost."""
        if self.post(message):
            return
        try:
            await self._connection.send(message, text=True)
        except ConnectionClosed as error:
            raise ConnectionLost(self._connection.close_code) from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """The closing handshake, at most two seconds of it."""
        await self._connection.close(code, reason)

    @property
    def close_code(self) -> int | None:
        """Why it was closed, None while it is open."""
        return self._connection.close_code


class Listener:
    """A listening socket and its open connections."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def port(self) -> int:
        """The bound port, where 0 was asked for too."""
        return int(self._server.sockets[0].getsockname()[1])

    def stop_listening(self) -> None:
        """Refuses new connections; open ones stay."""
        self._server.close(close_connections=False)

    async def close(self, code: int, reason: str) -> None:
        """Closes every connection and waits until their handlers have ended."""
        self.stop_listening()
        await asyncio.gather(*(connection.close(code, reason) for connection in self._server.connections))
        await self._server.wait_closed()


class _Incoming(Shortcut, ServerConnection):
    """The library's connection, plus what `admit` decided about it."""

    inbound = MASKED
    verdict: Admission | Rejection | None = None


class _Outgoing(Shortcut, ClientConnection):
    """The library's connection."""

    inbound = 0


@dataclass(frozen=True)
class ListenSettings:
    """Bytes of a message, and seconds for the handshake and between pings."""

    max_frame: int
    open_seconds: float
    ping_seconds: float


async def listen(
    host: str,
    port: int,
    settings: ListenSettings,
    *,
    admit: Callable[[Asked], Awaitable[Admission | Rejection]],
    rejected: Callable[[Asked, int], Rejection],
    handle: Callable[[Socket, Any], Awaitable[None]],
) -> Listener:
    """Starts listening. `admit` judges each handshake, `handle` owns each connection (and gets `who`), `rejected` words
    the refusals that the WebSocket protocol itself makes. Raises OSError when the port is taken."""

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        verdict = cast(_Incoming, connection).verdict = await admit(_asked(request))
        return _response(connection, verdict) if isinstance(verdict, Rejection) else None

    def process_response(connection: ServerConnection, request: Request, response: Response) -> Response | None:
        verdict = cast(_Incoming, connection).verdict
        if isinstance(verdict, Rejection):
            return None
        if verdict is None or response.status_code != _SWITCHING_PROTOCOLS:
            return _response(connection, rejected(_asked(request), response.status_code))
        response.headers.update(verdict.headers)
        return None

    async def handler(connection: ServerConnection) -> None:
        verdict = cast(Admission, cast(_Incoming, connection).verdict)
        await handle(Socket(cast(_Incoming, connection), settings.max_frame), verdict.who)

    server = await serve(
        handler,
        host,
        port,
        compression=None,
        process_request=process_request,
        process_response=process_response,
        server_header=None,
        open_timeout=settings.open_seconds,
        ping_interval=settings.ping_seconds,
        ping_timeout=settings.ping_seconds,
        close_timeout=_CLOSE_SECONDS,
        max_size=settings.max_frame,
        logger=_quiet,
        create_connection=_Incoming,
    )
    return Listener(server)


def _asked(request: Request) -> Asked:
    def single(name: str) -> str | None:
        values = request.headers.get_all(name)
        return values[0] if len(values) == 1 else None

    upgrade = (single("Upgrade") or "").lower() == "websocket"
    path = request.path.partition("?")[0]
    return Asked(request.method, path, single("Authorization"), single("X-Request-ID"), upgrade)


def _response(connection: ServerConnection, rejection: Rejection) -> Response:
    response = connection.respond(rejection.status, "")
    headers = Headers(response.headers)
    for name in ("Content-Type", "Content-Length"):
        del headers[name]
    headers["Content-Type"] = rejection.content_type
    headers["Content-Length"] = str(len(rejection.body))
    for name, value in rejection.headers.items():
        headers[name] = value
    return Response(response.status_code, response.reason_phrase, headers, rejection.body)


class _DirectConnect(connect):
    """Follows no redirect: a token is for the address it was made for."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def dial(url: str, token: str, *, max_frame: int, open_seconds: float, ping_seconds: float) -> Socket:
    """Opens a WebSocket. Raises AuroraError when the server refuses in its own words, ConnectionLost when there is no
    server or it isn't one of ours, ValueError for a URL that isn't ws:// or wss://."""
    try:
        connection = await _DirectConnect(
            url,
            additional_headers={"Authorization": f"Bearer {token}"},
            user_agent_header="aurora",
            compression=None,
            proxy=None,
            open_timeout=open_seconds,
            ping_interval=ping_seconds,
            ping_timeout=ping_seconds,
            close_timeout=_CLOSE_SECONDS,
            max_size=max_frame,
            logger=_quiet,
            create_connection=_Outgoing,
        )
    except InvalidStatus as error:
        raise _refusal(error.response) from error
    except InvalidURI as error:
        raise ValueError(f"not a WebSocket URL: {url}") from error
    except (OSError, InvalidHandshake) as error:
        raise ConnectionLost from error
    return Socket(cast(_Outgoing, connection), max_frame)


def _refusal(response: Response) -> AuroraError | ConnectionLost:
    try:
        body = msgspec.json.decode(response.body or b"", type=ErrorEnvelope).error
    except msgspec.DecodeError:
        return ConnectionLost()
    code = ERROR_CODES.get(body.code)
    return ConnectionLost() if code is None else AuroraError(code, body.detail)
