"""Processes that start together, are ready together and stop together; the first that can't be kept fails the group.

The servers are one group, the services another: one must be whole before the other starts, and outlive it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from structlog.typing import FilteringBoundLogger

from deploy.local.errors import StackError
from deploy.local.process import Command
from deploy.local.supervised import RestartPolicy, Supervised


class Group:
    """Create it with a running event loop, in the main thread."""

    def __init__(
        self,
        commands: Iterable[Command],
        log: FilteringBoundLogger,
        *,
        on_serving: Callable[[Supervised], None] = lambda _: None,
        policy: RestartPolicy | None = None,
    ) -> None:
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.processes = [
            Supervised(command, log, on_failure=self._fail, on_serving=on_serving, policy=policy)
            for command in commands
        ]

    def _fail(self, error: StackError) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    async def start(self) -> None:
        """Starts all and returns when each serves. Raises StackError when one can't."""
        for process in self.processes:
            process.start()
        serving = asyncio.create_task(self._all_serving(), name="wait until all serve")
        try:
            await asyncio.wait({serving, self._failure}, return_when=asyncio.FIRST_COMPLETED)
            if self._failure.done():
                await self._failure
        finally:
            serving.cancel()

    async def failed(self) -> None:
        """Returns never; raises StackError when one of them can't be kept running."""
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Ends all at once, each with its grace."""
        if not self._failure.cancel() and not self._failure.cancelled():
            self._failure.exception()  # told to whoever asked; asyncio would report it a second time
        await asyncio.gather(*(process.stop() for process in self.processes))

    async def _all_serving(self) -> None:
        for process in self.processes:
            await process.serving.wait()
