"""Begins a coroutine at once, and makes a task of it only when it first waits.

A task's first step is a turn of the loop later, and a task that never waits is made for nothing: together a fifth of a
short call. Python 3.12 has eager tasks; here one parked task at a time stands for what is begun, by the functions that
asyncio documents for task implementations ("Extending", Task lifetime support). If that waits, the parked task carries
it on, so `current_task()` is the same from its first line to its last, and cancelling it means what it always does.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import coroutine
from typing import Any, TypeVar

T = TypeVar("T")
Work = Coroutine[Any, Any, Any]


class _Parked:
    """A task that waits for something to carry on."""

    __slots__ = ("_begun", "_gate", "ready", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gate: asyncio.Future[None] = loop.create_future()
        self._begun: tuple[Work, Context, Any] | None = None
        #: A task that is cancelled before its own first step never takes it, so it couldn't carry anything on.
        self.ready = False
        self.task = loop.create_task(self._carry(), name="parked")

    def take_over(self, work: Work, context: Context, waits_for: Any) -> None:
        """Carries `work` on from where it waits for `waits_for`."""
        if asyncio.isfuture(waits_for):
            # How a future tells the running task to wait for it, and no other may meanwhile: ours doesn't before the
            # next turn.
            waits_for._asyncio_future_blocking = False
        self._begun = work, context, waits_for
        # Done already where the work cancelled its own task: then that is how it goes on.
        if not self._gate.done():
            self._gate.set_result(None)

    async def _carry(self) -> Any:
        cancelled: BaseException | None = None
        self.ready = True
        try:
            await self._gate
        except asyncio.CancelledError as error:
            if self._begun is None:
                raise
            cancelled = error
        if self._begun is None:
            raise RuntimeError("nothing to carry on")
        return await _carried(*self._begun, cancelled)


@coroutine
def _carried(work: Work, context: Context, waits_for: Any, error: BaseException | None) -> Generator[Any, Any, Any]:
    if asyncio.isfuture(waits_for):
        waits_for._asyncio_future_blocking = True
        if error is not None and waits_for.cancel():
            # Cancelling a task cancels what it waits for, which then ends the wait.
            error = None
    value: Any = None
    try:
        while True:
            if error is None:
                try:
                    value = yield waits_for
                except BaseException as thrown:  # noqa: BLE001 - a task's cancellation too is the work's to see
                    error = thrown
            if error is None:
                waits_for = context.run(work.send, value)
            else:
                thrown_in, error = error, None
                waits_for = context.run(work.throw, thrown_in)
    except StopIteration as done:
        return done.value


class Eager:
    """Begins what one server runs. Use it on one loop only, and `close` it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parked = _Parked(self._loop)

    def begin(self, work: Coroutine[Any, Any, T], name: str) -> T | asyncio.Task[T]:
        """What `work` returns, if it never waits; else the task that carries it on. Raises what `work` raises before
        it waits. Where a task runs already, or another was begun in this turn and waits, `work` begins in the next."""
        parked = self._parked
        if not parked.ready or asyncio.current_task(self._loop) is not None:
            return self._loop.create_task(work, name=name)
        context = copy_context()
        _enter_task(self._loop, parked.task)
        try:
            waits_for = context.run(work.send, None)
        except StopIteration as done:
            returned: T = done.value
            return returned
        finally:
            _leave_task(self._loop, parked.task)
            if parked.task.cancelling():
                # It asked for its own end: that is no other's.
                self._parked = _Parked(self._loop)
        self._parked = _Parked(self._loop)
        parked.take_over(work, context, waits_for)
        parked.task.set_name(name)
        return parked.task

    def close(self) -> None:
        """Ends the parked task. What was begun goes on."""
        self._parked.ready = False
        self._parked.task.cancel()
