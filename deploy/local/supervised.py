"""Keeps one process running: starts it, says when it serves, starts it again when it dies, gives up when that fails.

Knows nothing about the process but its Command. Giving up is told by one StackError through `on_failure`; ending the
other processes is the supervisor's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from deploy.local.errors import StackError, explain
from deploy.local.process import Child, Command, last_line


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When to try again. Times are in seconds.

    A process that lived less than `quick` after its start failed quickly; `limit` such in a row are too many, and
    `first_limit` before it ever served. `patience` is how long a start may take until the process must serve.
    """

    backoff: float = 0.2
    backoff_max: float = 1.0
    quick: float = 10.0
    limit: int = 8
    first_limit: int = 3
    patience: float = 60.0
    poll: float = 0.1


class Supervised:
    """One process that is kept running by its `run` task."""

    def __init__(
        self,
        command: Command,
        log: FilteringBoundLogger,
        *,
        on_failure: Callable[[StackError], None],
        on_serving: Callable[[Supervised], None] = lambda _: None,
        policy: RestartPolicy | None = None,
    ) -> None:
        self.command = command
        self.serving = asyncio.Event()
        self.restarts = 0
        self._log = log.bind(process=command.name)
        self._policy = policy or RestartPolicy()
        self._on_failure = on_failure
        self._on_serving = on_serving
        self._child: Child | None = None
        self._stopping = False
        self._served_once = False
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int | None:
        """The pid of the running process; None between a death and the restart."""
        return self._child.pid if self._child is not None and self._child.running else None

    def start(self) -> None:
        """Starts it and keeps it running until `stop`."""
        self._task = asyncio.create_task(self._run(), name=f"keep {self.name} running")

    async def stop(self) -> None:
        """Ends the process, with grace, and the task. Safe to call twice and before `start`."""
        self._stopping = True
        if self._child is not None:
            await self._child.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._child is not None:
            await self._child.stop()  # one that the task started while it was being cancelled
        self.serving.clear()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            started = clock()
            try:
                status = await self._once()
            except (StackError, OSError) as error:
                self._on_failure(error if isinstance(error, StackError) else explain(error))
                return
            if self._stopping:
                return
            lived = clock() - started
            failures = failures + 1 if lived < self._policy.quick else 0
            self._log.warning("process died", status=status, lived_seconds=round(lived, 2), failures=failures)
            if failures >= (self._policy.limit if self._served_once else self._policy.first_limit):
                self._on_failure(self._giving_up(status))
                return
            await asyncio.sleep(min(self._policy.backoff * 2 ** max(failures - 1, 0), self._policy.backoff_max))
            self.restarts += 1

    async def _once(self) -> int:
        """One life of the process; its exit status. Raises StackError when it doesn't come to serve in time."""
        if self.command.prepare is not None:
            self.command.prepare()
        child = self._child = Child(self.command)
        self._log.info("process started", pid=child.pid)
        watch = asyncio.create_task(self._announce(), name=f"wait until {self.name} serves")
        ended = asyncio.create_task(child.wait(), name=f"wait until {self.name} ends")
        try:
            await asyncio.wait({watch, ended}, return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            return await ended
        finally:
            self.serving.clear()
            watch.cancel()
            ended.cancel()

    async def _announce(self) -> None:
        try:
            async with asyncio.timeout(self._policy.patience):
                while not await self.command.ready():  # noqa: ASYNC110 - another process's state has no event
                    await asyncio.sleep(self._policy.poll)
        except TimeoutError:
            raise StackError(
                f"{self.name} did not become ready within {self._policy.patience:g} s: see {self.command.log}"
            ) from None
        self._served_once = True
        self.serving.set()
        self._log.info("process serves", pid=self.pid, url=self.command.url)
        self._on_serving(self)

    def _giving_up(self, status: int) -> StackError:
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        words = last_line(self.command.log)
        reason = f" ({words})" if words else ""
        return StackError(f"{self.name} keeps failing, {how}{reason}: see {self.command.log}")
