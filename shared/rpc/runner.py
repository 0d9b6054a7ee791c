"""One handler, run to its reply: within its time, inside its trace, and with every outcome encoded.

The boundary where a handler's exceptions become wire errors. Knows neither connection nor idempotency.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from shared.contracts.agents import Handoff
from shared.errors import DEADLINE_EXCEEDED, PAYLOAD_TOO_LARGE, AuroraError
from shared.log import get_logger
from shared.rpc.deadlines import Deadlines
from shared.rpc.eager import Eager
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
        self._eager = Eager()

    def begin(self, call: Call) -> Reply | asyncio.Task[Reply]:
        """The encoded reply of a handler that never waits; else the task of one that does. Nothing but its cancellation
        is raised by that."""
        return self._eager.begin(self._run(call), call.binding.method.name)

    def close(self) -> None:
        """Begins nothing in place any more."""
        self._eager.close()

    async def _run(self, call: Call) -> Reply:
        failed: BaseException
        deadline = self._deadlines.within(call.seconds)
        try:
            with deadline:
                handoff = call.context.handoff
                if handoff is None:
                    result = await call.binding.handler(call.params, call.context)
                else:
                    with _Traced(call, handoff):
                        result = await call.binding.handler(call.params, call.context)
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


class _Traced:
    """The block of a handoff: in its caller's trace, and logged if it is slow or fails."""

    __slots__ = ("_began", "_call", "_span")

    def __init__(self, call: Call, handoff: Handoff) -> None:
        self._call = call
        carrier = {} if handoff.traceparent is None else {"traceparent": handoff.traceparent}
        self._span = span(f"rpc {call.binding.method.name}", carrier, accept_request_id(handoff.handoff_id))

    def __enter__(self) -> None:
        self._span.__enter__()
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._began
        # Who asked keeps a record of every one: here only what an operator should look at.
        if kind is not None or seconds >= _SLOW_SECONDS:
            handoff, method = self._call.context.handoff, self._call.binding.method.name
            to = None if handoff is None else handoff.to
            _log.info("handoff", to=to, method=method, answered=kind is None, seconds=round(seconds, 3))
        self._span.__exit__(kind, error, trace)
