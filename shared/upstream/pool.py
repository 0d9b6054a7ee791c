"""Connections to one service, kept open between requests: their number, their age, and the one retry.

A request goes a second time only when a second one does no harm, its body is at hand, and the kept connection that it
was sent on died before one byte of an answer: services close idle connections in the moment they are used again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterable, Mapping
from urllib.parse import urlsplit

from shared.upstream.connection import Answer, Connection
from shared.upstream.message import IDEMPOTENT, AnswerBroken, Unreachable, head_of


class Pool:
    """Connections to the service at `base_url` (http or https). Times in seconds."""

    def __init__(
        self, base_url: str, *, limit: int = 256, connect_seconds: float = 2.0, keep_seconds: float = 30.0
    ) -> None:
        """Raises ValueError when `base_url` isn't one."""
        where = urlsplit(base_url)
        if where.scheme not in ("http", "https") or not where.hostname or where.query or where.fragment:
            raise ValueError(f"not the address of a service: {base_url}")
        self._host, self._port = where.hostname, where.port or (443 if where.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if where.scheme == "https" else None
        self._authority = where.netloc.rpartition("@")[2]
        self._path = where.path.rstrip("/")
        self._limit = limit
        self._connect_seconds = connect_seconds
        self._keep_seconds = keep_seconds
        self._idle: deque[Connection] = deque()
        self._open: set[Connection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        *,
        seconds: float,
        body: bytes | AsyncIterable[bytes] | None = None,
        length: int | None = None,
    ) -> Answer:
        """The answer, its body still to be read; leave its `async with` in any case.

        `target` is path and query, `length` of a `body` that comes in pieces is in bytes if it is known. `seconds`
        bounds each wait: for the head, for the next piece, for room to send. Raises Unreachable, AnswerLate,
        AnswerBroken, ValueError for what can't be sent, and what iterating `body` raises.
        """
        whole = b"" if body is None else body
        size = (
            (len(body) if isinstance(body, bytes) else -1 if length is None else length) if body is not None else None
        )
        head = head_of(method, self._path + target, self._authority, headers, size)
        while True:
            connection = await self._acquire()
            kept = connection.exchanges > 0
            try:
                answer = await connection.exchange(method, head, whole, size, seconds)
            except BaseException as error:
                connection.abort()
                again = kept and isinstance(error, AnswerBroken) and error.untouched
                if again and method in IDEMPOTENT and isinstance(whole, bytes):
                    continue
                raise
            answer.released = self._release
            return answer

    async def _acquire(self) -> Connection:
        loop = asyncio.get_running_loop()
        while True:
            while self._idle:
                connection = self._idle.pop()
                if connection.is_open and loop.time() - connection.used_at < self._keep_seconds:
                    return connection
                connection.abort()
            if len(self._open) + self._opening < self._limit:
                return await self._connect()
            await self._vacancy(loop)

    async def _vacancy(self, loop: asyncio.AbstractEventLoop) -> None:
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._connect_seconds):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._next()  # what it was woken for is for another
            if isinstance(error, TimeoutError):
                raise Unreachable("all connections are in use") from None
            raise

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        self._opening += 1
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._gone), self._host, self._port, ssl=self._tls
                )
        except (OSError, TimeoutError) as error:
            self._next()
            raise Unreachable(type(error).__name__) from error
        finally:
            self._opening -= 1
        if connection.is_open:
            self._open.add(connection)
        return connection

    def _release(self, connection: Connection) -> None:
        if not connection.reusable:
            connection.abort()
            return
        now = connection.used_at = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if now - self._idle[0].used_at > self._keep_seconds:
            self._idle.popleft().abort()
        self._next()

    def _gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._next()

    def _next(self) -> None:
        """Lets one who waits for a connection look again."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def close(self) -> None:
        """Ends all connections, those in use too."""
        for connection in list(self._open):
            connection.abort()
