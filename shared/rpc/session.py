"""One connection of a server: reads frames, starts requests, writes replies in the order they are ready.

Owns the connection's running requests: their number, their cancellation and their end. A request without a handoff dies
with its connection; a handoff runs on in the ledger, for the caller to ask again. Knows no WebSocket library and no
JSON-RPC rule: `transport` and `methods` do.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from shared.errors import DEADLINE_EXCEEDED, PAYLOAD_TOO_LARGE, RATE_LIMITED, UNAVAILABLE, AuroraError
from shared.identity import Principal
from shared.log import get_logger
from shared.rpc.exchange import Exchange, Told
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
        self,
        socket: Socket,
        principal: Principal,
        limits: RpcLimits,
        table: Registry,
        runner: Runner,
        ledger: Ledger,
    ) -> None:
        self.principal = principal
        self.limits = limits
        self.draining = False
        self._exchanges: set[Exchange] = set()
        self._own: set[asyncio.Task[Any]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._batches: set[asyncio.Task[None]] = set()
        self._socket = socket
        self._table = table
        self._runner = runner
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Until the connection ends. What then still runs for it alone is cancelled."""
        self._socket.take_by(self._take)
        try:
            while (text := await self._socket.receive()) is not None:
                reply = self._frame(text)
                if reply is not None:
                    # Awaited here, so that a peer that only sends is held back by its own unread answers.
                    await self._socket.send(reply)
        except ConnectionLost:
            pass
        finally:
            for exchange in list(self._exchanges):
                self._leave(exchange, give_up=exchange.entry is None)
            await end(self.tasks)

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """Whatever still has a reply to send, but for handoffs: those are the ledger's."""
        return self._batches | self._sending | self._own

    def stop(self, refusal: WireError) -> None:
        """Ends every running request with `refusal`."""
        for exchange in list(self._exchanges):
            self._give_up(exchange, refusal)

    def start(self, call: Call, arrival: Arrival) -> Exchange | Told | bytes:
        """Begins a call; the reply where it is there at once. Raises AURORA-4290 when too many run, AURORA-5030 while
        the server drains."""
        if self.draining:
            raise AuroraError(UNAVAILABLE, {"reason": "shutting down"}, retry_after=1.0)
        if len(self._exchanges) + len(self._sending) >= self.limits.max_in_flight:
            raise AuroraError(RATE_LIMITED, {"max_in_flight": self.limits.max_in_flight}, retry_after=0.1)
        if call.key is None:
            begun = self._runner.begin(call)
            if isinstance(begun, Reply):
                return Told(call, begun.body) if arrival.in_batch else begun.body
            self._own.add(begun)
            begun.add_done_callback(self._own.discard)
            return self._await(Exchange(call, begun, None), arrival)
        entry = self._ledger.enter(call.key, call.digest, partial(self._runner.begin, call))
        if isinstance(entry, Reply):
            return Told(call, entry.body) if arrival.in_batch else entry.body
        return self._await(Exchange(call, entry.task, entry), arrival)

    def cancel(self, request_id: RequestId) -> bool:
        """Stops the running requests of that id; whether there was one."""
        found = [exchange for exchange in self._exchanges if exchange.call.context.request_id == request_id]
        for exchange in found:
            self._give_up(exchange, _taken_back)
        return bool(found)

    def _await(self, exchange: Exchange, arrival: Arrival) -> Exchange:
        exchange.silent = arrival.notification
        if arrival.in_batch:
            exchange.answer = self._loop.create_future()
        exchange.done = partial(self._done, exchange)
        exchange.task.add_done_callback(exchange.done)
        self._exchanges.add(exchange)
        return exchange

    def _done(self, exchange: Exchange, task: asyncio.Task[Reply]) -> None:
        self._leave(exchange, give_up=False)
        # Who cancels it otherwise has answered before: its time was up before its first step.
        body = self._late(exchange) if task.cancelled() else task.result().body
        self._answer(exchange, body)

    def _late(self, exchange: Exchange) -> bytes:
        return failure(exchange.call.context.request_id, wire_error(AuroraError(DEADLINE_EXCEEDED)))

    def _give_up(self, exchange: Exchange, refusal: WireError) -> None:
        self._leave(exchange, give_up=True)
        self._answer(exchange, failure(exchange.call.context.request_id, refusal))

    def _leave(self, exchange: Exchange, *, give_up: bool) -> None:
        self._exchanges.discard(exchange)
        exchange.task.remove_done_callback(exchange.done)
        if exchange.entry is not None:
            self._ledger.leave(exchange.call.key, exchange.entry, give_up=give_up)
        elif give_up:
            exchange.task.cancel()

    def _answer(self, exchange: Exchange, body: bytes) -> None:
        if exchange.answer is not None:
            if not exchange.answer.done():
                exchange.answer.set_result(body)
        elif not exchange.silent and not self._socket.post(body, alone=not self._exchanges):
            self._send_later(body)

    def _send_later(self, body: bytes) -> None:
        task = self._loop.create_task(self._send(body), name="rpc reply")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    def _take(self, text: str) -> None:
        reply = self._frame(text)
        if reply is not None and not self._socket.post(reply):
            self._send_later(reply)

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

    async def _send(self, body: bytes) -> None:
        try:
            await self._socket.send(body)
        except ConnectionLost:
            return

    async def _answer_batch(self, parts: list[Exchange | Told | bytes]) -> None:
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
