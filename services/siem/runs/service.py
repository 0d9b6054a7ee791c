"""The use-cases of runs: ask for one, look at it, cancel it. The work itself is worker.py's.

A rule that isn't served can't be run: what it found would raise no alert, and count as found ever after.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from services.siem.runs import store
from shared.clock import new_id, utc_now
from shared.contracts.common import Page
from shared.contracts.runs import Run, RunQuery, RunRequest
from shared.errors import CONFLICT, NOT_FOUND, RATE_LIMITED, AuroraError, field_error
from shared.pages import decode_position, encode_position
from shared.postgres import Database

#: So many runs may wait or be worked on.
MAX_OPEN = 100
_RETRY_SECONDS = 30
#: Of what can be stored.
EARLIEST_YEAR = 1901


class RunsService:
    """Runs of the siem's schema. `asked` is set whenever there may be work."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.asked = asyncio.Event()

    async def request(self, rule_id: str | None, body: RunRequest, who: str) -> Run:
        """Enters a run of one rule, or of all. Raises AURORA-4040, 4090 for a rule that isn't served, 4220, 4290."""
        if rule_id is not None:
            await self._require_served(rule_id)
        now = utc_now()
        since, until = _span(body, now)
        async with self._database.transaction() as connection:
            await store.lock(connection)
            if await store.count_open(connection) >= MAX_OPEN:
                raise AuroraError(RATE_LIMITED, message="Too many runs are waiting", retry_after=_RETRY_SECONDS)
            run = await store.insert(connection, UUID(new_id()), rule_id, (since, until), who, now)
        self.asked.set()
        return run

    async def get(self, identifier: str) -> Run:
        """One run. Raises AURORA-4040."""
        run = await store.find(self._database, _uuid(identifier))
        if run is None:
            raise AuroraError(NOT_FOUND)
        return run

    async def list_runs(self, rule_id: str, query: RunQuery) -> Page[Run]:
        """A page of the runs that evaluate a rule, newest first. Raises AURORA-4040."""
        if await store.rule_state(self._database, rule_id) is None:
            raise AuroraError(NOT_FOUND)
        rows = await store.page(self._database, rule_id, query, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([run for _, run in shown], encode_position(shown[-1][0]) if more else None)

    async def cancel(self, identifier: str) -> Run:
        """Ends a run that isn't done. Raises AURORA-4040, 4090 when it is."""
        run_id = _uuid(identifier)
        async with self._database.transaction() as connection:
            run = await store.finish(connection, run_id, "cancelled", utc_now())
        if run is None:
            ended = await self.get(identifier)
            raise AuroraError(CONFLICT, {"status": ended.status}, message="The run has ended")
        return run

    async def _require_served(self, rule_id: str) -> None:
        state = await store.rule_state(self._database, rule_id)
        if state is None:
            raise AuroraError(NOT_FOUND)
        enabled, problem = state
        if problem is not None or not enabled:
            message = "The rule can't be evaluated" if problem is not None else "The rule is not enabled"
            raise AuroraError(CONFLICT, {"enabled": enabled, "problem": problem}, message=message)


def _span(body: RunRequest, now: datetime) -> tuple[datetime, datetime]:
    """What is asked for in whole milliseconds, as the store has them, and up to now."""
    if body.since.year < EARLIEST_YEAR:
        raise field_error("body.since", f"nothing is stored from before {EARLIEST_YEAR}")
    since = body.since.replace(microsecond=body.since.microsecond // 1000 * 1000)
    until = now
    if body.until is not None and body.until < now:
        until = body.until.replace(microsecond=body.until.microsecond // 1000 * 1000)
    if since >= until:
        raise field_error("body.since", "must be before until, and in the past")
    return since.astimezone(UTC), until.astimezone(UTC)


def _uuid(identifier: str) -> UUID:
    try:
        return UUID(identifier)
    except ValueError as error:
        raise AuroraError(NOT_FOUND) from error
