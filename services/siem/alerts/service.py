"""The use-cases of alerts: raise or count, create by API, list, update, acknowledge, link to an investigation.

Each change and its event commit in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.siem.alerts import store
from services.siem.draft import Draft
from shared import telemetry
from shared.clock import utc_now
from shared.contracts.alerts import (
    ALERT_CREATED,
    ALERT_UPDATED,
    Alert,
    AlertChanged,
    AlertCreate,
    AlertQuery,
    AlertUpdate,
)
from shared.contracts.common import Page, Severity
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import InvestigationChanged
from shared.errors import ALERT_NOT_FOUND, CONFLICT, DUPLICATE_ALERT, AuroraError, field_error
from shared.outbox import Outbox, first_time
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database, UniqueViolation

INVESTIGATION_CONSUMER = "siem-investigations"
JOIN_CONSUMER = "siem-investigation-joins"
_CLOSED = ("resolved", "false_positive")


class AlertsService:
    """Alerts of the siem's schema."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    async def raise_all(self, connection: Connection, drafts: Iterable[Draft]) -> list[Alert]:
        """Raises each draft, or counts it on the open alert of its identity; the alerts, in the drafts' order.

        Runs in the caller's transaction; the caller wakes the outbox after the commit.
        """
        alerts = []
        for draft in drafts:
            with telemetry.continued("raise alert", draft.trace):
                alerts.append(await self._raise(connection, draft))
        return alerts

    async def _raise(self, connection: Connection, draft: Draft) -> Alert:
        now = utc_now()
        # Two writers may raise one identity at once: the loser of the insert counts on the winner's alert.
        for _attempt in range(3):
            counted = await store.count_on_open(connection, draft, now)
            if counted is not None:
                await self._outbox.add(connection, ALERT_UPDATED, AlertChanged(counted, ["count"]))
                return counted
            try:
                async with connection.savepoint():
                    created = await store.insert(connection, draft, now)
            except UniqueViolation:
                continue
            await self._outbox.add(connection, ALERT_CREATED, AlertChanged(created, []))
            return created
        raise AuroraError(CONFLICT, {"source_ref": draft.source_ref})

    async def resolve_all(self, connection: Connection, identifiers: Sequence[str]) -> None:
        """Resolves those that are open, in the caller's transaction; the caller wakes the outbox after the commit."""
        for alert in await store.resolve(connection, identifiers, utc_now()):
            await self._outbox.add(connection, ALERT_UPDATED, AlertChanged(alert, ["status"]))

    async def create(self, body: AlertCreate) -> Alert:
        """A new alert by API. Raises AURORA-4091 naming the open alert of the same identity."""
        now = utc_now()
        fields = {name: getattr(body, name) for name in body.__struct_fields__}
        draft = Draft(**fields, first_seen=now, last_seen=now)
        try:
            async with self._database.transaction() as connection:
                alert = await store.insert(connection, draft, now)
                await self._outbox.add(connection, ALERT_CREATED, AlertChanged(alert, []))
        except UniqueViolation:
            raise await self._duplicate(body.source, body.type, body.source_ref or "") from None
        self._outbox.wake()
        return alert

    async def _duplicate(self, source: str, kind: str, source_ref: str) -> AuroraError:
        existing = await store.find_open(self._database, source, kind, source_ref)
        return AuroraError(DUPLICATE_ALERT, {"alert_id": None if existing is None else existing.id})

    async def get(self, identifier: str) -> Alert:
        """Raises AURORA-4042."""
        alert = await store.find(self._database, identifier)
        if alert is None:
            raise AuroraError(ALERT_NOT_FOUND)
        return alert

    async def open_by_severity(self) -> dict[Severity, int]:
        """How many alerts are open."""
        return await store.count_open(self._database)

    async def list_alerts(self, query: AlertQuery) -> Page[Alert]:
        """A page, newest first."""
        rows = await store.page(self._database, query, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([alert for _, alert in shown], encode_position(shown[-1][0]) if more else None)

    async def update(self, identifier: str, body: AlertUpdate) -> Alert:
        """Changes what was sent. Raises AURORA-4042, 4091 when a reopened alert has an open twin, 4220 for nothing."""
        values = {name: value for name in body.__struct_fields__ if (value := getattr(body, name)) is not msgspec.UNSET}
        if not values:
            raise field_error("body", "send at least one of title, description, severity, status")
        try:
            async with self._database.transaction() as connection:
                if await store.find_locked(connection, identifier) is None:
                    raise AuroraError(ALERT_NOT_FOUND)
                alert = await store.update(connection, identifier, values, utc_now())
                await self._outbox.add(connection, ALERT_UPDATED, AlertChanged(alert, sorted(values)))
        except UniqueViolation:
            closed = await self.get(identifier)
            raise await self._duplicate(closed.source, closed.type, closed.source_ref) from None
        self._outbox.wake()
        return alert

    async def acknowledge(self, identifier: str, who: str) -> Alert:
        """Notes who took the alert; again by anyone changes nothing. Raises AURORA-4042, 4090 when it is closed."""
        async with self._database.transaction() as connection:
            alert = await store.find_locked(connection, identifier)
            if alert is None:
                raise AuroraError(ALERT_NOT_FOUND)
            if alert.acknowledged_at is not None:
                return alert
            if alert.status in _CLOSED:
                raise AuroraError(CONFLICT, {"status": alert.status}, message="The alert is closed")
            alert = await store.acknowledge(connection, identifier, who, utc_now())
            changed = ["acknowledged_at", "acknowledged_by", "status"]
            await self._outbox.add(connection, ALERT_UPDATED, AlertChanged(alert, changed))
        self._outbox.wake()
        return alert

    async def link_investigation(self, event: CloudEvent, data: InvestigationChanged) -> None:
        """On aurora.investigations.created: the alerts name their investigation."""
        await self._link(INVESTIGATION_CONSUMER, event, data.investigation.alert_ids, data.investigation.id)

    async def link_joined(self, event: CloudEvent, data: InvestigationChanged) -> None:
        """On aurora.investigations.updated: the alerts that joined name it, the others keep what they name."""
        if data.joined:
            await self._link(JOIN_CONSUMER, event, data.joined, data.investigation.id)

    async def _link(self, consumer: str, event: CloudEvent, alert_ids: Sequence[str], investigation_id: str) -> None:
        async with self._database.transaction() as connection:
            if not await first_time(connection, consumer, event):
                return
            alerts = await store.set_investigation(connection, alert_ids, investigation_id, utc_now())
            for alert in alerts:
                await self._outbox.add(connection, ALERT_UPDATED, AlertChanged(alert, ["investigation_id"]))
        self._outbox.wake()
