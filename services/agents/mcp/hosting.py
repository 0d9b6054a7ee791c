"""An ASGI application behind one handler of ours: sign-in, limits, request ids, logs and the drain stay the platform's.

It passes a request on, and the answer back: whole, or in pieces where it is a stream of events. It knows no protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, suppress
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from aiohttp import hdrs, web

from shared.contracts.wire import decode, encode
from shared.http_errors import error_of_status

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_STREAM = "text/event-stream"
#: How often an exchange looks whether its client is still there.
_LOOK_SECONDS = 1.0
_INVALID_REQUEST = -32600
#: The server's own: `connection` and the lengths of what is sent in pieces.
_NOT_PASSED = {"connection", "transfer-encoding", "date", "server"}


class _Error(msgspec.Struct):
    code: int
    message: str
    data: Any = None


class _Told(msgspec.Struct):
    error: _Error
    id: str | int | None = None


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
        body = bytes(self._whole)
        if self._status >= HTTPStatus.BAD_REQUEST:
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
            told = encode(_refusal(self._status, body))
            return web.Response(status=self._status, headers=headers, body=told, content_type="application/json")
        return web.Response(status=self._status, headers=headers, body=body)


def _refusal(status: int, body: bytes) -> dict[str, Any]:
    """A refusal of the application as the JSON-RPC error that it is or, in plain text, should be; with the code of ours
    and without what a validator thinks of each form that a message might have."""
    try:
        told = decode(body, _Told)
    except msgspec.DecodeError:
        said = body.decode("utf-8", "replace")[:200] or HTTPStatus(status).phrase
        told = _Told(_Error(_INVALID_REQUEST, said))
    code = error_of_status(status).code.code
    data = told.error.data if isinstance(told.error.data, dict) else {}
    message = told.error.message
    short = message.partition(":")[0] if "\n" in message else message
    error = {"code": told.error.code, "message": short, "data": {"code": code, **data}}
    return {"jsonrpc": "2.0", "id": told.id, "error": error}
