"""The background of hunts: workers that do queued runs, and the clock that queues due ones.

A run is claimed under a lease that is renewed while it is done; one whose process died is taken up again, three times
at most. One that reaches its limits ends with what it has found until then, and says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.siem.hunts import domain, store
from services.siem.hunts.service import HuntsService, Searcher, queue
from services.siem.hunts.store import Work
from services.siem.match import Match
from shared.clickhouse import LimitExceededError
from shared.clock import new_id, utc_now
from shared.contracts.hunts import HuntDiff, HuntHit, HuntRunRequest
from shared.contracts.logs import LogEvent, LogQuery
from shared.errors import AuroraError
from shared.log import get_logger
from shared.postgres import Database

WORKERS = 2
MAX_HITS = 10_000
_SHOWN = 1_000
_PAGE = 200
_LEASE_SECONDS = 60.0
_SHORTEST_WINDOW = timedelta(milliseconds=2)
#: How often is asked whether a run was cancelled.
_WATCH_SECONDS = 1.0
_ATTEMPTS = 3
_LOOK_SECONDS = 2.0
_MESSAGE = 300
_log = get_logger("hunts")


class Looked(Protocol):
    """A part of a range that a rule was held against."""

    @property
    def reached(self) -> datetime:
        """Up to when."""

    @property
    def rows(self) -> int:
        """How many events were read for it."""

    @property
    def matches(self) -> Sequence[Match]:
        """Those that match."""


class Sigma(Protocol):
    """Sigma rules over the stored past."""

    def matching(self, sigma: str, since: datetime, until: datetime) -> AsyncIterator[Looked]:
        """Looks from the oldest event on, page by page. Raises LimitExceededError."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may take."""

    seconds: float = 900.0
    rows: int = 5_000_000


@dataclass(frozen=True, slots=True)
class _Step:
    """`done` of the range is behind; `rows` were read for these hits."""

    done: float
    rows: int
    hits: list[HuntHit]


@dataclass(slots=True)
class _Found:
    """Up to one hit more than are counted, and why the run ended before its range did."""

    hits: list[HuntHit]
    stopped: str | None = None


class HuntRuns:
    """Does the runs of hunts."""

    def __init__(
        self, database: Database, hunts: HuntsService, searcher: Searcher, sigma: Sigma, limits: Limits | None = None
    ) -> None:
        self._database = database
        self._hunts = hunts
        self._searcher = searcher
        self._sigma = sigma
        self._limits = limits or Limits()
        self._owner = new_id()

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._schedule(), name="hunt-schedule")
            for number in range(WORKERS):
                tasks.create_task(self._work(), name=f"hunt-worker-{number}")

    async def _schedule(self) -> None:
        while True:
            try:
                while await self.start_due():
                    self._hunts.arrived.set()
            except AuroraError as error:
                _log.warning("schedules wait", reason=error.code.code)
            await asyncio.sleep(_LOOK_SECONDS)

    async def start_due(self) -> bool:
        """Queues one due hunt, unless a run of it is under way; False when none is due."""
        async with self._database.transaction() as connection:
            hunt = await store.take_due(connection)
            if hunt is None:
                return False
            await store.set_next(connection, hunt.id, domain.next_time(hunt.schedule, utc_now()))
            if await store.has_open(connection, hunt.id):
                _log.info("hunt still runs", hunt=hunt.id)
                return True
            try:
                await queue(connection, hunt, HuntRunRequest(), "schedule")
            except AuroraError as error:
                _log.warning("hunt can't be started", hunt=hunt.id, reason=error.code.code, detail=error.detail)
        return True

    async def _work(self) -> None:
        while True:
            try:
                work = await store.claim(self._database, self._owner, _LEASE_SECONDS)
            except AuroraError as error:
                _log.warning("can't look for runs", reason=error.code.code)
                work = None
            if work is not None:
                await self._do(work)
                continue
            self._hunts.arrived.clear()
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._hunts.arrived.wait()
            except TimeoutError:
                continue

    async def _do(self, work: Work) -> None:
        reason = "its process ended each time it was tried" if work.attempts > _ATTEMPTS else await self._try(work)
        if reason is None:
            return
        try:
            await store.fail(self._database, work, self._owner, reason)
        except AuroraError as error:
            # Its lease ends, and it is taken up again.
            _log.warning("run not ended", run=work.id, reason=error.code.code)

    async def _try(self, work: Work) -> str | None:
        """Does the run; the reason why it failed."""
        try:
            await self._finish(work, await self._watched(work))
        except LimitExceededError as error:
            return f"a read ran into its {error.limit} limit: narrow its range"
        except AuroraError as error:
            detail = error.detail
            message = detail[0].get("message") if isinstance(detail, list) and detail else None
            return f"{error.code.code} {error.message}" + (f": {message}" if message else "")
        except Exception as error:  # noqa: BLE001 - one run that breaks must not end the workers of all
            _log.error("run broke", run=work.id, exc_info=error)
            return f"an error of Aurora's own ({type(error).__name__}); its log says more"
        return None

    async def _watched(self, work: Work) -> _Found | None:
        """What the run finds; None, at once, when it is cancelled or another's: its read is stopped too."""
        found: _Found | None = None

        async def find() -> None:
            nonlocal found
            found = await self._find(work)

        try:
            async with asyncio.TaskGroup() as tasks:
                finding = tasks.create_task(find(), name=f"hunt-{work.id}")
                while not finding.done():
                    await asyncio.wait({finding}, timeout=_WATCH_SECONDS)
                    if not finding.done() and not await store.renew(self._database, work, self._owner, _LEASE_SECONDS):
                        finding.cancel()
        except ExceptionGroup as errors:
            # One task, so one error; whoever called knows what it means.
            raise errors.exceptions[0] from errors
        return found

    async def _find(self, work: Work) -> _Found | None:
        """What there is to find within the limits; None when the run was cancelled or is another's."""
        found = _Found([])
        deadline = time.monotonic() + self._limits.seconds
        rows = 0
        async for step in self._steps(work):
            found.hits += step.hits
            rows += step.rows
            kept = await store.keep(self._database, work, self._owner, _LEASE_SECONDS, step.done, len(found.hits))
            if not kept:
                return None
            if len(found.hits) > MAX_HITS:
                break
            if step.done < 1 and (time.monotonic() > deadline or rows >= self._limits.rows):
                limit = f"{rows} events read" if rows >= self._limits.rows else f"{self._limits.seconds:.0f} s"
                order = "newest" if work.sigma is None else "oldest"
                found.stopped = f"ended at its limit of {limit}: {step.done:.0%} of the range is done, {order} first"
                break
        return found

    async def _steps(self, work: Work) -> AsyncIterator[_Step]:
        """Hits page by page, each with how much of the range is done."""
        whole = (work.until - work.since).total_seconds()
        if work.sigma is not None:
            async for looked in self._sigma.matching(work.sigma, work.since, work.until):
                done = (looked.reached - work.since).total_seconds() / whole
                yield _Step(done, looked.rows, [_hit(match.log_id, match) for match in looked.matches])
            return
        until, window = work.until, work.until - work.since
        cursor: str | None = None
        while until > work.since:
            since = max(work.since, until - window)
            query = LogQuery(q=work.query or "", since=since, until=until, limit=_PAGE, cursor=cursor)
            try:
                page = await self._searcher.search(query)
            except AuroraError as error:
                window /= 2
                if not isinstance(error.__cause__, LimitExceededError) or window < _SHORTEST_WINDOW:
                    raise
                continue
            cursor = page.next_cursor
            reached = since if cursor is None else page.items[-1].timestamp
            until = since if cursor is None else until
            yield _Step(
                (work.until - reached).total_seconds() / whole, 0, [_hit(event.id, event) for event in page.items]
            )

    async def _finish(self, work: Work, found: _Found | None) -> None:
        if found is None:
            return
        counted = sorted(found.hits[:MAX_HITS], key=lambda hit: (hit.timestamp, hit.log_id), reverse=True)
        log_ids = [hit.log_id for hit in counted]
        # What wasn't looked at is neither new nor gone.
        before = None if found.stopped else await store.last_found(self._database, work.hunt_id)
        diff = None
        if before is not None:
            identifier, known = before
            change = domain.difference(log_ids, known)
            diff = HuntDiff(
                compared_to=identifier, new_count=len(change.new), new_ids=change.new[:_SHOWN], gone_count=change.gone
            )
        await store.complete(
            self._database,
            work,
            self._owner,
            log_ids=log_ids,
            found=counted[:_SHOWN],
            whole=len(found.hits) <= MAX_HITS and found.stopped is None,
            diff=diff,
            error=found.stopped,
        )


def _hit(log_id: str, event: LogEvent | Match) -> HuntHit:
    message = event.message.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_MESSAGE]
    return HuntHit(log_id=log_id, timestamp=event.timestamp, source=event.source, message=message)
