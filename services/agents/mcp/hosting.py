"""An ASGI application behind one handler of ours: sign-in, limits, request ids, logs and the drain stay the platform's.

It passes a request on, and the answer back: whole, or in pieces where it is a stream of events. It knows no protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, suppress
from http import HTTPStatus
from typing import Any, Protocol

from aiohttp import hdrs, web

from shared.contracts.wire import encode

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_STREAM = "text/event-stream"
#: How often an exchange looks whether its client is still there.
_LOOK_SECONDS = 1.0
_INVALID_REQUEST = -32600
#: The server's own: `connection` and the lengths of what is sent in pieces.
_NOT_PASSED = {"connection", "transfer-encoding", "date", "server"}


class Application(Protocol):
    """What is hosted: `run` is open for as long as it serves."""

    def run(self) -> AbstractAsyncContextManager[None]:
        """Entered and left in one task."""

    async def handle_request(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One exchange."""


class Hosted:
    """An application that is made when it is first asked for: who never asks pays neither its time nor its memory."""

    def __init__(self, make: Callable[[], Application]) -> None:
        """`make` runs in a thread: it may import much."""
        self._make = make
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._application: Application | None = None

    async def run(self) -> None:
        """Serves until it is cancelled."""
        await self._wanted.wait()
        application = await asyncio.to_thread(self._make)
        async with application.run():
            self._application = application
            self._ready.set()
            await asyncio.Event().wait()

    async def answer(self, request: web.Request, body: bytes, state: Mapping[str, Any]) -> web.StreamResponse:
        """The application's answer. `state` is what it finds as `request.state`."""
        self._wanted.set()
        await self._ready.wait()
        if self._application is None:
            raise RuntimeError("ready without an application")
        exchange = _Exchange(request, body)
        await self._application.handle_request(_scope(request, state), exchange.receive, exchange.send)
        return await exchange.response()


def _scope(request: web.Request, state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.raw_path.partition("?")[0].encode("ascii", "replace"),
        "query_string": request.rel_url.raw_query_string.encode("ascii", "replace"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": None,
        "server": None,
        "state": dict(state),
    }


class _Exchange:
    """One request and its answer, as ASGI has them."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self._request = request
        self._body: bytes | None = body
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._whole = bytearray()
        self._stream: web.StreamResponse | None = None

    async def receive(self) -> Message:
        """The body; after that nothing, until the client goes away."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        while self._is_there():  # noqa: ASYNC110 - aiohttp tells nobody that a client went away
            await asyncio.sleep(_LOOK_SECONDS)
        return {"type": "http.disconnect"}

    def _is_there(self) -> bool:
        transport = self._request.transport
        return transport is not None and not transport.is_closing()

    async def send(self, message: Message) -> None:
        """Takes the head, then the body. What a client doesn't take any more is dropped: `receive` says so."""
        if message["type"] == "http.response.start":
            await self._start(message)
            return
        piece = bytes(message.get("body", b""))
        if self._stream is None:
            self._whole += piece
            return
        if piece:
            with suppress(ConnectionResetError):
                await self._stream.write(piece)

    async def _start(self, message: Message) -> None:
        self._status = int(message["status"])
        pairs = [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in message["headers"]]
        self._headers = [(name, value) for name, value in pairs if name.lower() not in _NOT_PASSED]
        if self._header(hdrs.CONTENT_TYPE).startswith(_STREAM):
            # A client waits for the head of a stream whose first event may be long in coming.
            self._stream = web.StreamResponse(status=self._status, headers=dict(self._headers))
            await self._stream.prepare(self._request)

    def _header(self, wanted: str) -> str:
        return next((value for name, value in self._headers if name.lower() == wanted.lower()), "")

    async def response(self) -> web.StreamResponse:
        """What is left to send. Raises RuntimeError when the application answered nothing."""
        if self._stream is not None:
            with suppress(ConnectionResetError):
                await self._stream.write_eof()
            return self._stream
        if self._status == 0:
            raise RuntimeError("the application did not answer")
        headers = {name: value for name, value in self._headers if name.lower() != "content-length"}
        if self._status >= HTTPStatus.BAD_REQUEST and not self._header(hdrs.CONTENT_TYPE).endswith("json"):
            return _refusal(self._status, bytes(self._whole), headers)
        return web.Response(status=self._status, headers=headers, body=bytes(self._whole))


def _refusal(status: int, text: bytes, headers: dict[str, str]) -> web.Response:
    """A refusal in plain text as the JSON-RPC error that it should be."""
    said = text.decode("utf-8", "replace")[:200] or HTTPStatus(status).phrase
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": _INVALID_REQUEST, "message": said}}
    headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    return web.Response(status=status, headers=headers, body=encode(error), content_type="application/json")
