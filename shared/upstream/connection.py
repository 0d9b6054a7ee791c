"""One connection to a service: one exchange at a time, streamed both ways. The one file that knows the HTTP parser.

llhttp reads, in its strict mode. Whatever comes unasked (before a request, after an answer) ends the connection, so
that no answer can be taken for another's. This file knows no pool and repeats nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable
from types import TracebackType
from typing import Literal, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from shared.upstream.message import AnswerBroken, AnswerLate, framing_of

_LARGEST_HEAD = 64 * 1024
_MOST_HEADERS = 128
#: Interim answers (100, 103) to one request.
_MOST_INTERIM = 8
#: Bytes of a body that wait for the caller before the service is held back, and how few let it go on.
_HIGH, _LOW = 256 * 1024, 64 * 1024


class Connection(asyncio.Protocol):
    """`lost` is called once, when the connection is gone."""

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._parser = HttpResponseParser(self)
        self._phase: Literal["idle", "head", "body", "done"] = "idle"
        self._transport: asyncio.Transport | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._reading = True
        self._pieces: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._bodiless = False
        self._interim = 0
        self._head_bytes = 0
        self._header_count = 0
        self._keep = False
        #: Not all of a request's body was sent: nothing may follow it.
        self._cut = False
        self._headers: dict[str, str] = {}
        self.status = 0
        #: When it was last used, by the loop's clock; and how many exchanges it has begun.
        self.used_at = 0.0
        self.exchanges = 0

    @property
    def is_open(self) -> bool:
        """Whether the transport still is."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last answer was read to its end, and the service keeps it open."""
        return self._keep and not self._cut and self._phase == "done" and not self._pieces and self.is_open

    def abort(self) -> None:
        """Ends it at once; whatever is under way fails."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(
        self, method: str, head: bytes, body: bytes | AsyncIterable[bytes], length: int | None, seconds: float
    ) -> Answer:
        """Sends a request and waits for the answer's head. Raises AnswerBroken and AnswerLate, and what `body` raises.

        `length` as in `head_of`. An answer that comes before the whole body was sent ends the sending.
        """
        self.exchanges += 1
        self._bodiless = method == "HEAD"
        self._interim = self._head_bytes = self._header_count = 0
        self._keep = False
        self._headers = {}
        if not self.is_open:
            raise AnswerBroken("the connection was gone", untouched=True)
        self._phase = "head"
        if isinstance(body, bytes):
            self._write(head + body)
        else:
            self._write(head)
            await self._send_while_unanswered(body, length, seconds)
        while self._unanswered():
            await self._wait(seconds)
        return Answer(self, self.status, self._headers, seconds)

    def _unanswered(self) -> bool:
        """Whether the answer's head is still to come. Raises when it can't come any more."""
        if self._phase != "head":
            return False
        if self._error is not None:
            raise self._error
        return True

    async def _send_while_unanswered(self, body: AsyncIterable[bytes], length: int | None, seconds: float) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(body, length, seconds), name="upstream:send")
                sending.add_done_callback(lambda _task: self._wake())
                while self._unanswered() and not sending.done():
                    await self._wait(None)  # the sending has its own bounds
                if not sending.done():
                    self._cut = True
                    sending.cancel()
        except BaseExceptionGroup as failures:
            error = failures.exceptions[0]
            # A service that refuses a body may close after its answer; its answer counts.
            if isinstance(error, AnswerBroken) and not self._unanswered():
                self._cut = True
            else:
                raise error from None

    async def _send(self, body: AsyncIterable[bytes], length: int | None, seconds: float) -> None:
        chunked, left = length is None or length < 0, length or 0
        async for piece in body:
            if chunked:
                self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b"")
            else:
                left -= len(piece)
                if left < 0:
                    raise AnswerBroken("a body was longer than its length says")
                self._write(piece)
            await self._drained(seconds)
        if chunked:
            self._write(b"0\r\n\r\n")
        elif left:
            raise AnswerBroken("a body was shorter than its length says")

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise self._error or AnswerBroken("the connection was gone", untouched=self._head_bytes == 0)
        self._transport.write(data)

    async def _drained(self, seconds: float) -> None:
        if self._writable is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self._writable
            except TimeoutError:
                raise AnswerLate("nothing more could be sent") from None

    async def _wait(self, seconds: float | None) -> None:
        """Until something happens. Fails the exchange when nothing does for so long."""
        self._waiter = waiter = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, self._expire)
        try:
            await waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _expire(self) -> None:
        self._fail(AnswerLate("nothing came"))

    def _fail(self, error: Exception) -> None:
        if self._error is None and self._phase != "done":
            self._error = error
        self._keep = False
        self.abort()
        self._wake()

    async def next_piece(self, seconds: float) -> bytes:
        """The next piece of the answer's body, b"" at its end. Raises AnswerBroken and AnswerLate."""
        while not self._pieces:
            if self._phase == "done":
                return b""
            if self._error is not None:
                raise self._error
            await self._wait(seconds)
        piece = self._pieces.popleft()
        self._waiting_bytes -= len(piece)
        if not self._reading and self._waiting_bytes <= _LOW and self.is_open and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()
        return piece

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=_HIGH, low=_LOW)

    def connection_lost(self, exc: Exception | None) -> None:
        untouched = self._phase == "head" and self._head_bytes == 0
        reason = type(exc).__name__ if exc is not None else "it closed before its answer was whole"
        self._fail(AnswerBroken(reason, untouched=untouched))
        self.resume_writing()
        self._transport = None
        self._lost(self)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        if self._phase in ("idle", "done"):
            self._fail(AnswerBroken("it sent something unasked"))
            return
        if self._phase == "head":
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._phase == "head" and self._head_bytes > _LARGEST_HEAD:
                raise AnswerBroken("its head is too large")
        except HttpParserUpgrade:
            self._fail(AnswerBroken("it changed the protocol, unasked"))
        except (HttpParserError, AnswerBroken) as error:
            cause = error.__context__ if isinstance(error.__context__, AnswerBroken) else error
            self._fail(cause if isinstance(cause, AnswerBroken) else AnswerBroken(type(error).__name__))

    # What the parser calls, in the midst of data_received. What they raise ends the connection.

    def on_message_begin(self) -> None:
        if self._phase != "head":
            raise AnswerBroken("it sent something unasked")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        if self._header_count > _MOST_HEADERS or self._phase != "head":
            raise AnswerBroken("it has too many headers, or some after its body")
        key, text = name.decode("latin-1").lower(), value.decode("utf-8", "replace").strip(" \t")
        known = self._headers.get(key)
        self._headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise AnswerBroken("it has too many interim answers")
            self._headers = {}
            return
        framing_of(status, self._headers, bodiless=self._bodiless)
        self.status = status
        self._phase = "body"
        if self._bodiless:
            # The parser would wait for the body that the head speaks of.
            keep = self._parser.should_keep_alive()
            self._parser = HttpResponseParser(self)
            self._end(keep)
        else:
            self._wake()

    def on_body(self, piece: bytes) -> None:
        if self._phase != "body":
            raise AnswerBroken("it sent a body where there is none")
        self._pieces.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes > _HIGH and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._phase == "body":  # and not an interim answer
            self._end(self._parser.should_keep_alive())

    def _end(self, keep: bool) -> None:
        self._phase = "done"
        self._keep = keep
        self._wake()


class Answer:
    """An answer whose head has come. Headers have lower-case names; a name that came more often is joined by commas.

    Leaving the `async with` gives the connection back, or ends it when the body wasn't read to its end.
    """

    __slots__ = ("_connection", "_seconds", "headers", "released", "status")

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self.status = status
        self.headers = headers
        #: Called with the connection at the end.
        self.released: Callable[[Connection], None] = Connection.abort

    @property
    def length(self) -> int | None:
        """What Content-Length says; None when the body comes in chunks, or there is none."""
        text = self.headers.get("content-length")
        return None if text is None else int(text)

    async def piece(self) -> bytes:
        """The next piece of the body, b"" at its end. Raises AnswerBroken and AnswerLate."""
        return await self._connection.next_piece(self._seconds)

    async def read(self) -> bytes:
        """The whole body; for one that is known to be small."""
        first = await self.piece()
        second = await self.piece() if first else b""
        if not second:
            return first
        pieces = [first, second]
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.released(self._connection)
