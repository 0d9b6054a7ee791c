"""Rules held against many stored rows: in this process while it is little work, else in processes beside it.

Owns those processes. They run at low priority, so that live intake goes first, and end with whoever opened them. A
process that dies is replaced, and what it had is evaluated again. Knows neither which rules nor whose rows these are,
and nothing of what becomes of a match.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from services.siem.detections.engine.compiled import CompiledRule, decode, encode
from services.siem.detections.engine.engine import Engine
from services.siem.evaluate import evaluate_here, evaluate_rows
from services.siem.logs.store import StoredRow
from services.siem.match import Failure, Match
from shared import log

#: Beside siem and its stores, which go first.
_PROCESSES = min(4, os.cpu_count() or 1)
#: What is held against no more rules, and has no more rows, is less work than starting a process.
_FEW_RULES = 50
_FEW_ROWS = 2_000
#: Rows that go to a process together: some thirty milliseconds of its work.
_CHUNK_ROWS = 250
#: Chunks under way for each process, so that it has the next one when it is done.
_DEPTH = 2
#: So many processes dying of one chunk end the evaluation.
_DEATHS = 3
_NICE = 10
_PR_SET_PDEATHSIG = 1


class PastEngine:
    """A set of rules; close it."""

    def __init__(self, rules: Sequence[CompiledRule], *, processes: int = _PROCESSES) -> None:
        """`processes` is how many may work beside this one."""
        self._rules = {rule.id: rule for rule in rules}
        self._served = set(self._rules)
        self._engine: Engine | None = None
        self._processes = [_Process(self._rules) for _ in range(processes)]

    def __len__(self) -> int:
        """How many rules are served."""
        return len(self._served)

    def remove(self, rule_id: str) -> None:
        """Stop serving a rule; an unknown id is no error."""
        self._served.discard(rule_id)

    async def evaluate(self, rows: Sequence[StoredRow]) -> tuple[list[Match], list[Failure]]:
        """Every (rule, event) that matches, in the order of the rows, and the events that no rule could be tried on.

        Raises an ExceptionGroup of BrokenProcessPool when processes die again and again.
        """
        if not self._processes or (len(self._rules) <= _FEW_RULES and len(rows) < _FEW_ROWS):
            if self._engine is None:
                self._engine = await asyncio.to_thread(Engine, self._rules.values())
            matches, failures = await evaluate_rows(rows, self._engine)
        else:
            matches, failures = await self._beside(rows)
        return [match for match in matches if match.rule_id in self._served], failures

    async def _beside(self, rows: Sequence[StoredRow]) -> tuple[list[Match], list[Failure]]:
        chunks = deque(enumerate(_chunks(rows)))
        found: dict[int, tuple[list[Match], list[Failure]]] = {}

        async def take(process: _Process) -> None:
            while chunks:
                number, chunk = chunks.popleft()
                found[number] = await process.evaluate(chunk)

        async with asyncio.TaskGroup() as group:
            for process in self._processes * _DEPTH:
                group.create_task(take(process), name="evaluate-past")
        # Rows that were parsed together are in one chunk, wherever they stand.
        places = {row.id: place for place, row in enumerate(rows)}
        matches = [match for matches, _ in found.values() for match in matches]
        failures = [failure for _, failures in found.values() for failure in failures]
        return (
            sorted(matches, key=lambda match: places[match.log_id]),
            sorted(failures, key=lambda failure: places[failure.log_id]),
        )

    async def close(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            await process.close()


def _chunks(rows: Sequence[StoredRow]) -> Iterator[list[StoredRow]]:
    """Rows with the same siblings stay together, so that these are sent and parsed once."""
    parts: dict[int, list[StoredRow]] = {}
    alone: list[StoredRow] = []
    for row in rows:
        (parts.setdefault(id(row.siblings), []) if row.siblings else alone).append(row)
    for start in range(0, len(alone), _CHUNK_ROWS):
        yield alone[start : start + _CHUNK_ROWS]
    yield from parts.values()


class _Process:
    """One process with an engine of these rules, started when it is first needed."""

    def __init__(self, rules: dict[str, CompiledRule]) -> None:
        self._rules = rules
        self._pool: ProcessPoolExecutor | None = None

    async def evaluate(self, rows: list[StoredRow]) -> tuple[list[Match], list[Failure]]:
        """Raises BrokenProcessPool when process after process dies of these rows."""
        deaths = 0
        while True:
            pool, rules = self._pool, None
            if pool is None:
                spawn = multiprocessing.get_context("spawn")
                self._pool = pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin)
                rules = [encode(rule) for rule in self._rules.values()]
            try:
                return await asyncio.wrap_future(pool.submit(_evaluate, rules, rows))
            except BrokenProcessPool:
                # The other chunk under way finds the same process dead.
                if self._pool is pool:
                    self._pool = None
                    pool.shutdown(wait=False)
                deaths += 1
                if deaths == _DEATHS:
                    raise

    async def close(self) -> None:
        """Ends it."""
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)


# What follows runs in the other process, which has one engine and answers one chunk after another.
_engine = Engine()


def _begin() -> None:
    # It ends with the process that started it, however that ends; Ctrl-C is for that one to act on.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    log.configure("siem")


def _evaluate(rules: list[bytes] | None, rows: list[StoredRow]) -> tuple[list[Match], list[Failure]]:
    global _engine  # noqa: PLW0603 - the process is this engine
    if rules is not None:
        _engine = Engine(map(decode, rules))
    return evaluate_here(rows, _engine)
