"""The workers: claim an investigation, ask its specialists wave by wave and round by round, write the verdict.

What a specialist said is stored before the next one is asked. A worker that dies leaves its lease to run out; whoever
takes over goes on behind the last stored answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Protocol

from services.orchestrator.handoffs import NewDispatch, Stored
from services.orchestrator.investigations import domain, merging, queue_store, rounds, store
from services.orchestrator.investigations.domain import Allowance, Case, PlannedCall
from services.orchestrator.investigations.merging import Outcome
from services.orchestrator.investigations.opinion import SeverityOpinion
from services.orchestrator.investigations.queue_store import Claimed
from services.orchestrator.investigations.service import InvestigationsService, steps_of
from services.orchestrator.investigations.telling import Telling
from services.orchestrator.settings import OrchestratorSettings
from shared import telemetry
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_CAPABILITIES, AGENT_IDS
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
_UNCHANGED = Outcome(None, None, None, "")
_log = get_logger("investigations")


class Dispatcher(Protocol):
    """How specialists are asked (the dispatch feature)."""

    def has(self, agent: str) -> bool:
        """Whether this specialist can be reached."""

    async def plan(self, steps: Sequence[NewDispatch]) -> None:
        """Stores steps, all or none; each once."""

    async def execute(self, identifier: str) -> Stored:
        """Sends a stored step unless it is finished; how it ended. Cancelled, it takes the handoff back."""

    async def steps(self, investigation_id: str) -> list[Stored]:
        """The steps of one investigation, oldest first."""


class _LetGo(Exception):
    """The investigation isn't this worker's any more."""


class Workers:
    """`run` is one worker; start as many as shall work at the same time. `keep_leases` runs beside them."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        dispatcher: Dispatcher,
        investigations: InvestigationsService,
        telling: Telling,
        opinion: SeverityOpinion,
        settings: OrchestratorSettings,
        roster: Collection[str] = AGENT_IDS,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._dispatcher = dispatcher
        self._queued = investigations.queued
        self._released = investigations.released
        self._telling = telling
        self._opinion = opinion
        self._lease = settings.lease_seconds
        self._pause = timedelta(seconds=settings.continue_seconds)
        self._allowance = Allowance(
            settings.round_tool_calls, settings.round_seconds, settings.step_tool_calls, settings.step_seconds
        )
        self._roster = roster
        self._owner = new_id()
        self._at_work: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            self._queued.clear()
            try:
                claimed = await queue_store.claim(self._database, self._owner, utc_now(), self._lease)
                if claimed is not None:
                    # Whoever else is idle may find another one.
                    self._queued.set()
                    await self._work_on(claimed)
                    continue
            except AuroraError as error:
                # A store is away. The lease runs out and the investigation is taken again, behind its last step.
                _log.warning("investigation waits", reason=error.code.code, detail=error.detail)
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    await self._queued.wait()
            except TimeoutError:
                continue

    async def _work_on(self, claimed: Claimed) -> None:
        """Only while this lasts is the lease renewed: one that was let go must become free, also for ourselves."""
        task = asyncio.create_task(self._investigate(claimed), name=f"investigation {claimed.id}")
        self._at_work[claimed.id] = task
        try:
            await asyncio.wait([task])
        finally:
            del self._at_work[claimed.id]
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def keep_leases(self) -> None:
        """Runs until cancelled; then gives back what is not finished."""
        try:
            while True:
                self._released.clear()
                try:
                    await self._renew()
                except AuroraError as error:
                    _log.warning("leases not renewed", reason=error.code.code)
                try:
                    async with asyncio.timeout(self._lease / 3):
                        await self._released.wait()
                except TimeoutError:
                    continue
        finally:
            await queue_store.give_back(self._database, self._owner)

    async def _renew(self) -> None:
        now, working = utc_now(), dict(self._at_work)
        if await queue_store.continue_due(self._database, now):
            self._queued.set()
        lost = await queue_store.renew(self._database, self._owner, working, now, self._lease) if working else set()
        for identifier in lost:
            # Its handoffs are taken back with it: cancelled at the specialist too.
            working[identifier].cancel()

    async def _investigate(self, claimed: Claimed) -> None:
        carrier = {"traceparent": claimed.traceparent} if claimed.traceparent else {}
        with telemetry.span("investigate", carrier):
            try:
                await self._reach_or_break(claimed)
            except _LetGo:
                _log.info("investigation let go", investigation_id=claimed.id)

    async def _reach_or_break(self, claimed: Claimed) -> None:
        try:
            await self._reach_verdict(claimed)
        except (AuroraError, _LetGo):
            raise
        except Exception as error:  # noqa: BLE001 - one investigation that breaks must not stop all others, for ever
            _log.error("investigation broke", investigation_id=claimed.id, exc_info=error)
            broken = Outcome(None, None, None, f"{INTERNAL.code} {INTERNAL.message}")
            await self._write_end(claimed, broken, await self._dispatcher.steps(claimed.id), whatever_joined=True)

    async def _reach_verdict(self, claimed: Claimed) -> None:
        case = await self._case(claimed)
        while True:
            steps = await self._dispatcher.steps(claimed.id)
            if unfinished := rounds.unfinished(steps):
                await self._ask(unfinished)
                continue
            available = [agent for agent in self._roster if self._dispatcher.has(agent)]
            calls = domain.next_wave(case, steps, available, self._allowance, self._roster)
            outcome, voted = merging.outcome_of(steps), domain.is_first_verdict(calls)
            # Until all have voted who look again, what was said before stands.
            await self._note(claimed, outcome if voted or case.round == 1 else _UNCHANGED, first=voted)
            if domain.can_wait(calls) and (later := await self._next_round(claimed)):
                case = later
            elif calls:
                # Whoever watches is told meanwhile: the work waits for nobody.
                told = self._telling.planned(case, calls, outcome)
                await asyncio.gather(told, self._dispatcher.plan([_step(claimed, case, call) for call in calls]))
            elif await self._finish(claimed, outcome, steps):
                return

    async def _case(self, claimed: Claimed) -> Case:
        """What the round that is under way is about, or the next one if none is."""
        async with self._database.transaction() as connection:
            row = await queue_store.held(connection, claimed.id, self._owner)
            if row is None:
                raise _LetGo
            begun = None if row["round_open"] else await queue_store.open_round(connection, row, anew=True)
            return begun or await queue_store.case_of(connection, row, row["round"])

    async def _next_round(self, claimed: Claimed) -> Case | None:
        """The next round, when there are alerts that weren't looked at, or not all that belong together."""
        async with self._database.transaction() as connection:
            row = await queue_store.held(connection, claimed.id, self._owner)
            if row is None:
                raise _LetGo
            return await queue_store.open_round(connection, row, anew=False)

    async def _ask(self, unfinished: Sequence[str]) -> None:
        calls = (self._dispatcher.execute(identifier) for identifier in unfinished)
        # All end before any failure counts: a call that went on alone would write behind the next attempt's back.
        for answer in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _note(self, claimed: Claimed, outcome: Outcome, *, first: bool) -> None:
        held = await queue_store.note_verdict(self._database, claimed.id, self._owner, outcome, utc_now(), first=first)
        if not held:
            raise _LetGo

    async def _finish(self, claimed: Claimed, outcome: Outcome, steps: Sequence[Stored]) -> bool:
        outcome = merging.raised(outcome, await self._opinion.severity(outcome))
        return await self._write_end(claimed, outcome, steps)

    async def _write_end(
        self, claimed: Claimed, outcome: Outcome, steps: Sequence[Stored], *, whatever_joined: bool = False
    ) -> bool:
        """Writes the end; False when alerts joined meanwhile, so that it goes on."""
        async with self._database.transaction() as connection:
            if await queue_store.held(connection, claimed.id, self._owner) is None:
                raise _LetGo
            if not whatever_joined and await queue_store.has_new_alerts(connection, claimed.id):
                return False
            if outcome.verdict is None:
                row = await queue_store.fail(connection, claimed.id, outcome, utc_now())
            else:
                row = await queue_store.complete(
                    connection, claimed.id, _status(outcome), outcome, utc_now(), self._pause
                )
            investigation = store.with_steps(row, steps_of([step.record for step in steps]))
            await self._outbox.add(connection, INVESTIGATION_COMPLETED, InvestigationChanged(investigation))
        self._outbox.wake()
        await self._telling.ended(claimed.id, outcome)
        _log.info("investigation ended", investigation_id=claimed.id, verdict=outcome.verdict)
        return True


def _step(claimed: Claimed, case: Case, call: PlannedCall) -> NewDispatch:
    return NewDispatch(
        id=new_id(),
        agent=call.agent,
        method=call.method.name,
        params=to_builtins(call.params),
        reason=claimed.reason,
        requested_by=claimed.requested_by,
        capabilities=AGENT_CAPABILITIES,
        investigation_id=claimed.id,
        round=case.round,
        budget=call.budget,
        skipped=call.skipped,
    )


def _status(outcome: Outcome) -> InvestigationStatus:
    undecided = outcome.verdict in ("suspicious", "undetermined")
    return "review_required" if outcome.contradicted and undecided else "completed"
