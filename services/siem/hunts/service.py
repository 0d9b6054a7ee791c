"""The use-cases of hunts: save one, change it, queue a run, look at runs, cancel one.

A hunt is checked when it is saved, by asking its question about no time at all. Who does the runs is runs.py's matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec

from services.siem.hunts import domain, store
from shared.clock import new_id, utc_now
from shared.contracts.common import Page, PageQuery
from shared.contracts.hunts import Hunt, HuntCreate, HuntRun, HuntRunDetail, HuntRunRequest, HuntUpdate
from shared.contracts.logs import LogEvent, LogQuery
from shared.errors import CONFLICT, NOT_FOUND, RATE_LIMITED, VALIDATION, AuroraError, field_error
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database

MAX_OPEN_RUNS = 100
_RETRY_SECONDS = 10


class Found(Protocol):
    """A page of events."""

    @property
    def items(self) -> Sequence[LogEvent]:
        """Newest first."""

    @property
    def next_cursor(self) -> str | None:
        """None on the last page."""


class Searcher(Protocol):
    """The log search."""

    async def search(self, query: LogQuery, /) -> Found:
        """Raises AURORA-4220 for a query that can't be read or takes too long, 5032 when the store is away."""


class SigmaCheck(Protocol):
    """Who knows what a Sigma rule is."""

    async def check(self, sigma: str) -> None:
        """Raises AURORA-4222."""

    async def slow(self, sigma: str) -> list[str]:
        """Why a hunt with it is slow, in words. Raises AURORA-4222."""


class HuntsService:
    """Hunts of the siem's schema."""

    def __init__(
        self, database: Database, searcher: Searcher, sigma: SigmaCheck, slow_forms: Callable[[str], list[str]]
    ) -> None:
        """`slow_forms` names the terms of a query that no index helps with; raises AURORA-4220."""
        self._database = database
        self._searcher = searcher
        self._sigma = sigma
        self._slow_forms = slow_forms
        self.arrived = asyncio.Event()

    async def create(self, body: HuntCreate, who: str) -> Hunt:
        """Saves a hunt. Raises AURORA-4220, 4222 with the place in the rule, 5032 when it can't be checked now."""
        if (body.query is None) == (body.sigma is None):
            raise field_error("body", "send either query or sigma")
        now = utc_now()
        hunt = Hunt(
            id=new_id(),
            name=body.name,
            description=body.description,
            query=body.query,
            sigma=body.sigma,
            parameters=body.parameters,
            mitre_techniques=body.mitre_techniques,
            range_hours=body.range_hours,
            schedule=body.schedule,
            next_run_at=domain.next_time(body.schedule, now),
            created_by=who,
            created_at=now,
            updated_at=now,
        )
        await self._check(hunt)
        await store.insert(self._database, hunt)
        return hunt

    async def update(self, identifier: str, body: HuntUpdate) -> Hunt:
        """Changes what was sent. Raises AURORA-4040, and what `create` raises."""
        sent = {name: getattr(body, name) for name in body.__struct_fields__}
        values = {name: value for name, value in sent.items() if value is not msgspec.UNSET}
        if not values:
            raise field_error("body", "send at least one field to change")
        now = utc_now()
        async with self._database.transaction() as connection:
            hunt = await store.find(connection, identifier, lock=True)
            if hunt is None:
                raise AuroraError(NOT_FOUND)
            if ("query" in values and hunt.query is None) or ("sigma" in values and hunt.sigma is None):
                raise field_error("body", "a hunt stays what it was created as: by query, or by sigma")
            if "schedule" in values:
                values["next_run_at"] = domain.next_time(values["schedule"], now)
            changed = msgspec.structs.replace(hunt, **values, updated_at=now)
            await self._check(changed)
            await store.replace(connection, changed)
        return changed

    async def _check(self, hunt: Hunt) -> None:
        domain.check_parameters(hunt.query, hunt.parameters)
        if hunt.schedule is not None and domain.sample_values(hunt.parameters):
            raise field_error("body.schedule", "each parameter of a scheduled hunt needs a default")
        if hunt.sigma is not None:
            await self._sigma.check(hunt.sigma)
        elif hunt.query is not None:
            values = domain.with_defaults(hunt.parameters, domain.sample_values(hunt.parameters))
            rendered = domain.render(hunt.query, hunt.parameters, values)
            try:
                await self._searcher.search(LogQuery(q=rendered, since=hunt.updated_at, until=hunt.updated_at, limit=1))
            except AuroraError as error:
                raise domain.at_query(error) if error.code is VALIDATION else error from error

    async def list_hunts(self, query: PageQuery) -> Page[Hunt]:
        """A page, newest first."""
        rows = await store.page(self._database, query.limit + 1, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([hunt for _, hunt in shown], encode_position(shown[-1][0]) if more else None)

    async def run(self, identifier: str, body: HuntRunRequest, who: str) -> HuntRun:
        """Queues a run. Raises AURORA-4040, 4220 for values that don't fit, 4290 when too many wait."""
        async with self._database.transaction() as connection:
            hunt = await store.find(connection, identifier, lock=True)
            if hunt is None:
                raise AuroraError(NOT_FOUND)
            if await store.count_open(connection) >= MAX_OPEN_RUNS:
                raise AuroraError(RATE_LIMITED, {"limit": MAX_OPEN_RUNS}, retry_after=_RETRY_SECONDS)
            run = await queue(connection, hunt, body, who)
        self.arrived.set()
        return run

    async def runs(self, identifier: str, query: PageQuery) -> Page[HuntRun]:
        """Runs of a hunt, newest first. Raises AURORA-4040."""
        if await store.find(self._database, identifier) is None:
            raise AuroraError(NOT_FOUND)
        rows = await store.runs(self._database, identifier, query.limit + 1, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([run for _, run in shown], encode_position(shown[-1][0]) if more else None)

    async def get_run(self, identifier: str) -> HuntRunDetail:
        """Raises AURORA-4040."""
        run = await store.find_run(self._database, identifier)
        if run is None:
            raise AuroraError(NOT_FOUND)
        if slow := await self._slow(run):
            run.slow = slow
        return run

    async def _slow(self, run: HuntRunDetail) -> list[str]:
        try:
            return self._slow_forms(run.query or "") if run.sigma is None else await self._sigma.slow(run.sigma)
        except AuroraError:
            # What an older version could ask and this one can't has its reason in the run's error.
            return []

    async def cancel(self, identifier: str) -> HuntRun:
        """Ends a run. Raises AURORA-4040, 4090 when it has ended already."""
        cancelled = await store.cancel(self._database, identifier)
        run = await self.get_run(identifier)
        if not cancelled:
            raise AuroraError(CONFLICT, {"status": run.status}, message="The run has ended")
        return HuntRun(**{name: getattr(run, name) for name in HuntRun.__struct_fields__})


async def queue(connection: Connection, hunt: Hunt, body: HuntRunRequest, who: str) -> HuntRun:
    """A new run of the hunt, with the question it will ask. Raises AURORA-4220."""
    now = utc_now()
    values = domain.with_defaults(hunt.parameters, body.parameters)
    query = None if hunt.query is None else domain.render(hunt.query, hunt.parameters, values)
    until = _aware(body.until) or now
    since = _aware(body.since) or until - timedelta(hours=hunt.range_hours)
    if since >= until:
        raise field_error("body.since", "must be before until")
    run = HuntRun(
        id=new_id(),
        hunt_id=hunt.id,
        created_by=who,
        created_at=now,
        started_at=None,
        finished_at=None,
        duration_ms=None,
        parameters=values,
        since=since,
        until=until,
        status="queued",
        progress=0.0,
        hits=0,
        complete=False,
        error=None,
        diff=None,
    )
    await store.insert_run(connection, run, query=query, sigma=hunt.sigma, values=values)
    return run


def _aware(moment: datetime | None) -> datetime | None:
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
