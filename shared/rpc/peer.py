"""The calling side: many calls over one WebSocket, which is opened when needed and opened again when lost.

Every waiter is woken when the connection ends; a reply nobody waits for is dropped; a caller that gives up sends
rpc.cancel. A handoff that lost its connection is sent again under the same ids, and the server runs it once; anything
else is AURORA-5030, since it may have run. This is the one file that imports jsonrpcclient. Knows no handoff policy.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import msgspec
from jsonrpcclient import Error, Ok, notification, parse

from shared.contracts.agents import Handoff
from shared.contracts.constants import Method
from shared.errors import CONFLICT, DEADLINE_EXCEEDED, INTERNAL, PAYLOAD_TOO_LARGE, UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.rpc.deadlines import Deadlines
from shared.rpc.limits import PeerLimits
from shared.rpc.places import Places
from shared.rpc.transport import ConnectionLost, Socket, dial
from shared.rpc.wire import CANCELLED, decode, encode, error_from_wire
from shared.telemetry import traceparent

P = TypeVar("P")
R = TypeVar("R")

_Key = str | int
_CANCEL_SECONDS = 1.0
_BACKOFF_FIRST = 0.05
_BACKOFF_MOST = 1.0
_log = get_logger("rpc")


class _Line:
    """One connection and the calls that wait on it."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.lost = False
        self._closing = False
        self._cancels: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[_Key, asyncio.Future[Ok | Error | ConnectionLost]] = {}
        socket.take_by(self._reply)
        self.reader = self._loop.create_task(self._read(), name="rpc peer reader")

    async def exchange(self, key: _Key, message: bytes) -> Ok | Error:
        """Sends a request and waits for its reply. Raises ConnectionLost. Cancelled, it takes the request back."""
        waiter: asyncio.Future[Ok | Error | ConnectionLost] = self._loop.create_future()
        self._waiting[key] = waiter
        try:
            if not self.socket.post(message, alone=len(self._waiting) == 1):
                await self.socket.send(message)
            reply = await waiter
        except asyncio.CancelledError:
            self._take_back(key)
            raise
        finally:
            del self._waiting[key]
        if isinstance(reply, ConnectionLost):
            raise reply
        return reply

    async def close(self) -> None:
        """Closes the connection; every waiter gets ConnectionLost."""
        self._closing = True
        await self.socket.close()
        await self.reader
        if self._cancels:
            await asyncio.wait(self._cancels)

    def _take_back(self, key: _Key) -> None:
        if self.lost or self._closing:
            return
        task = self._loop.create_task(_send_cancel(self.socket, key), name="rpc cancel")
        self._cancels.add(task)
        task.add_done_callback(self._cancels.discard)

    async def _read(self) -> None:
        try:
            while (text := await self.socket.receive()) is not None:
                self._reply(text)
        finally:
            self.lost = True
            # A result and not an exception: a caller that is still sending would leave it unseen.
            for waiter in self._waiting.values():
                if not waiter.done():
                    waiter.set_result(ConnectionLost(self.socket.close_code))

    def _reply(self, text: str) -> None:
        try:
            message = decode(text)
            # The library takes a message with both for a result, and one with neither for an error.
            if type(message) is not dict or ("result" in message) == ("error" in message):
                raise ValueError("not one of result and error")
            # A result says nothing that the library would have to look into.
            reply = Ok(message["result"], message["id"]) if "result" in message else _error(message)
            waiter = self._waiting.get(reply.id)
            # Only an earlier call can have taken the request back: a handoff's id is used again when it is retried.
            if isinstance(reply, Error) and reply.code == CANCELLED:
                return
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.warning("not a JSON-RPC reply", bytes=len(text))
            return
        # None: the caller has given up, or the id was never ours.
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)


class Peer:
    """A client of one agent. Use it as an async context manager, or call `close`."""

    def __init__(self, url: str, token: Callable[[], str], limits: PeerLimits | None = None) -> None:
        self.url = url
        self._token = token
        self._limits = limits or PeerLimits()
        self._ids = itertools.count(1)
        self._deadlines = Deadlines()
        self._places = Places(self._limits.max_in_flight)
        self._asked: set[_Key] = set()
        self._line: _Line | None = None
        self._connecting: asyncio.Task[_Line] | None = None
        self._closed = False
        self._retired = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(self, method: Method[P, R], params: P, *, handoff: Handoff | None = None, timeout: float) -> R:
        """Calls a method and returns its result.

        `timeout` is in seconds and covers everything: connecting, waiting for a place, running. With a `handoff` the
        request id is its `handoff_id`, so that the same handoff is one request, from whatever process it is sent.
        Raises AuroraError: AURORA-5030 without a connection, AURORA-5040 when time is up, AURORA-4130 for params
        beyond a frame, AURORA-4090 for a handoff that this Peer already waits for, AURORA-5000 for a result that
        isn't `method.returns`, else what the agent refused with."""
        key: _Key = next(self._ids) if handoff is None else handoff.handoff_id
        if key in self._asked:
            raise AuroraError(CONFLICT, {"handoff_id": key})
        message = self._encode({"jsonrpc": "2.0", "method": method.name, "params": _params(params, handoff), "id": key})
        self._asked.add(key)
        try:
            with self._deadlines.within(timeout):
                if not self._places.take():
                    await self._places.wait()
                try:
                    reply = await self._ask(key, message, 0 if handoff is None else self._limits.resends)
                finally:
                    self._places.leave()
        except TimeoutError as error:
            raise AuroraError(DEADLINE_EXCEEDED) from error
        finally:
            self._asked.discard(key)
        return _result(method, reply)

    async def notify(
        self, method: Method[P, Any], params: P, *, handoff: Handoff | None = None, timeout: float
    ) -> None:
        """Sends a notification: no answer, also no error. Raises AURORA-5030, 5040 or 4130 when it can't be sent."""
        message = self._encode(notification(method.name, _params(params, handoff)))
        try:
            with self._deadlines.within(timeout):
                line = await self._connected()
                await line.socket.send(message)
        except TimeoutError as error:
            raise AuroraError(DEADLINE_EXCEEDED) from error
        except ConnectionLost as error:
            raise AuroraError(UNAVAILABLE) from error

    @property
    def retired(self) -> bool:
        """Whether it was retired."""
        return self._retired

    def retire(self) -> None:
        """Opens no connection any more: what is under way may end on the open one, everything else is AURORA-5030."""
        self._retired = True
        if self._connecting is not None:
            self._connecting.cancel()

    async def close(self) -> None:
        """Closes the connection; every waiting call raises AURORA-5030."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._line is not None:
            await self._line.close()

    def _encode(self, message: dict[str, Any]) -> bytes:
        frame = encode(message)
        if len(frame) > self._limits.max_frame:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"max_bytes": self._limits.max_frame, "bytes": len(frame)})
        return frame

    async def _ask(self, key: _Key, message: bytes, resends: int) -> Ok | Error:
        while True:
            line = self._line
            if line is None or line.lost or self._closed:
                line = await self._connected()
            try:
                return await line.exchange(key, message)
            except ConnectionLost as lost:
                if resends == 0:
                    raise AuroraError(UNAVAILABLE) from lost
                resends -= 1
                _log.warning("connection lost during a handoff", url=self.url, handoff_id=key, close_code=lost.code)

    async def _connected(self) -> _Line:
        """The open connection, or a new one that all callers wait for together. Raises AuroraError."""
        if self._closed:
            raise _gone()
        if self._line is not None and not self._line.lost:
            return self._line
        if self._retired:
            raise _gone()
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="rpc peer connect")
            self._connecting.add_done_callback(self._connect_ended)
        connecting = self._connecting
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # Ending it cancels the attempt, which callers must not take for a cancellation of their own.
            if connecting.cancelled() and (self._closed or self._retired):
                raise _gone() from None
            raise

    def _connect_ended(self, task: asyncio.Task[_Line]) -> None:
        self._connecting = None
        # Read here, so that a failure that all callers stopped waiting for isn't reported as unseen.
        if not task.cancelled():
            task.exception()

    async def _connect(self) -> _Line:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._limits.connect_seconds
        pause = _BACKOFF_FIRST
        while True:
            try:
                self._line = _Line(await self._dial(until - loop.time()))
                return self._line
            except ConnectionLost as error:
                failed: AuroraError = AuroraError(UNAVAILABLE)
                failed.__cause__ = error
            except AuroraError as error:
                failed = error
                if not error.code.retryable:
                    raise
            if loop.time() + pause >= until:
                raise failed
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, _BACKOFF_MOST)

    async def _dial(self, seconds: float) -> Socket:
        limits = self._limits
        return await dial(
            self.url,
            self._token(),
            max_frame=limits.max_frame,
            open_seconds=max(seconds, _BACKOFF_FIRST),
            ping_seconds=limits.ping_seconds,
        )


def _error(message: dict[str, Any]) -> Error:
    reply: Any = parse(message)
    return cast(Error, reply)


def _gone() -> AuroraError:
    return AuroraError(UNAVAILABLE, {"reason": "closed"})


async def _send_cancel(socket: Socket, key: _Key) -> None:
    try:
        async with asyncio.timeout(_CANCEL_SECONDS):
            await socket.send(encode(notification("rpc.cancel", {"id": key})))
    except (ConnectionLost, TimeoutError):
        return


def _params(params: Any, handoff: Handoff | None) -> Any:
    if handoff is None:
        return params
    if handoff.traceparent is None:
        handoff = msgspec.structs.replace(handoff, traceparent=traceparent())
    meta, named = encode(handoff), encode(params)
    # Put together as text: as objects the params would be taken apart first, and encoded then.
    return msgspec.Raw(b'{"_meta":%b,%b' % (meta, named[1:]) if len(named) > len(b"{}") else b'{"_meta":%b}' % meta)


def _result(method: Method[Any, R], reply: Ok | Error) -> R:
    if isinstance(reply, Error):
        raise error_from_wire(reply.code, reply.message, reply.data)
    try:
        return msgspec.convert(reply.result, method.returns)
    except msgspec.ValidationError as error:
        _log.error("a result isn't what its method promises", method=method.name, problem=str(error))
        raise AuroraError(INTERNAL, {"reason": "malformed result"}) from error
