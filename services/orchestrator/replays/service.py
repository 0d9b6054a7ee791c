"""An investigation run again over its recorded tool results: the same answers and the same verdict, byte for byte.

Each specialist that answered is asked again with what it was asked then, and with the record of its tool calls in place
of the tools; then the answers are merged again. Nothing is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import msgspec

from services.orchestrator.handoffs import KeptCall, Stored
from services.orchestrator.replays import domain
from shared import telemetry
from shared.clock import new_id, utc_now
from shared.contracts.agents import Handoff
from shared.contracts.catalog import METHODS
from shared.contracts.constants import Method
from shared.contracts.investigations import Investigation
from shared.contracts.replays import InvestigationReplay, StepReplay
from shared.contracts.wire import to_builtins
from shared.errors import CONFLICT, AuroraError

P = TypeVar("P")
R = TypeVar("R")
_ENDED = ("completed", "review_required", "failed")
_AT_ONCE = 4


class Agents(Protocol):
    """How agents are called, wherever they run."""

    async def call(self, agent: str, method: Method[P, R], params: P, *, handoff: Handoff, timeout: float) -> R:
        """The method's result. Raises AuroraError."""


class Calls(Protocol):
    """Where tool calls are kept (the fleet feature)."""

    async def of_handoff(self, handoff_id: str) -> list[KeptCall]:
        """The calls of a handoff, in their order."""

    async def version_then(self, handoff_id: str) -> str:
        """The version of the agent that answered a handoff; empty when nobody knows it."""

    async def version_of(self, agent: str) -> str:
        """The version of an agent as it is now; empty when nobody knows it."""


class Investigations(Protocol):
    """Where investigations are kept."""

    async def get(self, identifier: str) -> Investigation:
        """Raises AURORA-4040."""


class Steps(Protocol):
    """Where the steps of investigations are kept (the dispatch feature)."""

    async def steps(self, investigation_id: str) -> list[Stored]:
        """The steps of one investigation, oldest first."""


@dataclass(frozen=True)
class ReplaysService:
    """`merge` makes an outcome of the steps, whose fields are named as the investigation's; a specialist has
    `step_seconds`."""

    investigations: Investigations
    steps: Steps
    agents: Agents
    calls: Calls
    merge: Callable[[Sequence[Stored]], Any]
    step_seconds: float

    async def replay(self, identifier: str) -> InvestigationReplay:
        """Raises AURORA-4040, and 4090 for an investigation that hasn't ended."""
        investigation = await self.investigations.get(identifier)
        if investigation.status not in _ENDED:
            raise AuroraError(CONFLICT, {"status": investigation.status}, message="The investigation has not ended")
        turns = asyncio.Semaphore(_AT_ONCE)

        async def again(step: Stored) -> tuple[Stored, StepReplay]:
            async with turns:
                return await self._again(step)

        replayed = await asyncio.gather(*map(again, await self.steps.steps(identifier)))
        outcome = to_builtins(self.merge([step for step, _ in replayed]))
        recorded = to_builtins(investigation)
        shared = outcome.keys() & recorded.keys()
        difference = domain.first_difference(
            {name: recorded[name] for name in shared}, {name: outcome[name] for name in shared}
        )
        reports = [report for _, report in replayed]
        same = all(report.status in ("identical", "skipped") and not report.altered for report in reports)
        return InvestigationReplay(
            investigation_id=identifier,
            identical=difference is None and same,
            verdict=investigation.verdict,
            replayed_verdict=outcome["verdict"],
            steps=reports,
            difference=difference,
        )

    async def _again(self, step: Stored) -> tuple[Stored, StepReplay]:
        """The step with the answer of now, and how it compares."""
        record, handoff = step.record, step.handoff
        method = METHODS.get(record.method)
        report = StepReplay(
            step_id=record.id,
            agent=record.agent,
            method=record.method,
            status="skipped",
            version_then="" if handoff is None else await self.calls.version_then(handoff.handoff_id),
            version_now=await self.calls.version_of(record.agent),
        )
        if record.status != "completed" or handoff is None or method is None:
            return step, report
        kept = await self.calls.of_handoff(handoff.handoff_id)
        report.altered = domain.altered(kept)
        try:
            result = await self._ask(step, handoff, method, kept)
        except AuroraError as error:
            report.status, report.error = "failed", f"{error.code.code} {error.message}"
            return step, report
        report.unrecorded = domain.unrecorded(result)
        report.difference = domain.first_difference(msgspec.convert(record.result, method.returns), result)
        report.status = "identical" if report.difference is None else "different"
        answered = msgspec.structs.replace(record, result=to_builtins(result))
        return replace(step, record=answered), report

    async def _ask(self, step: Stored, sent: Handoff, method: Method[Any, Any], kept: Sequence[KeptCall]) -> Any:
        handoff = msgspec.structs.replace(
            sent,
            handoff_id=f"replay-{new_id()}",
            deadline=utc_now() + timedelta(seconds=self.step_seconds),
            address=None,
            traceparent=telemetry.traceparent(),
            recorded=domain.recorded_of(step, sent, kept),
        )
        params = msgspec.convert(step.record.params, method.params)
        return await self.agents.call(step.record.agent, method, params, handoff=handoff, timeout=self.step_seconds)
