"""The background of hunts: workers that do queued runs, and the clock that queues due ones.

A run is claimed under a lease that each page renews; one whose process died is taken up again, three times at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
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
_RUN_SECONDS = 900.0
_ATTEMPTS = 3
_LOOK_SECONDS = 2.0
_MESSAGE = 300
_log = get_logger("hunts")


class Sigma(Protocol):
    """Sigma rules over the stored past."""

    def matching(self, sigma: str, since: datetime, until: datetime) -> AsyncIterator[tuple[datetime, list[Match]]]:
        """Matches from the oldest on, page by page, each with the time that was reached."""


class HuntRuns:
    """Does the runs of hunts."""

    def __init__(self, database: Database, hunts: HuntsService, searcher: Searcher, sigma: Sigma) -> None:
        self._database = database
        self._hunts = hunts
        self._searcher = searcher
        self._sigma = sigma
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
            async with asyncio.timeout(_RUN_SECONDS):
                await self._finish(work, await self._find(work))
        except TimeoutError:
            return f"it took longer than {_RUN_SECONDS:.0f} s: narrow its range"
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

    async def _find(self, work: Work) -> list[HuntHit] | None:
        """Up to one hit more than are counted; None when the run was cancelled or is another's."""
        hits: list[HuntHit] = []
        async for reached, found in self._pages(work):
            hits += found
            if not await store.keep(self._database, work, self._owner, _LEASE_SECONDS, reached, len(hits)):
                return None
            if len(hits) > MAX_HITS:
                break
        return hits

    async def _pages(self, work: Work) -> AsyncIterator[tuple[float, list[HuntHit]]]:
        """Hits page by page, each with how much of the range is done."""
        whole = (work.until - work.since).total_seconds()
        if work.sigma is not None:
            async for moment, matches in self._sigma.matching(work.sigma, work.since, work.until):
                done = (moment - work.since).total_seconds() / whole
                yield done, [_hit(match.log_id, match) for match in matches]
            return
        cursor: str | None = None
        while True:
            query = LogQuery(q=work.query or "", since=work.since, until=work.until, limit=_PAGE, cursor=cursor)
            page = await self._searcher.search(query)
            done = (work.until - page.items[-1].timestamp).total_seconds() / whole if page.items else 1.0
            yield done, [_hit(event.id, event) for event in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _finish(self, work: Work, hits: list[HuntHit] | None) -> None:
        if hits is None:
            return
        counted = sorted(hits[:MAX_HITS], key=lambda hit: (hit.timestamp, hit.log_id), reverse=True)
        log_ids = [hit.log_id for hit in counted]
        before = await store.last_found(self._database, work.hunt_id)
        diff = None
        if before is not None:
            identifier, known = before
            change = domain.difference(log_ids, known)
            diff = HuntDiff(
                compared_to=identifier, new_count=len(change.new), new_ids=change.new[:_SHOWN], gone_count=change.gone
            )
        whole = len(hits) <= MAX_HITS
        await store.complete(
            self._database, work, self._owner, log_ids=log_ids, found=counted[:_SHOWN], whole=whole, diff=diff
        )


def _hit(log_id: str, event: LogEvent | Match) -> HuntHit:
    message = event.message.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:_MESSAGE]
    return HuntHit(log_id=log_id, timestamp=event.timestamp, source=event.source, message=message)
