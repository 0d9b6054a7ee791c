"""One handler, run to its reply: within its time, inside its trace, and with every outcome encoded.

The boundary where a handler's exceptions become wire errors. Knows neither connection nor idempotency.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from shared.errors import DEADLINE_EXCEEDED, PAYLOAD_TOO_LARGE, AuroraError
from shared.log import get_logger
from shared.rpc.deadlines import Deadlines
from shared.rpc.ledger import Reply
from shared.rpc.methods import Call
from shared.rpc.wire import WireError, failure, success, wire_error
from shared.telemetry import accept_request_id, span

_SLOW_SECONDS = 1.0
_log = get_logger("rpc")


class Runner:
    """Runs the calls of one server. `max_frame` bounds a reply, in bytes."""

    def __init__(self, max_frame: int) -> None:
        self._max_frame = max_frame
        self._deadlines = Deadlines()

    async def run(self, call: Call) -> Reply:
        """The encoded reply. Raises CancelledError when its task is cancelled, and nothing else."""
        failed: BaseException
        deadline = self._deadlines.within(call.seconds)
        try:
            with deadline:
                if call.context.handoff is None:
                    result = await call.binding.handler(call.params, call.context)
                else:
                    result = await _traced(call)
            body = success(call.context.request_id, result)
            if len(body) <= self._max_frame:
                return Reply(body)
            failed = AuroraError(PAYLOAD_TOO_LARGE, {"max_bytes": self._max_frame, "bytes": len(body)})
        except TimeoutError as error:
            failed = AuroraError(DEADLINE_EXCEEDED) if deadline.expired else error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled us: the handler let the cancellation of something else through, which is its failure.
            failed = error
        except Exception as error:  # noqa: BLE001 - the boundary where a handler's exception becomes a wire error
            failed = error
        return self._refused(call, failed)

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


async def _traced(call: Call) -> Any:
    handoff = call.context.handoff
    trace = call.context.traceparent
    carrier = {} if trace is None else {"traceparent": trace}
    request_id = accept_request_id(None if handoff is None else handoff.handoff_id)
    method = call.binding.method.name
    with span(f"rpc {method}", carrier, request_id):
        started, answered = time.perf_counter(), False
        try:
            result = await call.binding.handler(call.params, call.context)
            answered = True
            return result
        finally:
            seconds = time.perf_counter() - started
            # Who asked keeps a record of every one: here only what an operator should look at.
            if not answered or seconds >= _SLOW_SECONDS:
                to = None if handoff is None else handoff.to
                _log.info("handoff", to=to, method=method, answered=answered, seconds=round(seconds, 3))
