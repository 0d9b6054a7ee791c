"""The workers: claim an investigation, ask its specialists wave by wave, write the verdict.

What a specialist said is stored before the next one is asked. A worker that dies leaves its lease to run out; whoever
takes over goes on behind the last stored answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from services.orchestrator.handoffs import NewDispatch, Stored
from services.orchestrator.investigations import domain, store
from services.orchestrator.investigations.domain import Outcome, PlannedCall
from services.orchestrator.investigations.service import steps_of
from services.orchestrator.investigations.store import Claimed
from services.orchestrator.settings import OrchestratorSettings
from shared import telemetry
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_CAPABILITIES, AGENT_IDS, ANALYZE_THREAT, Assessment
from shared.contracts.investigations import (
    INVESTIGATION_COMPLETED,
    InvestigationChanged,
    InvestigationStatus,
)
from shared.contracts.wire import to_builtins
from shared.errors import INTERNAL, AuroraError
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Database

_IDLE_SECONDS = 1.0
_log = get_logger("investigations")


class Dispatcher(Protocol):
    """How specialists are asked (the dispatch feature)."""

    def has(self, agent: str) -> bool:
        """Whether this specialist is configured."""

    async def plan(self, new: NewDispatch) -> None:
        """Stores a step, once."""

    async def execute(self, identifier: str) -> Stored:
        """Sends a stored step unless it is finished; how it ended."""

    async def steps(self, investigation_id: str) -> list[Stored]:
        """The steps of one investigation, oldest first."""


class Workers:
    """`run` is one worker; start as many as shall work at the same time. `keep_leases` runs beside them."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        dispatcher: Dispatcher,
        queued: asyncio.Event,
        settings: OrchestratorSettings,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._dispatcher = dispatcher
        self._queued = queued
        self._lease = settings.lease_seconds
        self._owner = new_id()
        self._at_work: set[str] = set()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                claimed = await store.claim(self._database, self._owner, utc_now(), self._lease)
                if claimed is not None:
                    await self._work_on(claimed)
                    continue
            except AuroraError as error:
                # A store is away. The lease runs out and the investigation is taken again, behind its last step.
                _log.warning("investigation waits", reason=error.code.code, detail=error.detail)
            self._queued.clear()
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._queued.wait()
            except TimeoutError:
                continue

    async def _work_on(self, claimed: Claimed) -> None:
        # Only while this lasts is the lease renewed: one that was let go must become free, also for ourselves.
        self._at_work.add(claimed.id)
        try:
            await self._investigate(claimed)
        finally:
            self._at_work.discard(claimed.id)

    async def keep_leases(self) -> None:
        """Runs until cancelled; then gives back what is not finished."""
        try:
            while True:
                await asyncio.sleep(self._lease / 3)
                try:
                    await store.renew(self._database, self._owner, self._at_work, utc_now(), self._lease)
                except AuroraError as error:
                    _log.warning("leases not renewed", reason=error.code.code)
        finally:
            await store.give_back(self._database, self._owner)

    async def _investigate(self, claimed: Claimed) -> None:
        carrier = {"traceparent": claimed.traceparent} if claimed.traceparent else {}
        with telemetry.span("investigate", carrier):
            try:
                await self._reach_verdict(claimed)
            except AuroraError:
                raise
            except Exception as error:  # noqa: BLE001 - one investigation that breaks must not stop all others, for ever
                _log.error("investigation broke", investigation_id=claimed.id, exc_info=error)
                await self._finish(claimed, Outcome(None, None, None, f"{INTERNAL.code} {INTERNAL.message}"), [])

    async def _reach_verdict(self, claimed: Claimed) -> None:
        steps = await self._ask_all(claimed)
        assessments = {step.record.agent: a for step in steps if (a := _assessment(step)) is not None}
        failures = {
            step.record.agent: step.record.error or step.record.status
            for step in steps
            if step.record.agent not in assessments
        }
        await self._finish(claimed, domain.merge(assessments, failures), steps)

    async def _ask_all(self, claimed: Claimed) -> list[Stored]:
        available = [agent for agent in AGENT_IDS if self._dispatcher.has(agent)]
        while True:
            steps = await self._dispatcher.steps(claimed.id)
            unfinished = [step.record.id for step in steps if step.record.status in ("pending", "running")]
            if not unfinished:
                asked = {step.record.agent: _assessment(step) for step in steps}
                wave = domain.next_wave(claimed.alert_id, asked, claimed.agents, available)
                if not wave:
                    return steps
                for call in wave:
                    await self._dispatcher.plan(_step(claimed, call))
                continue
            calls = (self._dispatcher.execute(identifier) for identifier in unfinished)
            # All end before any failure counts: a call that went on alone would write behind the next attempt's back.
            for answer in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer

    async def _finish(self, claimed: Claimed, outcome: Outcome, steps: Sequence[Stored]) -> None:
        async with self._database.transaction() as connection:
            row = await store.complete(connection, claimed.id, self._owner, _status(outcome), outcome, utc_now())
            if row is None:
                return
            investigation = store.with_steps(row, steps_of([step.record for step in steps]))
            await self._outbox.add(connection, INVESTIGATION_COMPLETED, InvestigationChanged(investigation))
        self._outbox.wake()
        _log.info("investigation ended", investigation_id=claimed.id, verdict=outcome.verdict)


def _step(claimed: Claimed, call: PlannedCall) -> NewDispatch:
    return NewDispatch(
        id=new_id(),
        agent=call.agent,
        method=ANALYZE_THREAT.name,
        params=to_builtins(call.params),
        reason=claimed.reason,
        requested_by=claimed.requested_by,
        capabilities=AGENT_CAPABILITIES,
        investigation_id=claimed.id,
    )


def _assessment(step: Stored) -> Assessment | None:
    if step.record.status != "completed":
        return None
    return msgspec.convert(step.record.result, Assessment)


def _status(outcome: Outcome) -> InvestigationStatus:
    if outcome.verdict is None:
        return "failed"
    undecided = outcome.verdict in ("suspicious", "undetermined")
    return "review_required" if outcome.contradicted and undecided else "completed"
