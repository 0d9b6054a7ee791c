"""What the orchestrator itself is doing, told to people who watch: whom it asks, the verdict so far, the end. Losing a
thought never harms the work it tells of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from services.orchestrator.investigations.domain import Case, PlannedCall
from services.orchestrator.investigations.merging import Outcome
from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_THOUGHT, Thought
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import event_bytes

AGENT = "orchestrator"
_log = get_logger("thoughts")


class Telling:
    """A publisher of AGENT_THOUGHT under the name of the orchestrator."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def planned(self, case: Case, calls: Sequence[PlannedCall], outcome: Outcome) -> None:
        """The verdict so far, and which wave is asked next about which alerts; who is left out, and why."""
        asked = ", ".join(f"{call.agent} {call.method.name}" for call in calls if call.skipped is None)
        left = "; ".join(f"{call.agent}: {call.skipped}" for call in calls if call.skipped is not None)
        about = ", ".join(subject.id for subject in case.subjects)
        text = f"round {case.round}, wave {calls[0].wave}, about {about}: asking {asked or 'nobody'}"
        if outcome.verdict is not None:
            await self._tell(case.id, "finding", f"so far {_verdict(outcome)}")
        await self._tell(case.id, "started", f"{text}; left out: {left}" if left else text)

    async def ended(self, identifier: str, outcome: Outcome) -> None:
        """The investigation has ended."""
        await self._tell(identifier, "finished", _verdict(outcome))

    async def _tell(self, identifier: str, kind: Literal["started", "finding", "finished"], text: str) -> None:
        thought = Thought(
            agent=AGENT,
            handoff_id=identifier,
            investigation_id=identifier,
            kind=kind,
            text=text,
            tool_result_id=None,
            timestamp=utc_now(),
        )
        event_id = new_id()
        payload = event_bytes(AGENT_THOUGHT, thought, service=AGENT, event_id=event_id)
        try:
            await self._bus.publish(AGENT_THOUGHT.subject(AGENT), payload, event_id)
        except AuroraError as error:
            _log.warning("thought not published", reason=error.code.code)


def _verdict(outcome: Outcome) -> str:
    confidence = "" if outcome.confidence is None else f" ({outcome.confidence:.2f})"
    return f"{outcome.verdict or 'no verdict'}{confidence}: {outcome.summary[:300]}"
