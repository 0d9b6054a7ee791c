"""Many time-outs on one timer.

`asyncio.timeout` arms and disarms a timer of the loop for each call: on uvloop 4 us, twice in a call of 60. Here a call
is an entry in a set (1.5 us), and one timer waits for the earliest of them. Knows nothing of RPC.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType
from typing import Any


class Deadlines:
    """The deadlines of one server or one peer. Use it on one loop only."""

    def __init__(self) -> None:
        #: Those that may still be met.
        self.open: set[Within] = set()
        #: When the timer looks at them.
        self.wakes = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.AbstractEventLoop | None = None

    def within(self, seconds: float) -> Within:
        """`with deadlines.within(5): ...` raises TimeoutError once the block took longer, like `asyncio.timeout`."""
        # The loop is asked for once: up to Python 3.11 that is a system call (getpid).
        loop = self._running
        if loop is None:
            loop = self._running = asyncio.get_running_loop()
        return Within(self, loop, loop.time() + seconds)

    def arm(self, when: float) -> None:
        """Has the timer look earlier than it would. It is never moved to later: a vain wake-up is cheaper."""
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop() if self._running is None else self._running
        self._timer, self.wakes = loop.call_at(when, self._wake), when

    def _wake(self) -> None:
        now, self._timer, self.wakes = self.wakes, None, math.inf
        for deadline in [deadline for deadline in self.open if deadline.when <= now]:
            self.open.discard(deadline)
            deadline.expire()
        if self.open:
            self.arm(min(deadline.when for deadline in self.open))


class Within:
    """One deadline, of a block or of a whole task."""

    __slots__ = ("_cancelling", "_deadlines", "_loop", "_task", "expired", "when")

    def __init__(self, deadlines: Deadlines, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self._deadlines = deadlines
        self._loop = loop
        self.expired = False
        self.when = when

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Cancels `task` when time is up."""
        self._task = task
        self._cancelling = task.cancelling()
        deadlines = self._deadlines
        deadlines.open.add(self)
        if self.when < deadlines.wakes:
            deadlines.arm(self.when)

    def met(self) -> None:
        """Lets it be."""
        self._deadlines.open.discard(self)

    def is_why(self) -> bool:
        """Whether a CancelledError of the task is this deadline's and nobody else's as well: then theirs goes on, as in
        asyncio.timeout. Asked once, since it takes the cancellation back."""
        return self.expired and self._task.uncancel() <= self._cancelling

    def expire(self) -> None:
        """Time is up."""
        self.expired = True
        self._task.cancel()

    def __enter__(self) -> Within:
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a deadline needs a task")
        self.watch(task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.open.discard(self)
        if self.expired and self.is_why() and kind is asyncio.CancelledError:
            raise TimeoutError from error
