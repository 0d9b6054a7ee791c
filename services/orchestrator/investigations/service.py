"""The use-cases of investigations: queue one for an alert, by event or by request; show and list them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from services.orchestrator.investigations import store
from services.orchestrator.investigations.store import NewInvestigation
from shared import telemetry
from shared.client import Client
from shared.clock import new_id, utc_now
from shared.contracts.alerts import GET_ALERT, AlertChanged
from shared.contracts.common import Page
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import (
    INVESTIGATION_CREATED,
    DispatchRecord,
    InvestigateRequest,
    Investigation,
    InvestigationChanged,
    InvestigationQuery,
    Step,
)
from shared.errors import AGENT_NOT_FOUND, NOT_FOUND, AuroraError
from shared.identity import Principal
from shared.outbox import Outbox, first_time
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database

ALERT_CONSUMER = "orchestrator-alerts"


class Steps(Protocol):
    """Where the steps of investigations are kept (the dispatch feature)."""

    def has(self, agent: str) -> bool:
        """Whether this specialist is configured."""

    async def records(self, investigation_ids: Sequence[str]) -> list[DispatchRecord]:
        """The steps of some investigations, oldest first."""


class InvestigationsService:
    """Investigations of the orchestrator's schema. `queued` is set whenever one waits for a worker."""

    def __init__(self, database: Database, outbox: Outbox, steps: Steps, siem: Client) -> None:
        self._database = database
        self._outbox = outbox
        self._steps = steps
        self._siem = siem
        self.queued = asyncio.Event()

    async def on_alert(self, event: CloudEvent, data: AlertChanged) -> None:
        """On aurora.alerts.created: queues the alert's automatic investigation, unless it has one."""
        new = NewInvestigation(
            id=new_id(),
            alert_id=data.alert.id,
            automatic=True,
            agents=(),
            requested_by="service:orchestrator",
            reason="alert created",
            traceparent=telemetry.traceparent(),
        )
        async with self._database.transaction() as connection:
            if not await first_time(connection, ALERT_CONSUMER, event):
                return
            await store.lock_alert(connection, new.alert_id)
            if await store.of_alert(connection, new.alert_id, active=False) is None:
                await self._queue(connection, new)
        self._wake()

    async def investigate(self, request: InvestigateRequest, caller: Principal) -> Investigation:
        """Queues an investigation; one of this alert that is under way is the answer instead.

        Raises AURORA-4042 for an alert that doesn't exist, 4043 for an unknown specialist.
        """
        for agent in request.agents:
            if not self._steps.has(agent):
                raise AuroraError(AGENT_NOT_FOUND, {"agent": agent})
        await self._siem.call(GET_ALERT, path={"alert_id": request.alert_id})
        new = NewInvestigation(
            id=new_id(),
            alert_id=request.alert_id,
            automatic=False,
            agents=request.agents,
            requested_by=caller.id,
            reason=request.reason,
            traceparent=telemetry.traceparent(),
        )
        async with self._database.transaction() as connection:
            await store.lock_alert(connection, request.alert_id)
            active = await store.of_alert(connection, request.alert_id, active=True)
            identifier = active or (await self._queue(connection, new)).id
        self._wake()
        return await self.get(identifier)

    async def _queue(self, connection: Connection, new: NewInvestigation) -> Investigation:
        investigation = await store.insert(connection, new, utc_now())
        await self._outbox.add(connection, INVESTIGATION_CREATED, InvestigationChanged(investigation))
        return investigation

    def _wake(self) -> None:
        self._outbox.wake()
        self.queued.set()

    async def get(self, identifier: str) -> Investigation:
        """Raises AURORA-4040."""
        row = await store.find(self._database, identifier)
        if row is None:
            raise AuroraError(NOT_FOUND, message="Investigation not found")
        return store.with_steps(row, steps_of(await self._steps.records([identifier])))

    async def list_investigations(self, query: InvestigationQuery) -> Page[Investigation]:
        """A page, newest first."""
        rows = await store.page(self._database, query, decode_position(query.cursor))
        shown = rows[: query.limit]
        records = await self._steps.records([row["id"] for row in shown])
        items = [
            store.with_steps(row, steps_of([record for record in records if record.investigation_id == row["id"]]))
            for row in shown
        ]
        more = len(rows) > query.limit
        return Page(items, encode_position(shown[-1]["position"]) if more else None)


def steps_of(records: Sequence[DispatchRecord]) -> list[Step]:
    """Dispatches as the steps an investigation shows."""
    return [
        Step(
            id=record.id,
            agent=record.agent,
            method=record.method,
            status=record.status,
            started_at=None if record.status == "pending" else record.started_at,
            finished_at=record.finished_at,
            error=record.error,
        )
        for record in records
    ]
