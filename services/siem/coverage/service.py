"""The coverage ledger: what each rule was evaluated over; a stretch that was missed is a finding with an alert.

Enabling and disabling of rules reaches the ledger in the database, by a trigger on their table; runs and failures
are entered here. Gaps are told of by a loop, so that whoever changes rules needn't know of alerts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol
from uuid import UUID

from services.siem.coverage import domain, store
from services.siem.draft import Draft
from services.siem.match import Failure
from shared.clock import utc_now
from shared.contracts.alerts import Alert
from shared.contracts.coverage import RuleCoverage
from shared.errors import NOT_FOUND, AuroraError
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Connection, Database

_LOOK_SECONDS = 1.0
_AT_ONCE = 100
_log = get_logger("coverage")


class Alerts(Protocol):
    """Where gaps are told (the alerts feature)."""

    async def raise_all(self, connection: Connection, drafts: Iterable[Draft]) -> list[Alert]:
        """Raises or counts each draft in the caller's transaction; the alerts in the drafts' order."""

    async def resolve_all(self, connection: Connection, identifiers: Sequence[str]) -> None:
        """Resolves those that are open, in the caller's transaction."""


class CoverageService:
    """The ledger of the siem's schema."""

    def __init__(self, database: Database, alerts: Alerts, outbox: Outbox) -> None:
        self._database = database
        self._alerts = alerts
        self._outbox = outbox

    async def of_rule(self, rule_id: str) -> RuleCoverage:
        """What a rule was evaluated over. Raises AURORA-4040."""
        found = await store.find(self._database, rule_id)
        if found is None and not await store.rule_exists(self._database, rule_id):
            raise AuroraError(NOT_FOUND)
        watermark = await store.watermark(self._database)
        return RuleCoverage(
            rule_id=rule_id,
            live_since=None if found is None else found[0],
            watermark=watermark,
            intervals=await store.intervals(self._database, rule_id, watermark),
            gaps=await store.gaps(self._database, rule_id, watermark),
        )

    async def evaluated(self, connection: Connection, run_id: UUID) -> None:
        """A run is complete: its range is covered, and the gaps in it are closed with their alerts."""
        await store.add_run(connection, run_id)
        alert_ids = await store.filled(connection, utc_now())
        await self._alerts.resolve_all(connection, alert_ids)

    async def failed(self, connection: Connection, failures: Sequence[Failure]) -> None:
        """Live evaluation could not evaluate these events."""
        for reason in sorted({failure.reason for failure in failures}):
            moments = [failure.timestamp for failure in failures if failure.reason == reason]
            await store.add_failures(connection, moments, reason)

    async def tell(self) -> None:
        """Raises the alerts of gaps that have ended. Runs until cancelled."""
        while True:
            try:
                while await self.tell_some():
                    continue
            except AuroraError as error:
                _log.warning("gaps wait to be told", reason=error.code.code)
            await asyncio.sleep(_LOOK_SECONDS)

    async def tell_some(self) -> int:
        """Raises the alerts of up to a hundred gaps; how many."""
        async with self._database.transaction() as connection:
            gaps = await store.untold(connection, _AT_ONCE)
            if not gaps:
                return 0
            drafts = [domain.gap_draft(gap.rule_id, gap.title, gap.since, gap.until, gap.reason) for gap in gaps]
            alerts = await self._alerts.raise_all(connection, drafts)
            await store.told(connection, [gap.id for gap in gaps], [alert.id for alert in alerts])
        self._outbox.wake()
        return len(gaps)
