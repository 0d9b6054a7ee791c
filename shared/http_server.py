"""The outermost edge of HTTP: what aiohttp refuses before any middleware runs is refused in our form too.

Owns the Runner that serves an application. Requests that can't be parsed, an `Expect` that nobody fulfils and faults
outside the error boundary get the three headers and an error's form, never aiohttp's own text. Connections whose client
is too slow are cut.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

from aiohttp import hdrs, web

from shared import telemetry
from shared.contracts.wire import encode
from shared.errors import DEADLINE_EXCEEDED, INTERNAL, MALFORMED_REQUEST, AuroraError
from shared.http import stamp
from shared.http_errors import REQUEST_ID, error_body, error_of, error_response
from shared.log import get_logger
from shared.patience import Patience, PatienceSettings, Seen
from shared.security_headers import SECURITY_HEADERS

#: Bytes of a request line: the longest search, written as a URL.
_LONGEST_LINE = 32 * 1024
_log = get_logger("http")


class Runner(web.AppRunner):
    """Runs an application on connections that refuse in our form and don't wait for ever."""

    def __init__(self, app: web.Application, *, patience: PatienceSettings | None = None, **options: Any) -> None:
        super().__init__(app, max_line_size=_LONGEST_LINE, **options)
        self._patience = patience or PatienceSettings()
        self._looking: asyncio.TimerHandle | None = None

    async def setup(self) -> None:
        """Prepares the application, and begins to look at its connections."""
        await super().setup()
        self._look()

    async def cleanup(self) -> None:
        """Lets what is in flight end, as aiohttp does; slow clients are cut until then."""
        await super().cleanup()
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        if self.server is not None:
            for connection in self.server.connections:
                cast(_Connection, connection).look()
        self._looking = asyncio.get_running_loop().call_later(self._patience.look_seconds, self._look)

    async def _make_server(self) -> web.Server:
        return _Server(self.app, await super()._make_server(), self._patience)


class _Server(web.Server):
    def __init__(self, app: web.Application, made: web.Server, patience: PatienceSettings) -> None:
        handler = _refuse_outside(made.request_handler)
        super().__init__(handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs)
        self._app = app
        self._patience = patience

    def __call__(self) -> web.RequestHandler:
        return _Connection(self._app, self, Patience(self._patience), loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_app", "_head_since", "_patience", "_received", "_taken", "_wire")

    def __init__(self, app: web.Application, server: web.Server, patience: Patience, **options: Any) -> None:
        super().__init__(server, **options)
        self._app = app
        self._patience = patience
        self._head_since: float | None = None
        self._received = 0
        self._taken = 0
        self._wire: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wire = cast(asyncio.Transport, transport)
        self._head_since = self._loop.time()

    def data_received(self, data: bytes) -> None:
        known = self._request_count
        super().data_received(data)
        self._received += len(data)
        if self._request_count != known:
            self._head_since = None
        elif self._head_since is None and self._awaits_head():
            self._head_since = self._loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._taken += 1

    def _awaits_head(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def look(self) -> None:
        """Cuts the connection when its client was too slow."""
        wire = self._wire
        if wire is None:
            return
        request = self._current_request
        # Reading stops when whoever handles the request is slower than its client.
        ours = self._reading_paused or self._buffer_paused or self._upgraded
        holds_answer = self.writing_paused or wire.is_closing()
        seen = Seen(
            head_since=self._head_since if self._awaits_head() else None,
            owes_body=request is not None and not ours and not request.content.is_eof(),
            received=self._received,
            holds_answer=holds_answer,
            taken=self._taken,
            left=_unacknowledged(wire) if holds_answer else 0,
        )
        slow_at = self._patience.lost(seen, self._loop.time())
        if slow_at is not None:
            _log.info("client was too slow", slow_at=slow_at)
            self._wire = None
            wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            # Part of an answer is out: only a cut connection can say that it isn't whole.
            raise ConnectionError("the answer broke off")
        if isinstance(exc, ConnectionResetError):
            _log.info("client went away")  # in the middle of its body: anybody may, as often as they like
        elif status >= 500:
            _log.error("request failed", exc_info=exc)
        else:
            _log.info("request can't be read", reason=type(exc).__name__)
        code = {400: MALFORMED_REQUEST, 504: DEADLINE_EXCEEDED}.get(status, INTERNAL)
        request_id = telemetry.accept_request_id(None)
        body = encode(error_body(AuroraError(code), request_id))
        # What isn't HTTP has no path, so it is refused in the envelope, whatever it was meant for.
        response = web.Response(body=body, status=code.status, content_type="application/json")
        stamp(self._app, request_id, response)
        response.headers.update(SECURITY_HEADERS)
        response.headers[hdrs.SERVER] = "aurora"
        response.force_close()
        return response


def _unacknowledged(wire: asyncio.Transport) -> int:
    """Bytes on their way to the client: room for more is told only once much of the system's own buffer is free."""
    queued = struct.pack("i", 0)
    with suppress(OSError, TypeError, ValueError):  # closed meanwhile
        queued = fcntl.ioctl(wire.get_extra_info("socket"), termios.TIOCOUTQ, queued)
    return int(wire.get_write_buffer_size()) + int(struct.unpack("i", queued)[0])


def _refuse_outside(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            request[REQUEST_ID] = telemetry.accept_request_id(request.headers.get(telemetry.REQUEST_ID_HEADER))
            return error_response(request, error_of(error))
        return response

    return handle
