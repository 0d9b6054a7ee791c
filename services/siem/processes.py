"""The processes beside siem that parse, encode and evaluate: how work gets to them and answers come back.

Python runs one thread of a process at a time, so siem keeps its own for requests, stores and what follows from matches.
Owns the processes' life: one that dies is replaced, what it was asked is refused as unavailable, and what it was to
evaluate is told to be read again. Knows no store.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import cast

from prometheus_client import Gauge

from services.siem.batch import Evaluation
from services.siem.detections.engine.compiled import CompiledRule, encode
from services.siem.detections.engine.costs import Costs
from services.siem.frames import HEADER, Again, Answer, Changes, Evaluated, Order, Prepare, Refused, framed
from services.siem.logs.parsers import Item
from services.siem.logs.preparation import Body, Part, Request
from services.siem.logs.store import StoredRow
from shared.contracts.constants import ERROR_CODES
from shared.errors import UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.telemetry import REGISTRY

JOBS = Gauge("aurora_intake_jobs", "Requests and batches that processes beside siem work on", registry=REGISTRY)
#: A process that is to start is waited for this long.
_START_SECONDS = 30
_RESTART_SECONDS = 0.5
_RETRY_SECONDS = 1
_READ_BYTES = 8 * 1024 * 1024
_log = get_logger("processes")


def _gone() -> AuroraError:
    return AuroraError(UNAVAILABLE, {"dependency": "intake processes"}, retry_after=_RETRY_SECONDS)


class _Rules:
    """Every rule that is served, and the changes that some process hasn't been sent yet."""

    def __init__(self) -> None:
        self.costs = Costs()
        self._served: dict[str, bytes] = {}
        self._changes: list[tuple[str, bytes | None]] = []
        self.version = 0

    def put(self, rule_id: str, encoded: bytes | None) -> None:
        """Serves a rule, or with None no longer."""
        if encoded is not None:
            self._served[rule_id] = encoded
            self.costs.begin(rule_id)
        elif self._served.pop(rule_id, None) is None:
            return
        else:
            self.costs.end(rule_id)
        self._changes.append((rule_id, encoded))
        self.version += 1

    def since(self, version: int | None) -> Changes:
        """What came after `version`; every rule for a process that knows none."""
        if version is None:
            return Changes(list(self._served.items()), self.version)
        return Changes(self._changes[len(self._changes) - (self.version - version) :], self.version)

    def known(self, version: int) -> None:
        """Every process has what came up to `version`."""
        del self._changes[: len(self._changes) - (self.version - version)]


@dataclass(slots=True)
class _Job:
    """What was asked of a process. `answers` ends with None after the last part."""

    size: int
    answers: asyncio.Queue[Part | AuroraError | None] = field(default_factory=asyncio.Queue)
    evaluations: list[Evaluation] = field(default_factory=list)
    prepared: bool = False


class _Beside:
    """One process, started again when it ends."""

    def __init__(self, name: str, rules: _Rules, *, index: bool) -> None:
        self._name = name
        self._rules = rules
        self._arguments = [] if index else ["--no-index"]
        self._process: Process | None = None
        self._jobs: dict[int, _Job] = {}
        self.started = asyncio.Event()
        self.known: int | None = None
        self.load = 0

    async def run(self) -> None:
        """Keeps a process until cancelled."""
        while True:
            try:
                await self._read(await self._begin())
            finally:
                await self._end()
            _log.error("a process ended, and is started again", process=self._name)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _begin(self) -> asyncio.StreamReader:
        command = [sys.executable, "-m", "services.siem.processing", *self._arguments]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_READ_BYTES)
        self.known = None
        self._send_changes()
        self.started.set()
        return cast("asyncio.StreamReader", self._process.stdout)  # it is a pipe

    async def _end(self) -> None:
        self.started.clear()
        process, self._process = self._process, None
        jobs, self._jobs = self._jobs, {}
        self.load = 0
        JOBS.dec(len(jobs))
        for job in jobs.values():
            job.answers.put_nowait(_gone())
            for evaluation in job.evaluations:
                if not evaluation.done():
                    evaluation.set_result(None)
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def ask(self, order: Prepare | Again, size: int) -> _Job:
        """Sends an order, after the rules that changed. Raises AURORA-5030 when the process doesn't start."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.started.wait()
        except TimeoutError as error:
            raise _gone() from error
        self._send_changes()
        job = self._jobs[order.job] = _Job(size)
        if isinstance(order, Again):
            job.evaluations.append(asyncio.get_running_loop().create_future())
            job.prepared = True
        self.load += size
        JOBS.inc()
        self._send(order)
        return job

    def _send_changes(self) -> None:
        if self.known != self._rules.version or self.known is None:
            self._send(self._rules.since(self.known))
            self.known = self._rules.version

    def _send(self, order: Order) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(framed(order))

    async def _read(self, stream: asyncio.StreamReader) -> None:
        """Takes answers until the process ends."""
        try:
            while True:
                (length,) = HEADER.unpack(await stream.readexactly(HEADER.size))
                # Nobody but the process that was started here writes to this pipe.
                self._take(pickle.loads(await stream.readexactly(length)))  # noqa: S301
        except asyncio.IncompleteReadError:
            return

    def _take(self, answer: Answer) -> None:
        job = self._jobs[answer.job]
        if isinstance(answer, Evaluated):
            evaluation = job.evaluations[answer.part]
            if not evaluation.done():
                evaluation.set_result(answer.found)
            if answer.sample is not None:
                self._rules.costs.add(answer.sample)
        elif isinstance(answer, Refused):
            refusal = AuroraError(ERROR_CODES[answer.code], answer.detail, message=answer.message)
            if job.prepared:  # stored rows
                job.evaluations[0].set_exception(refusal)
            job.answers.put_nowait(refusal)
            job.prepared = True
        elif answer.part is None:
            job.answers.put_nowait(None)
            job.prepared = True
        else:
            job.evaluations.append(asyncio.get_running_loop().create_future())
            job.answers.put_nowait(answer.part)
        if job.prepared and all(evaluation.done() for evaluation in job.evaluations):
            del self._jobs[answer.job]
            self.load -= job.size
            JOBS.dec()


class Processes:
    """A number of processes that work side by side; each serves every rule."""

    def __init__(self, number: int, *, index: bool) -> None:
        self._rules = _Rules()
        self._numbers = count()
        self._beside = [_Beside(f"intake-{place}", self._rules, index=index) for place in range(number)]

    @property
    def version(self) -> int:
        """Of the rules as they are now; what was Found has the one that it was found with."""
        return self._rules.version

    @property
    def costs(self) -> Costs:
        """What evaluation cost since this process started."""
        return self._rules.costs

    def add(self, rule: CompiledRule) -> None:
        """Serve a rule from the next request on, in place of one with the same id."""
        self._rules.put(rule.id, encode(rule))

    def remove(self, rule_id: str) -> None:
        """Stop serving a rule; an unknown id is no error."""
        self._rules.put(rule_id, None)

    async def run(self) -> None:
        """Keeps the processes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for beside in self._beside:
                tasks.create_task(beside.run(), name="intake process")

    async def ready(self) -> None:
        """Raises AURORA-5030 while no process runs."""
        if not any(beside.started.is_set() for beside in self._beside):
            raise _gone()

    async def prepare(
        self, content: Body | Sequence[Item], size: int, request: Request
    ) -> AsyncIterator[tuple[Part, Evaluation]]:
        """The parts of a request of about `size` bytes, each while the next is being made, and its evaluation.

        Raises what reading the content raises, and AURORA-5030 when the process dies over it.
        """
        job = await self._ask(Prepare(next(self._numbers), content, request), size)
        number = 0
        while (answer := await job.answers.get()) is not None:
            if isinstance(answer, AuroraError):
                raise answer
            yield answer, job.evaluations[number]
            number += 1

    async def again(self, rows: Sequence[StoredRow]) -> Evaluation:
        """Stored rows, parsed and evaluated with the rules of now."""
        job = await self._ask(Again(next(self._numbers), rows), sum(len(row.raw) for row in rows))
        return job.evaluations[0]

    async def _ask(self, order: Prepare | Again, size: int) -> _Job:
        running = [beside for beside in self._beside if beside.started.is_set()] or self._beside
        chosen = min(running, key=lambda beside: beside.load)
        job = await chosen.ask(order, size)
        self._rules.known(min(beside.known for beside in self._beside if beside.known is not None))
        return job
