"""So many at a time, the others in the order in which they came. Knows nothing of what they do.

`asyncio.Semaphore` makes three coroutines for each who enters; here entering a free place is a subtraction.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Places:
    """`if not places.take(): await places.wait()`, then `places.leave()`. Use it on one loop only."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._queue: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Takes a place if one is free; whether it did."""
        if self._free:
            self._free -= 1
            return True
        return False

    async def wait(self) -> None:
        """Takes the next place that someone leaves to who waits longest."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                # The place was already ours.
                self.leave()
            raise

    def leave(self) -> None:
        """Hands the place on, or sets it free."""
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
