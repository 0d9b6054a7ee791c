"""One handler, run to its reply: within its time, inside its trace, and with every outcome encoded.

The boundary where a handler's exceptions become wire errors. Knows neither connection nor idempotency.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from shared.contracts.agents import Handoff
from shared.errors import DEADLINE_EXCEEDED, PAYLOAD_TOO_LARGE, AuroraError
from shared.log import get_logger
from shared.rpc.deadlines import Deadlines, Within
from shared.rpc.eager import Eager
from shared.rpc.ledger import Reply
from shared.rpc.methods import Call
from shared.rpc.wire import WireError, failure, success, wire_error
from shared.telemetry import span

_SLOW_SECONDS = 1.0
_log = get_logger("rpc")


class Runner:
    """Runs the calls of one server. `max_frame` bounds a reply, in bytes."""

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._deadlines = Deadlines()
        self._eager = Eager()
        self._watched: dict[asyncio.Task[Reply], Within] = {}

    def begin(self, call: Call) -> Reply | asyncio.Task[Reply]:
        """The encoded reply of a handler that never waits; else the task of one that does, with its deadline. It raises
        CancelledError when someone else cancels it, and nothing else."""
        try:
            begun = self._eager.begin(self._run(call), call.binding.method.name)
        except asyncio.CancelledError as error:
            # Its handler cancelled itself before it first waited.
            return self._refused(call, error)
        if not isinstance(begun, Reply):
            deadline = self._watched[begun] = self._deadlines.within(call.seconds)
            deadline.watch(begun)
            begun.add_done_callback(self._ended)
        return begun

    def close(self) -> None:
        """Begins nothing in place any more."""
        self._eager.close()

    def _ended(self, task: asyncio.Task[Reply]) -> None:
        self._watched.pop(task).met()

    async def _run(self, call: Call) -> Reply:
        failed: BaseException
        try:
            if call.context.handoff is None:
                result = await call.binding.handler(call.params, call.context)
            else:
                result = await _traced(call, call.context.handoff)
            body = success(call.context.request_id, result)
            if len(body) <= self._max_frame:
                return Reply(body)
            failed = AuroraError(PAYLOAD_TOO_LARGE, {"max_bytes": self._max_frame, "bytes": len(body)})
        except asyncio.CancelledError as error:
            failed = self._stopped(error)
        except Exception as error:  # noqa: BLE001 - the boundary where a handler's exception becomes a wire error
            failed = error
        return self._refused(call, failed)

    def _stopped(self, error: asyncio.CancelledError) -> BaseException:
        """What a cancellation is told as; raised on where someone else wants the task to end."""
        task = asyncio.current_task()
        deadline = None if task is None else self._watched.get(task)
        if deadline is not None and deadline.is_why():
            return AuroraError(DEADLINE_EXCEEDED)
        if task is None or task.cancelling():
            raise error
        # Nobody cancelled us: the handler let the cancellation of something else through, which is its failure.
        return error

    def _refused(self, call: Call, failed: BaseException) -> Reply:
        request_id, method = call.context.request_id, call.binding.method.name
        error = wire_error(failed, method)
        try:
            body = failure(request_id, error)
        except (TypeError, ValueError, RecursionError) as unsayable:
            # A detail that isn't JSON, or not even text: a bug of the handler like any other.
            body = failure(request_id, wire_error(unsayable, method))
        if len(body) > self._max_frame:
            body = failure(request_id, WireError(error.code, error.message))
        return Reply(body, keep=not (isinstance(failed, AuroraError) and failed.code.retryable))


async def _traced(call: Call, handoff: Handoff) -> Any:
    carrier = {} if handoff.traceparent is None else {"traceparent": handoff.traceparent}
    method = call.binding.method.name
    with span(f"rpc {method}", carrier, handoff.handoff_id):
        started, answered = time.perf_counter(), False
        try:
            result = await call.binding.handler(call.params, call.context)
            answered = True
            return result
        finally:
            seconds = time.perf_counter() - started
            # Who asked keeps a record of every one: here only what an operator should look at.
            if not answered or seconds >= _SLOW_SECONDS:
                _log.info("handoff", to=handoff.to, method=method, answered=answered, seconds=round(seconds, 3))
