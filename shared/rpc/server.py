"""The serving side: one session per connection, one task per running request, replies in the order they are ready.

Owns the running requests: their bounds, deadlines and cancellation, and the drain at the end. A request without a
handoff dies with its connection; a handoff runs on in the ledger, for the caller to ask again. Knows no WebSocket
library and no JSON-RPC rule: `transport` and `methods` do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.errors import (
    DEADLINE_EXCEEDED,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    UNAVAILABLE,
    AuroraError,
)
from shared.identity import Principal
from shared.log import get_logger
from shared.rpc.handshake import Authenticate, Gate, Guest, HttpGet
from shared.rpc.ledger import Entry, Ledger, Reply
from shared.rpc.limits import RpcLimits
from shared.rpc.methods import Arrival, Binding, Call, Registry, Started, dispatch, registry
from shared.rpc.transport import ConnectionLost, Listener, ListenSettings, Socket, listen
from shared.rpc.wire import (
    CANCELLED,
    INVALID_REQUEST,
    PARSE_ERROR,
    RequestId,
    WireError,
    decode,
    failure,
    standard_error,
    success,
    wire_error,
)
from shared.telemetry import accept_request_id, span

_GOING_AWAY = 1001
_STOP_SECONDS = 2.0
_taken_back = WireError(CANCELLED, "Request cancelled")
_log = get_logger("rpc")


async def _run(call: Call, max_frame: int) -> Reply:
    """Runs the handler within its time and encodes what came of it. Raises only CancelledError."""
    request_id = call.context.request_id
    failed: BaseException
    try:
        async with asyncio.timeout(call.seconds) as scope:
            result = await _traced(call)
        body = success(request_id, result)
        if len(body) <= max_frame:
            return Reply(body)
        failed = AuroraError(PAYLOAD_TOO_LARGE, {"max_bytes": max_frame, "bytes": len(body)})
    except TimeoutError as error:
        failed = AuroraError(DEADLINE_EXCEEDED) if scope.expired() else error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled us: the handler let the cancellation of something else through, which is its failure.
        failed = error
    except Exception as error:  # noqa: BLE001 - the boundary where a handler's exception becomes a wire error
        failed = error
    keep = not (isinstance(failed, AuroraError) and failed.code.retryable)
    return Reply(failure(request_id, wire_error(failed, call.binding.method.name)), keep)


async def _traced(call: Call) -> Any:
    handoff = call.context.handoff
    if handoff is None:
        return await call.binding.handler(call.params, call.context)
    carrier = {"traceparent": handoff.traceparent} if handoff.traceparent else {}
    with span(f"rpc {call.binding.method.name}", carrier, accept_request_id(handoff.handoff_id)):
        return await call.binding.handler(call.params, call.context)


class _Exchange:
    """One running request of one connection. `entry` is its handoff in the ledger."""

    __slots__ = ("begun", "call", "entry", "refusal", "task")

    def __init__(self, call: Call, entry: Entry | None) -> None:
        self.call = call
        self.entry = entry
        self.refusal: WireError | None = None
        self.begun = False
        self.task: asyncio.Task[Any]

    def stopped(self) -> WireError | None:
        """What it was stopped with, None while it wasn't."""
        return self.refusal

    def stop(self, refusal: WireError) -> None:
        """Ends it with `refusal` as the reply."""
        self.refusal = refusal
        # A task that is cancelled before its first step never enters its body, so it couldn't reply.
        if self.begun:
            self.task.cancel()


class _Session:
    """One connection. Reads frames, starts requests, writes replies."""

    def __init__(self, server: Server, socket: Socket, guest: Guest) -> None:
        self.principal: Principal = guest.principal
        self.limits = server.limits
        self._server = server
        self._socket = socket
        self._running: set[_Exchange] = set()
        self._batches: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until the connection ends. What then still runs for it alone is cancelled."""
        try:
            while (text := await self._socket.receive()) is not None:
                reply = self._frame(text)
                if reply is not None:
                    # Awaited here, so that a peer that only sends is held back by its own unread answers.
                    await self._socket.send(reply)
        except ConnectionLost:
            pass
        finally:
            for exchange in self._running:
                exchange.task.cancel()
            for batch in self._batches:
                batch.cancel()

    def _frame(self, text: str) -> bytes | None:
        try:
            message = decode(text)
        except ValueError:
            return failure(None, standard_error(PARSE_ERROR))
        if type(message) is list:
            return self._batch(message)
        answer = dispatch(message, self._server.registry, self)
        return None if isinstance(answer, Started) else answer

    def _batch(self, messages: list[Any]) -> bytes | None:
        if not messages:
            return failure(None, standard_error(INVALID_REQUEST))
        if len(messages) > self.limits.max_batch:
            return failure(None, wire_error(AuroraError(PAYLOAD_TOO_LARGE, {"max_batch": self.limits.max_batch})))
        parts: list[bytes | _Exchange] = []
        for message in messages:
            answer = dispatch(message, self._server.registry, self, in_batch=True)
            if isinstance(answer, Started):
                parts.append(answer.handle)
            elif answer is not None:
                parts.append(answer)
        if parts:
            task = asyncio.create_task(self._answer_batch(parts), name="rpc batch")
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)
        return None

    def start(self, call: Call, arrival: Arrival) -> _Exchange:
        """Begins a call. Raises AURORA-4290 when too many run, AURORA-5030 while the server drains."""
        if self._server.draining:
            raise AuroraError(UNAVAILABLE, {"reason": "shutting down"}, retry_after=1.0)
        if len(self._running) >= self.limits.max_in_flight:
            raise AuroraError(RATE_LIMITED, {"max_in_flight": self.limits.max_in_flight}, retry_after=0.1)
        entry = None
        if call.key is not None:
            entry = self._server.ledger.enter(call.key, call.digest, lambda: _run(call, self.limits.max_frame))
        exchange = _Exchange(call, entry)
        silent = arrival.notification or arrival.in_batch
        work = self._reply(exchange) if silent else self._answer(exchange)
        exchange.task = asyncio.create_task(work, name=call.binding.method.name)
        self._running.add(exchange)
        self._server.busy.add(exchange)
        exchange.task.add_done_callback(lambda _: self._ended(exchange))
        return exchange

    def _ended(self, exchange: _Exchange) -> None:
        self._running.discard(exchange)
        self._server.busy.discard(exchange)

    def cancel(self, request_id: RequestId) -> bool:
        """Stops the running requests of that id; whether there was one."""
        found = [exchange for exchange in self._running if exchange.call.context.request_id == request_id]
        for exchange in found:
            exchange.stop(_taken_back)
        return bool(found)

    async def _reply(self, exchange: _Exchange) -> bytes:
        """The encoded reply of a request, also when it is stopped."""
        exchange.begun = True
        if exchange.refusal is not None:
            return self._refuse(exchange, exchange.refusal)
        try:
            if exchange.entry is None:
                return (await _run(exchange.call, self.limits.max_frame)).body
            return (await self._server.ledger.wait(exchange.entry)).body
        except asyncio.CancelledError:
            refusal = exchange.stopped()
            if refusal is None:
                raise
            exchange.task.uncancel()
            return self._refuse(exchange, refusal)

    def _refuse(self, exchange: _Exchange, refusal: WireError) -> bytes:
        if exchange.call.key is not None:
            self._server.ledger.abandon(exchange.call.key)
        return failure(exchange.call.context.request_id, refusal)

    async def _answer(self, exchange: _Exchange) -> None:
        reply = await self._reply(exchange)
        try:
            await self._socket.send(reply)
        except ConnectionLost:
            return

    async def _answer_batch(self, parts: list[bytes | _Exchange]) -> None:
        """One array of all replies. Replies that don't fit into a frame any more become errors."""
        replies: list[bytes] = []
        room = self.limits.max_frame - 2
        for part in parts:
            reply = await part.task if isinstance(part, _Exchange) else part
            if len(reply) + 1 > room and isinstance(part, _Exchange):
                refusal = wire_error(AuroraError(PAYLOAD_TOO_LARGE, {"max_bytes": self.limits.max_frame}))
                reply = failure(part.call.context.request_id, refusal)
            room -= len(reply) + 1
            replies.append(reply)
        try:
            await self._socket.send(b"[" + b",".join(replies) + b"]")
        except ConnectionLost:
            return


class Server:
    """A serving agent port. Made by `serve`."""

    def __init__(self, table: Registry, limits: RpcLimits) -> None:
        self.registry = table
        self.limits = limits
        self.ledger = Ledger(limits)
        self.busy: set[_Exchange] = set()
        self.draining = False
        self.listener: Listener

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self.listener.port

    def full(self) -> bool:
        """Whether another connection is refused."""
        return self.draining or self.listener.open_connections >= self.limits.max_connections

    async def handle(self, socket: Socket, guest: Guest) -> None:
        """One connection, from its handshake to its end."""
        await _Session(self, socket, guest).run()

    async def close(self, grace: float = 10.0) -> None:
        """Stops listening, lets running requests finish for `grace` seconds, refuses the rest with AURORA-5030 and
        closes every connection with 1001."""
        self.draining = True
        self.listener.stop_listening()
        running = {exchange.task for exchange in self.busy} | self.ledger.running
        if running:
            await asyncio.wait(running, timeout=grace)
        refusal = wire_error(AuroraError(UNAVAILABLE, {"reason": "shutting down"}))
        stopping = list(self.busy)
        for exchange in stopping:
            exchange.stop(refusal)
        if stopping:
            _, stuck = await asyncio.wait({exchange.task for exchange in stopping}, timeout=_STOP_SECONDS)
            for task in stuck:
                _log.warning("a handler ignores its cancellation", method=task.get_name())
        await self.ledger.close()
        await self.listener.close(_GOING_AWAY, "shutting down")


async def serve(
    bindings: Iterable[Binding[Any, Any]],
    *,
    host: str,
    port: int,
    authenticate: Authenticate,
    limits: RpcLimits | None = None,
    http_get: Mapping[str, HttpGet] | None = None,
    headers: Callable[[], Mapping[str, str]] = dict,
) -> Server:
    """Serves the bindings at ws://host:port/ to whoever `authenticate` accepts the bearer token of.

    `authenticate` takes the token and returns the Principal or raises AuroraError; it may be async. `http_get` maps
    public paths (health, readiness) to handlers of plain GETs. `headers` are added to every HTTP response. Port 0
    takes a free one. Raises OSError when the port is taken, ValueError when a method is bound twice."""
    limits = limits or RpcLimits()
    server = Server(registry(bindings), limits)
    gate = Gate(authenticate, http_get or {}, headers, server.full)
    settings = ListenSettings(limits.max_frame, limits.open_seconds, limits.ping_seconds)
    server.listener = await listen(host, port, settings, admit=gate.admit, rejected=gate.rejected, handle=server.handle)
    return server
