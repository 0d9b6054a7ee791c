"""Many time-outs on one timer.

`asyncio.timeout` arms and disarms a timer of the loop for each call: on uvloop 4 us, twice in a call of 60. Here a call
is an entry in a set (1.5 us), and one timer waits for the earliest of them. Knows nothing of RPC.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Deadlines:
    """The deadlines of one server or one peer. Use it on one loop only."""

    def __init__(self) -> None:
        self._open: set[Within] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it is used on. Asked for once: up to Python 3.11 that is a system call (getpid)."""
        if self._running is None:
            self._running = asyncio.get_running_loop()
        return self._running

    def within(self, seconds: float) -> Within:
        """`with deadlines.within(5): ...` raises TimeoutError once the block took longer, like `asyncio.timeout`."""
        return Within(self, seconds)

    def add(self, deadline: Within) -> None:
        """Watches a deadline."""
        self._open.add(deadline)
        if self._timer is None or deadline.when < self._timer.when():
            self._arm(deadline.when)

    def discard(self, deadline: Within) -> None:
        """Forgets a deadline that was met. The timer is left alone: a vain wake-up is cheaper than moving it."""
        self._open.discard(deadline)

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self.loop.time()
        for deadline in [deadline for deadline in self._open if deadline.when <= now]:
            self._open.discard(deadline)
            deadline.expire()
        if self._open:
            self._arm(min(deadline.when for deadline in self._open))


class Within:
    """The block of one deadline. `expired` tells its TimeoutError from any other."""

    __slots__ = ("_cancelling", "_deadlines", "_task", "expired", "when")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self.when = deadlines.loop.time() + seconds
        self.expired = False

    def __enter__(self) -> Within:
        task = asyncio.current_task(self._deadlines.loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.discard(self)
        # Someone else may have cancelled the task as well: then theirs goes on, as in asyncio.timeout.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancels the block."""
        self.expired = True
        self._task.cancel()
