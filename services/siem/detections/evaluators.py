"""Where events are held against the rules: in this process, or in processes of their own beside it.

Owns the engines and how events get to them. Python runs one thread at a time, so beside intake an engine in this
process takes from its share; in a process of its own it doesn't. Both give the same matches. Knows no store and nothing
of what becomes of a match.
"""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from prometheus_client import Counter

from services.siem.batch import StoredEvent
from services.siem.detections.engine.compiled import CompiledRule, decode, encode
from services.siem.detections.engine.engine import Engine
from services.siem.event import Event, View
from services.siem.match import Failure, Match
from shared.log import get_logger
from shared.telemetry import REGISTRY

FAILURES = Counter("aurora_detection_failures_total", "Events that could not be evaluated", registry=REGISTRY)
# Longer, and requests to the same process would feel it.
_SLICE_SECONDS = 0.005
_MESSAGE_LENGTH = 300
#: Events that go to a process together: some ten milliseconds of its work.
_CHUNK = 400
#: Chunks under way for each process, so that it has the next one when it is done.
_DEPTH = 2
#: A chunk that so many processes died of is given back.
_DEATHS = 3
_PR_SET_PDEATHSIG = 1
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_log = get_logger("detection")

Found: TypeAlias = tuple[list[Match], list[Failure]]
#: What a process is sent of an event: its message and, for each view, product, category, services and fields.
_Sent: TypeAlias = tuple[str, list[tuple[str | None, str | None, tuple[str, ...], dict[str, Any]]]]
#: What it answers for an event, by its place in the chunk: (rule id, place of the view) of each match, or the failure.
_Answer: TypeAlias = tuple[int, list[tuple[str, int]] | str]


class Evaluator(Protocol):
    """Holds events against a changing set of rules."""

    def add(self, rule: CompiledRule) -> None:
        """Serve a rule from the next event on, in place of one with the same id."""

    def remove(self, rule_id: str) -> None:
        """Stop serving a rule; an unknown id is no error."""

    async def start(self) -> None:
        """Gets ready with the rules there are, so that the first event doesn't wait for it."""

    async def evaluate(self, events: Sequence[StoredEvent]) -> Found:
        """Every match, in the order of the events, and the events that no rule could be tried on."""

    async def close(self) -> None:
        """Ends what it has started."""


def evaluate_event(stored: StoredEvent, engine: Engine) -> list[Match] | Failure:
    """The matches of one event, sorted by rule; a Failure when the engine breaks on it."""
    try:
        found = engine.matches(stored.event)
    except Exception as error:  # noqa: BLE001 - one event that breaks the engine must not hold up all that follow
        return _failure(stored, type(error).__name__)
    return [_match(rule_id, stored, view) for rule_id, view in sorted(found.items())]


def _failure(stored: StoredEvent, reason: str) -> Failure:
    FAILURES.inc()
    _log.error("event not evaluated", log_id=stored.log_id, reason=reason)
    return Failure(stored.log_id, stored.event.timestamp, reason)


def _match(rule_id: str, stored: StoredEvent, view: View) -> Match:
    return Match(
        rule_id=rule_id,
        log_id=stored.log_id,
        timestamp=stored.event.timestamp,
        ingested_at=stored.ingested_at,
        source=stored.source,
        message=stored.event.message[:_MESSAGE_LENGTH],
        ecs=stored.event.ecs,
        fields=view.fields,
        trace=dict(stored.trace),
    )


class Here:
    """One engine in this process; it yields to others every few milliseconds."""

    def __init__(self, *, index: bool) -> None:
        self._engine = Engine(index=index)

    def add(self, rule: CompiledRule) -> None:
        """As Evaluator."""
        self._engine.add(rule)

    def remove(self, rule_id: str) -> None:
        """As Evaluator."""
        self._engine.remove(rule_id)

    async def start(self) -> None:
        """As Evaluator."""

    async def evaluate(self, events: Sequence[StoredEvent]) -> Found:
        """As Evaluator."""
        matches: list[Match] = []
        failures: list[Failure] = []
        yielded = time.perf_counter()
        for stored in events:
            found = evaluate_event(stored, self._engine)
            if isinstance(found, Failure):
                failures.append(found)
            else:
                matches += found
            if time.perf_counter() - yielded > _SLICE_SECONDS:
                await asyncio.sleep(0)
                yielded = time.perf_counter()
        return matches, failures

    async def close(self) -> None:
        """As Evaluator."""


class _Process:
    """One process with an engine. `known` is how many of the changes it was sent; None: send every rule."""

    def __init__(self, *, index: bool) -> None:
        self._index = index
        self.pool = self._begin()
        self.known: int | None = None

    def _begin(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin, initargs=(self._index,))

    def renew(self, broken: ProcessPoolExecutor) -> None:
        """Another process in place of one that died; several chunks may find the same one dead."""
        if self.pool is broken:
            _log.warning("an evaluating process ended, and is started again")
            broken.shutdown(wait=False)
            self.pool, self.known = self._begin(), None


class Beside:
    """Engines in processes of their own, which end with this one. A process that dies is replaced, and what it had is
    evaluated again."""

    def __init__(self, processes: int, *, index: bool) -> None:
        self._rules: dict[str, bytes] = {}
        self._changes: list[tuple[str, bytes | None]] = []
        self._processes = [_Process(index=index) for _ in range(processes)]

    def add(self, rule: CompiledRule) -> None:
        """As Evaluator."""
        self._rules[rule.id] = encoded = encode(rule)
        self._changes.append((rule.id, encoded))

    def remove(self, rule_id: str) -> None:
        """As Evaluator."""
        if self._rules.pop(rule_id, None) is not None:
            self._changes.append((rule_id, None))

    async def start(self) -> None:
        """As Evaluator."""
        await asyncio.gather(*(self._ask(process, []) for process in self._processes))

    async def evaluate(self, events: Sequence[StoredEvent]) -> Found:
        """As Evaluator. Raises an ExceptionGroup of BrokenProcessPool when processes die again and again."""
        chunks = deque((start, events[start : start + _CHUNK]) for start in range(0, len(events), _CHUNK))
        found: dict[int, Found] = {}

        async def take(process: _Process) -> None:
            while chunks:
                start, chunk = chunks.popleft()
                found[start] = _read(chunk, await self._ask(process, [_sent(stored.event) for stored in chunk]))

        async with asyncio.TaskGroup() as group:
            for process in self._processes * _DEPTH:
                group.create_task(take(process), name="evaluate")
        matches = [match for start in sorted(found) for match in found[start][0]]
        return matches, [failure for start in sorted(found) for failure in found[start][1]]

    async def _ask(self, process: _Process, chunk: list[_Sent]) -> list[_Answer]:
        deaths = 0
        while True:
            pool, changes = process.pool, self._unknown_to(process)
            try:
                return await asyncio.wrap_future(pool.submit(_evaluate, changes, chunk))
            except BrokenProcessPool:
                process.renew(pool)
                deaths += 1
                if deaths == _DEATHS:
                    raise

    def _unknown_to(self, process: _Process) -> list[tuple[str, bytes | None]]:
        unknown = list[tuple[str, bytes | None]](self._rules.items())
        if process.known is not None:
            unknown = self._changes[process.known :]
        process.known = len(self._changes)
        if all(other.known == len(self._changes) for other in self._processes):
            self._changes.clear()
            for other in self._processes:
                other.known = 0
        return unknown

    async def close(self) -> None:
        """As Evaluator."""
        for process in self._processes:
            await asyncio.to_thread(process.pool.shutdown, cancel_futures=True)


def _sent(event: Event) -> _Sent:
    return event.message, [(view.product, view.category, view.services, view.fields) for view in event.views]


def _read(chunk: Sequence[StoredEvent], answers: list[_Answer]) -> Found:
    matches: list[Match] = []
    failures: list[Failure] = []
    for place, answer in answers:
        stored = chunk[place]
        if isinstance(answer, str):
            failures.append(_failure(stored, answer))
        else:
            matches += [_match(rule_id, stored, stored.event.views[view]) for rule_id, view in answer]
    return matches, failures


# What follows runs in the other process, which has one engine and answers one chunk after another.
_engine = Engine()


def _begin(index: bool) -> None:
    global _engine  # noqa: PLW0603 - the process is this engine
    # It ends with the process that started it, however that ends; Ctrl-C is for that one to act on.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _engine = Engine(index=index)


def _evaluate(changes: list[tuple[str, bytes | None]], chunk: list[_Sent]) -> list[_Answer]:
    for rule_id, encoded in changes:
        if encoded is None:
            _engine.remove(rule_id)
        else:
            _engine.add(decode(encoded))
    answers: list[_Answer] = []
    for place, (message, views) in enumerate(chunk):
        event = _received(message, views)
        try:
            found = _engine.matches(event)
        except Exception as error:  # noqa: BLE001 - told for this event; those that follow must be evaluated
            answers.append((place, type(error).__name__))
            continue
        if found:
            places = {id(view): number for number, view in enumerate(event.views)}
            answers.append((place, [(rule_id, places[id(view)]) for rule_id, view in sorted(found.items())]))
    return answers


def _received(message: str, views: list[tuple[str | None, str | None, tuple[str, ...], dict[str, Any]]]) -> Event:
    # The engine looks at views and message only.
    return Event(_NO_TIME, "", message, {}, [View(*view) for view in views])
