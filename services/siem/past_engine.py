"""Rules held against many stored rows: in this process while it is little work, else in processes beside it.

Owns those processes. They run at low priority, so that live intake goes first, and end with whoever opened them. A
process that dies is replaced, and what it had is evaluated again. Knows neither which rules nor whose rows these are,
and nothing of what becomes of a match.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import TypeAlias

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
#: Rows that go to a process together: some sixty milliseconds of its work.
_CHUNK_ROWS = 500
#: So many processes dying of one chunk end the evaluation.
_DEATHS = 3
_NICE = 10
_log = log.get_logger("past")

Evaluated: TypeAlias = tuple[list[Match], list[Failure]]


class ProcessesDiedError(Exception):
    """One process after another died of the same rows."""


class PastEngine:
    """A set of rules; close it."""

    def __init__(self, rules: Sequence[CompiledRule], *, processes: int = _PROCESSES) -> None:
        """`processes` is how many may work beside this one."""
        self._rules = list(rules)
        self._served = {rule.id for rule in rules}
        self._engine: Engine | None = None
        self._processes = [_Process(self._rules) for _ in range(processes)]

    def __len__(self) -> int:
        """How many rules are served."""
        return len(self._served)

    def remove(self, rule_id: str) -> None:
        """Stop serving a rule; an unknown id is no error."""
        self._served.discard(rule_id)

    async def evaluate(self, rows: Sequence[StoredRow]) -> Evaluated:
        """Every (rule, event) that matches, in the order of the rows, and the events that no rule could be tried on.

        Raises ProcessesDiedError.
        """
        if not self._processes or (len(self._rules) <= _FEW_RULES and len(rows) < _FEW_ROWS):
            if self._engine is None:
                self._engine = await asyncio.to_thread(Engine, self._rules)
            matches, failures = await evaluate_rows(rows, self._engine)
        else:
            matches, failures = await self._beside(rows)
        return [match for match in matches if match.rule_id in self._served], failures

    async def _beside(self, rows: Sequence[StoredRow]) -> Evaluated:
        chunks = deque(_chunks(rows))
        matches: list[Match] = []
        failures: list[Failure] = []

        async def take(process: _Process) -> None:
            while chunks:
                found, failed = await process.evaluate(chunks.popleft())
                matches.extend(found)
                failures.extend(failed)

        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes:
                    group.create_task(take(process), name="evaluate-past")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        places = {row.id: place for place, row in enumerate(rows)}
        matches.sort(key=lambda match: (places[match.log_id], match.rule_id))
        failures.sort(key=lambda failure: places[failure.log_id])
        return matches, failures

    async def close(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            await process.end()


def _chunks(rows: Sequence[StoredRow]) -> Iterator[list[StoredRow]]:
    """Rows with the same siblings stay together, so that these are sent and parsed once."""
    groups: dict[int, list[StoredRow]] = {}
    for row in rows:
        groups.setdefault(id(row.siblings) if row.siblings else id(row), []).append(row)
    chunk: list[StoredRow] = []
    for group in groups.values():
        chunk += group
        if len(chunk) >= _CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Process:
    """One process with an engine of these rules, started when it is first needed. Does one thing at a time."""

    def __init__(self, rules: list[CompiledRule]) -> None:
        self._rules = rules
        self._running: tuple[SpawnProcess, Connection] | None = None

    async def evaluate(self, rows: list[StoredRow]) -> Evaluated:
        """Raises ProcessesDiedError."""
        for _ in range(_DEATHS):
            try:
                if self._running is None:
                    self._running = _started()
                    return await self._ask(([encode(rule) for rule in self._rules], rows))
                return await self._ask((None, rows))
            except (EOFError, OSError):
                _log.warning("an evaluating process ended, and is started again")
                await self.end()
        raise ProcessesDiedError

    async def _ask(self, order: tuple[list[bytes] | None, list[StoredRow]]) -> Evaluated:
        if self._running is None:
            raise EOFError
        return await asyncio.to_thread(_exchange, self._running[1], order)

    async def end(self) -> None:
        """Ends it, if there is one."""
        running, self._running = self._running, None
        if running is not None:
            process, pipe = running
            process.kill()
            await asyncio.to_thread(process.join)
            # A thread that still waits for an answer has been told by now that there is none.
            pipe.close()


def _started() -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    # Else this process would hold the other end open, and never hear that the child is gone.
    theirs.close()
    return process, ours


def _exchange(pipe: Connection, order: tuple[list[bytes] | None, list[StoredRow]]) -> Evaluated:
    pipe.send(order)
    answer: Evaluated = pipe.recv()
    return answer


def _serve(pipe: Connection) -> None:
    """The other process: evaluates what it is sent, until the pipe ends."""
    # Ctrl-C is for the process that started this one to act on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICE)
    log.configure("siem")
    engine = Engine()
    while True:
        try:
            rules, rows = pipe.recv()
            if rules is not None:
                engine = Engine(map(decode, rules))
            pipe.send(evaluate_here(rows, engine))
        except (EOFError, OSError):
            return
