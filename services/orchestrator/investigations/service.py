"""The use-cases of investigations: queue one for an alert, by event or by request, or let the alert join one; show and
list them. What people decide about one is in decisions.py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from services.orchestrator.investigations import domain, queue_store, store
from services.orchestrator.investigations.store import NewInvestigation
from services.orchestrator.investigations.subject import Subject, group_key, severity_rank, subject_of
from services.orchestrator.settings import OrchestratorSettings
from shared import telemetry
from shared.client import Client
from shared.clock import new_id, utc_now
from shared.contracts.alerts import GET_ALERT, AlertChanged
from shared.contracts.common import Page
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import (
    INVESTIGATION_COMPLETED,
    INVESTIGATION_CREATED,
    INVESTIGATION_UPDATED,
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
from shared.postgres import Connection, Database, Record

ALERT_CONSUMER = "orchestrator-alerts"
FIRED_AGAIN_CONSUMER = "orchestrator-alert-updates"


class Steps(Protocol):
    """Where the steps of investigations are kept (the dispatch feature)."""

    def has(self, agent: str) -> bool:
        """Whether this specialist is configured."""

    async def records(
        self, investigation_ids: Sequence[str], connection: Connection | None = None
    ) -> list[DispatchRecord]:
        """The steps of some investigations, oldest first; as the caller's transaction sees them, if it has one."""


class InvestigationsService:
    """Investigations of the orchestrator's schema. `queued` is set whenever one waits for a worker, `released` when
    one must be let go."""

    def __init__(
        self, database: Database, outbox: Outbox, steps: Steps, siem: Client, settings: OrchestratorSettings
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._steps = steps
        self._siem = siem
        self._settings = settings
        self.queued = asyncio.Event()
        self.released = asyncio.Event()

    async def on_alert(self, event: CloudEvent, data: AlertChanged) -> None:
        """On aurora.alerts.created: the alert joins the investigation that is about the same host, user or address, or
        gets one of its own; unless it has one."""
        subject, key = subject_of(data.alert), group_key(data.alert)
        async with self._database.transaction() as connection:
            if not await first_time(connection, ALERT_CONSUMER, event):
                return
            await store.lock_alert(connection, subject.id)
            known = await store.of_alert(connection, subject.id, active=False) is not None
            if not known and (key is None or not await self._join(connection, key, subject)):
                await self._queue(connection, self._automatic(subject, key))
        self._wake()

    async def _join(self, connection: Connection, key: str, subject: Subject) -> bool:
        now, settings = utc_now(), self._settings
        await store.lock_group(connection, key)
        near, ended = timedelta(seconds=settings.join_seconds), timedelta(seconds=settings.join_ended_seconds)
        identifier = await store.joinable(connection, key, subject, now, near, ended)
        if identifier is None:
            return False
        priority = domain.priority(severity_rank(subject.severity), manual=False)
        row = await store.join(connection, identifier, subject, priority, domain.due_at(now, priority))
        await self.tell_change(connection, row, joined=[subject.id])
        return True

    async def on_alert_update(self, _event: CloudEvent, data: AlertChanged) -> None:
        """On aurora.alerts.updated: an alert that was seen again since it was asked about lets its investigation go on,
        some time after its end. To be told twice changes nothing."""
        if "count" not in data.changed:
            return
        pause = timedelta(seconds=self._settings.continue_seconds)
        async with self._database.transaction() as connection:
            await store.fired_again(connection, subject_of(data.alert), utc_now(), pause)

    async def investigate(self, request: InvestigateRequest, caller: Principal) -> Investigation:
        """Queues an investigation; one of this alert that is under way is the answer instead.

        Raises AURORA-4042 for an alert that doesn't exist, 4043 for an unknown specialist.
        """
        for agent in request.agents:
            if not self._steps.has(agent):
                raise AuroraError(AGENT_NOT_FOUND, {"agent": agent})
        alert = await self._siem.call(GET_ALERT, path={"alert_id": request.alert_id})
        subject, now = subject_of(alert), utc_now()
        priority = domain.priority(severity_rank(subject.severity), manual=True)
        new = NewInvestigation(
            id=new_id(),
            subject=subject,
            automatic=False,
            agents=request.agents,
            requested_by=caller.id,
            reason=request.reason,
            traceparent=telemetry.traceparent(),
            group_key=None,
            priority=priority,
            due_at=domain.due_at(now, priority),
        )
        async with self._database.transaction() as connection:
            await store.lock_alert(connection, request.alert_id)
            active = await store.of_alert(connection, request.alert_id, active=True)
            identifier = active or (await self._queue(connection, new)).id
        self._wake()
        return await self.get(identifier)

    def _automatic(self, subject: Subject, key: str | None) -> NewInvestigation:
        priority = domain.priority(severity_rank(subject.severity), manual=False)
        return NewInvestigation(
            id=new_id(),
            subject=subject,
            automatic=True,
            agents=(),
            requested_by="service:orchestrator",
            reason="alert created",
            traceparent=telemetry.traceparent(),
            group_key=key,
            priority=priority,
            due_at=domain.due_at(utc_now(), priority),
        )

    async def _queue(self, connection: Connection, new: NewInvestigation) -> Investigation:
        investigation = await store.insert(connection, new, utc_now())
        await self._outbox.add(connection, INVESTIGATION_CREATED, InvestigationChanged(investigation))
        return investigation

    def _wake(self) -> None:
        self._outbox.wake()
        self.queued.set()

    def let_go(self) -> None:
        """Somebody decided something: workers look at what they hold, and at what waits."""
        self.released.set()
        self._wake()

    async def tell_change(self, connection: Connection, row: Record, joined: Sequence[str] = ()) -> None:
        """Writes the event of a change into the caller's transaction; the caller wakes the outbox after it."""
        investigation = store.with_steps(row, steps_of(await self._steps.records([row["id"]], connection)))
        if investigation.status == "cancelled":
            await self._outbox.add(connection, INVESTIGATION_COMPLETED, InvestigationChanged(investigation))
            return
        # Told at each alert that joins: the tool results, which may be megabytes, come with the receipt.
        investigation.citations, investigation.report = [], None
        await self._outbox.add(connection, INVESTIGATION_UPDATED, InvestigationChanged(investigation, list(joined)))

    async def get(self, identifier: str) -> Investigation:
        """Raises AURORA-4040."""
        row = await store.find(self._database, identifier)
        if row is None:
            raise AuroraError(NOT_FOUND, message="Investigation not found")
        [shown] = await self._shown([row])
        return shown

    async def list_investigations(self, query: InvestigationQuery) -> Page[Investigation]:
        """A page, newest first."""
        rows = await store.page(self._database, query, decode_position(query.cursor))
        items = await self._shown(rows[: query.limit])
        more = len(rows) > query.limit
        return Page(items, encode_position(rows[query.limit - 1]["position"]) if more else None)

    async def _shown(self, rows: Sequence[Record]) -> list[Investigation]:
        """Investigations with their steps, and those that wait with their place in the queue."""
        records = await self._steps.records([row["id"] for row in rows])
        items = [
            store.with_steps(row, steps_of([record for record in records if record.investigation_id == row["id"]]))
            for row in rows
        ]
        waiting = [item.id for item in items if item.status == "queued" and item.parked_at is None]
        if waiting:
            places = await queue_store.places(self._database, waiting)
            busy, usual = await queue_store.pace(self._database)
            for item in items:
                if (place := places.get(item.id)) is not None:
                    item.position = place
                    workers = self._settings.parallel_investigations
                    item.estimate_seconds = domain.estimate_seconds(place, busy, workers, usual)
        return items


def steps_of(records: Sequence[DispatchRecord]) -> list[Step]:
    """Dispatches as the steps an investigation shows."""
    return [
        Step(
            id=record.id,
            agent=record.agent,
            method=record.method,
            status=record.status,
            started_at=None if record.status in ("pending", "skipped") else record.started_at,
            finished_at=record.finished_at,
            error=record.error,
            round=record.round,
        )
        for record in records
    ]
