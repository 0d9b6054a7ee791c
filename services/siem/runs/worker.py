"""The worker of runs: reads a range page by page, evaluates it with the engine, and commits what follows.

A page's matches, their alerts and the run's new position commit together: whoever continues a run after a crash
continues behind the last page. A prefilter spares a single rule the events it can't match; whether it matches is the
engine's word alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from services.siem.detections.engine import CompiledRule
from services.siem.logs.store import StoredRow
from services.siem.match import Failure, Match
from services.siem.runs import store
from services.siem.runs.domain import prefilter
from services.siem.runs.service import RunsService
from services.siem.runs.store import Claimed, Step
from shared.clickhouse import LimitExceededError, unavailable
from shared.clock import new_id, utc_now
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Connection, Database

#: Some 20 MB of what is usual. A page is read while another is evaluated, so two are in memory.
PAGE_ROWS = 10_000
LEASE_SECONDS = 60.0
_LOOK_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_SHORTEST_WINDOW = timedelta(milliseconds=2)
_log = get_logger("runs")


class Rows(Protocol):
    """Where stored events come from (the logs feature)."""

    async def rows(
        self,
        since: datetime,
        until: datetime,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        condition: str = "1",
        values: Mapping[str, Any] | None = None,
    ) -> list[StoredRow]:
        """Rows of a range in the order of (timestamp, id), behind `after`."""


class Held(Protocol):
    """Rules that stored rows are held against, with the streaming engine's matches."""

    def __len__(self) -> int:
        """How many rules there are."""

    def remove(self, rule_id: str) -> None:
        """Stop trying a rule."""

    async def evaluate(self, rows: Sequence[StoredRow]) -> tuple[list[Match], list[Failure]]:
        """Every (rule, event) that matches, and the events that no rule could be tried on."""

    async def close(self) -> None:
        """Ends what it has started."""


class Rules(Protocol):
    """The rules that live detection serves, filters applied (Detection.refresh brings them up to date)."""

    def get(self, rule_id: str) -> CompiledRule | None:
        """The rule as it is served."""

    def feeds(self, rule_id: str) -> list[tuple[CompiledRule, str]]:
        """The correlations that count matches of this rule, each with the reference it does so by."""

    def tried_for(self, rule_id: str) -> set[str]:
        """The rules on single events that a rule comes down to: itself, or those that feed a correlation."""


class Found(Protocol):
    """What became of matches."""

    @property
    def new_matches(self) -> int:
        """How many nobody had found before."""


class Detection(Protocol):
    """The way from matches to alerts (the detections feature)."""

    async def refresh(self) -> None:
        """Takes over every rule that changed."""

    async def commit(
        self, connection: Connection, matches: list[Match], failures: list[Failure], run_id: UUID | None = None
    ) -> Found:
        """What follows from matches, in the caller's transaction."""


class Ledger(Protocol):
    """What each rule was evaluated over (the coverage feature)."""

    async def evaluated(self, connection: Connection, run_id: UUID) -> None:
        """A run is complete, in the caller's transaction."""


@dataclass(slots=True)
class _Scan:
    """A run in work: its engine and prefilter. `window` is how much time one query may look at; `ahead` is the next
    page, read while one was evaluated."""

    run: Claimed
    engine: Held
    condition: str
    values: dict[str, Any]
    window: timedelta
    ahead: _Page | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    """Rows, and (timestamp, id) that everything was read up to."""

    rows: list[StoredRow]
    last: tuple[datetime, str]


class _LostError(Exception):
    """The run was cancelled, or is another's now: what was found is undone."""


class Worker:
    """Works on one run at a time. `alone` says that no other process can, so that a dead one's lease needn't end."""

    def __init__(
        self,
        database: Database,
        rows: Rows,
        rules: Rules,
        detection: Detection,
        ledger: Ledger,
        outbox: Outbox,
        hold: Callable[[Sequence[CompiledRule]], Held],
        *,
        alone: bool,
    ) -> None:
        self._database = database
        self._rows = rows
        self._rules = rules
        self._detection = detection
        self._ledger = ledger
        self._outbox = outbox
        self._hold = hold
        self._alone = alone
        self._owner = UUID(new_id())

    async def run(self, runs: RunsService) -> None:
        """Runs until cancelled."""
        if self._alone:
            await store.free_leases(self._database)
        while True:
            runs.asked.clear()
            try:
                claimed = await store.claim(self._database, self._owner, LEASE_SECONDS)
            except AuroraError as error:
                _log.warning("can't look for runs", reason=error.code.code)
                claimed = None
            if claimed is not None:
                await self._work_on(claimed)
                continue
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await runs.asked.wait()
            except TimeoutError:
                continue

    async def _work_on(self, run: Claimed) -> None:
        """Brings a run to its end, however long a store is away."""
        while True:
            try:
                await self._scan(run)
            except AuroraError as error:
                _log.warning("run waits", run_id=str(run.id), reason=error.code.code)
                await asyncio.sleep(_RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - a run that breaks must not stop those behind it
                _log.error("run broke", run_id=str(run.id), exc_info=error)
                await self._fail(run, type(error).__name__)
                return
            else:
                return

    async def _fail(self, run: Claimed, reason: str) -> None:
        try:
            async with self._database.transaction() as connection:
                await store.finish(connection, run.id, "failed", utc_now(), reason)
        except AuroraError as error:
            # Its lease ends, and it is tried again.
            _log.warning("can't end a run", run_id=str(run.id), reason=error.code.code)

    async def _scan(self, run: Claimed) -> None:
        if not await store.extend(self._database, run.id, self._owner, LEASE_SECONDS):
            return
        await self._detection.refresh()
        scan = await self._prepare(run)
        try:
            if not len(scan.engine):
                await self._fail(run, "nothing to evaluate: the rule is no longer served, or it is a filter of others")
                return
            while run.position < run.until:
                if not await self._page(scan):
                    return
        finally:
            await scan.engine.close()
        await self._complete(run)

    async def _complete(self, run: Claimed) -> None:
        async with self._database.transaction() as connection:
            ended = await store.finish(connection, run.id, "completed", utc_now())
            if ended is None:
                return
            await self._ledger.evaluated(connection, run.id)
        self._outbox.wake()
        _log.info("run completed", run_id=ended.id, events=ended.events_read, new_matches=ended.new_matches)

    async def _prepare(self, run: Claimed) -> _Scan:
        known = {
            rule_id: rule
            for rule_id in await store.served(self._database, run.rules)
            if (rule := self._rules.get(rule_id)) is not None
        }
        wanted = known.keys() if run.rule_id is None else self._with_what_feeds(run.rule_id, known) & known.keys()
        run.rules = sorted(wanted)
        await store.set_rules(self._database, run.id, run.rules)
        rules = [rule for rule_id in run.rules if (rule := known[rule_id]).condition is not None]
        condition, values = store.condition(prefilter(rules[0])) if len(rules) == 1 else ("1", {})
        return _Scan(run, self._hold(rules), condition, values, run.until - run.since)

    def _with_what_feeds(self, rule_id: str, known: Iterable[str]) -> set[str]:
        """A rule, and those whose matches it counts when it is a correlation, however deep."""
        wanted, size = {rule_id}, 0
        while size < len(wanted):
            size = len(wanted)
            wanted |= {one for one in known if any(fed.id in wanted for fed, _ in self._rules.feeds(one))}
        return wanted

    async def _page(self, scan: _Scan) -> bool:
        """Evaluates the next page while the one behind it is read; False when the run is no longer ours."""
        run = scan.run
        page = scan.ahead or await self._read(scan, (run.position, run.position_id))
        scan.ahead = None
        try:
            async with asyncio.TaskGroup() as group:
                if page.last[0] < run.until:
                    group.create_task(self._read_ahead(scan, page.last), name="read-ahead")
                return await self._take(scan, page)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    async def _read_ahead(self, scan: _Scan, after: tuple[datetime, str]) -> None:
        try:
            scan.ahead = await self._read(scan, after)
        except AuroraError as error:
            # It is read again in its turn; what is evaluated meanwhile must not be lost for it.
            _log.info("can't read ahead", run_id=str(scan.run.id), reason=error.code.code)

    async def _take(self, scan: _Scan, page: _Page) -> bool:
        run = scan.run
        matches, failures = await scan.engine.evaluate(page.rows) if page.rows else ([], [])
        await self._detection.refresh()
        try:
            async with self._database.transaction() as connection:
                await self._commit(connection, scan, matches, failures, page)
        except _LostError:
            return False
        self._outbox.wake()
        run.position, run.position_id = page.last
        return True

    async def _commit(
        self,
        connection: Connection,
        scan: _Scan,
        matches: list[Match],
        failures: list[Failure],
        page: _Page,
    ) -> None:
        run = scan.run
        matches = await self._of_served(connection, scan, matches)
        found = await self._detection.commit(connection, matches, failures, run.id)
        failed_at = [failure.timestamp for failure in failures]
        step = Step(*page.last, len(page.rows), len(matches), found.new_matches, failed_at)
        if not await store.advance(connection, run.id, self._owner, step, LEASE_SECONDS):
            raise _LostError

    async def _of_served(self, connection: Connection, scan: _Scan, matches: list[Match]) -> list[Match]:
        """Without those of rules that were disabled meanwhile: recorded without an alert, they'd never raise one."""
        found = {match.rule_id for match in matches}
        if not found:
            return matches
        gone = found - await store.still_served(connection, found)
        if gone:
            scan.run.rules = [rule_id for rule_id in scan.run.rules or () if rule_id not in gone]
            await store.set_rules(connection, scan.run.id, scan.run.rules)
            for rule_id in gone:
                scan.engine.remove(rule_id)
        return [match for match in matches if match.rule_id not in gone]

    async def _read(self, scan: _Scan, after: tuple[datetime, str]) -> _Page:
        """The next rows behind `after`, and how far was looked for them."""
        begin = after[0]
        while True:
            end = min(scan.run.until, _cut(begin + scan.window))
            try:
                rows = await self._rows.rows(begin, end, after, PAGE_ROWS, condition=scan.condition, values=scan.values)
            except LimitExceededError as error:
                scan.window = (end - begin) / 2
                if scan.window < _SHORTEST_WINDOW:
                    raise unavailable() from error
            else:
                return _Page(rows, (rows[-1].timestamp, rows[-1].id) if len(rows) == PAGE_ROWS else (end, ""))


def _cut(moment: datetime) -> datetime:
    """Whole milliseconds, as the store has them."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
