"""One connection of a server: reads frames, starts requests, writes replies in the order they are ready.

Owns the connection's running requests: their number, their cancellation and their end. A request without a handoff dies
with its connection; a handoff runs on in the ledger, for the caller to ask again. Knows no WebSocket library and no
JSON-RPC rule: `transport` and `methods` do.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from shared.errors import PAYLOAD_TOO_LARGE, RATE_LIMITED, UNAVAILABLE, AuroraError
from shared.identity import Principal
from shared.log import get_logger
from shared.rpc.exchange import Awaited, Exchange
from shared.rpc.ledger import Ledger, Reply
from shared.rpc.limits import RpcLimits
from shared.rpc.methods import Arrival, Call, Registry, dispatch
from shared.rpc.runner import Runner
from shared.rpc.transport import ConnectionLost, Socket
from shared.rpc.wire import (
    CANCELLED,
    INVALID_REQUEST,
    PARSE_ERROR,
    RequestId,
    WireError,
    decode,
    failure,
    standard_error,
    wire_error,
)

STOP_SECONDS = 2.0
_taken_back = WireError(CANCELLED, "Request cancelled")
_log = get_logger("rpc")


class Session:
    """What `dispatch` starts calls on. One per connection."""

    def __init__(
        self, socket: Socket, principal: Principal, limits: RpcLimits, table: Registry, runner: Runner, ledger: Ledger
    ) -> None:
        self.principal = principal
        self.limits = limits
        self.running: dict[asyncio.Task[Any], Exchange] = {}
        self._awaited: set[Awaited] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self.draining = False
        self._socket = socket
        self._table = table
        self._runner = runner
        self._ledger = ledger
        self._batches: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

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
            for awaited in list(self._awaited):
                self._leave(awaited, give_up=False)
            await end(self.tasks)

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """Whatever still has a reply to send, but for handoffs: those are the ledger's."""
        return {*self._batches, *self._sending, *self.running}

    def stop(self, refusal: WireError) -> None:
        """Ends every running request with `refusal`."""
        for exchange in self.running.values():
            exchange.stop(refusal)
        for awaited in list(self._awaited):
            self._give_up(awaited, refusal)

    def start(self, call: Call, arrival: Arrival) -> Exchange | Awaited:
        """Begins a call. Raises AURORA-4290 when too many run, AURORA-5030 while the server drains."""
        if self.draining:
            raise AuroraError(UNAVAILABLE, {"reason": "shutting down"}, retry_after=1.0)
        if len(self.running) + len(self._awaited) + len(self._sending) >= self.limits.max_in_flight:
            raise AuroraError(RATE_LIMITED, {"max_in_flight": self.limits.max_in_flight}, retry_after=0.1)
        if call.key is not None:
            return self._await(call, arrival)
        exchange = Exchange(call)
        work = self._work(exchange, send=not (arrival.notification or arrival.in_batch))
        task = exchange.task = self._loop.create_task(work, name=call.binding.method.name)
        self.running[task] = exchange
        task.add_done_callback(self._ended)
        return exchange

    def cancel(self, request_id: RequestId) -> bool:
        """Stops the running requests of that id; whether there was one."""
        found = [exchange for exchange in self.running.values() if exchange.call.context.request_id == request_id]
        for exchange in found:
            exchange.stop(_taken_back)
        awaited = [awaited for awaited in self._awaited if awaited.call.context.request_id == request_id]
        for one in awaited:
            self._give_up(one, _taken_back)
        return bool(found or awaited)

    def _await(self, call: Call, arrival: Arrival) -> Awaited:
        entry = self._ledger.enter(call.key, call.digest, partial(self._runner.run, call))
        awaited = Awaited(call, entry, self._loop.create_future() if arrival.in_batch else None)
        awaited.done = partial(self._done, awaited)
        entry.task.add_done_callback(awaited.done)
        self._awaited.add(awaited)
        return awaited

    def _done(self, awaited: Awaited, task: asyncio.Future[Reply]) -> None:
        self._leave(awaited, give_up=False)
        if not task.cancelled():
            self._answer(awaited, task.result().body)

    def _give_up(self, awaited: Awaited, refusal: WireError) -> None:
        self._leave(awaited, give_up=True)
        self._answer(awaited, failure(awaited.call.context.request_id, refusal))

    def _leave(self, awaited: Awaited, *, give_up: bool) -> None:
        self._awaited.discard(awaited)
        awaited.entry.task.remove_done_callback(awaited.done)
        self._ledger.leave(awaited.call.key, awaited.entry, give_up=give_up)

    def _answer(self, awaited: Awaited, body: bytes) -> None:
        if awaited.answer is not None:
            if not awaited.answer.done():
                awaited.answer.set_result(body)
        elif not self._socket.post(body, alone=not self._awaited):
            task = self._loop.create_task(self._send(body), name="rpc reply")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    def _frame(self, text: str) -> bytes | None:
        try:
            message = decode(text)
        except ValueError:
            return failure(None, standard_error(PARSE_ERROR))
        if type(message) is list:
            return self._batch(message)
        answer = dispatch(message, self._table, self)
        return answer if isinstance(answer, bytes) else None

    def _batch(self, messages: list[Any]) -> bytes | None:
        if not messages:
            return failure(None, standard_error(INVALID_REQUEST))
        if len(messages) > self.limits.max_batch:
            return failure(None, wire_error(AuroraError(PAYLOAD_TOO_LARGE, {"max_batch": self.limits.max_batch})))
        if len(self._batches) >= self.limits.max_batches:
            return failure(None, wire_error(AuroraError(RATE_LIMITED, {"max_batches": self.limits.max_batches})))
        answers = [dispatch(message, self._table, self, in_batch=True) for message in messages]
        parts = [answer for answer in answers if answer is not None]
        replies = [part for part in parts if isinstance(part, bytes)]
        if len(replies) == len(parts):
            return _array(replies) if replies else None
        task = asyncio.create_task(self._answer_batch(parts), name="rpc batch")
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)
        return None

    async def _work(self, exchange: Exchange, *, send: bool) -> bytes:
        """The encoded reply of a request, also when it is stopped; sent where it stands alone."""
        if not exchange.stopped():
            exchange.begun = True
            try:
                body = (await self._runner.run(exchange.call)).body
            except asyncio.CancelledError:
                if not exchange.stopped():
                    raise
                exchange.task.uncancel()
        if exchange.refusal is not None:
            body = failure(exchange.call.context.request_id, exchange.refusal)
        if send:
            await self._send(body)
        return body

    async def _send(self, body: bytes) -> None:
        try:
            await self._socket.send(body)
        except ConnectionLost:
            return

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.running.pop(task)

    async def _answer_batch(self, parts: list[Exchange | Awaited | bytes]) -> None:
        """One array of all replies. Replies that don't fit into a frame any more become errors."""
        replies: list[bytes] = []
        room = self.limits.max_frame - 2
        for part in parts:
            reply = part if isinstance(part, bytes) else await part.body()
            if len(reply) + 1 > room and not isinstance(part, bytes):
                refusal = AuroraError(PAYLOAD_TOO_LARGE, {"max_bytes": self.limits.max_frame})
                reply = failure(part.call.context.request_id, wire_error(refusal))
            room -= len(reply) + 1
            replies.append(reply)
        await self._send(_array(replies))


def _array(replies: list[bytes]) -> bytes:
    return b"[" + b",".join(replies) + b"]"


async def end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits for their end, at most two seconds; one that goes on is logged."""
    for task in tasks:
        task.cancel()
    if tasks:
        _, stuck = await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for task in stuck:
            _log.warning("a task ignores its cancellation", task=task.get_name())
