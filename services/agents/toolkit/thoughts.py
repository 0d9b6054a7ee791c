"""Publishes what agents are doing, for people who watch. Losing a thought never harms the work it tells of."""

from __future__ import annotations

from shared.bus import Bus
from shared.clock import new_id
from shared.contracts.agents import AGENT_THOUGHT, Thought
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import event_bytes

_log = get_logger("thoughts")


class Thoughts:
    """A publisher of AGENT_THOUGHT for every agent of this process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, thought: Thought) -> None:
        """Never raises: a bus that is away is noted in the log."""
        event_id = new_id()
        payload = event_bytes(AGENT_THOUGHT, thought, service="agents", event_id=event_id)
        try:
            await self._bus.publish(AGENT_THOUGHT.subject(thought.agent), payload, event_id)
        except AuroraError as error:
            _log.warning("thought not published", agent=thought.agent, reason=error.code.code)
