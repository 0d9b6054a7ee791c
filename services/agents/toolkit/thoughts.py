"""Publishes what agents are doing, for people who watch, and each tool call, for the record.

Losing one never harms the work it tells of: a verdict's own tool results come with the answer too.
"""

from __future__ import annotations

from shared.bus import Bus
from shared.clock import new_id
from shared.contracts.agents import AGENT_THOUGHT, Thought
from shared.contracts.fleet import TOOL_CALLED, ToolCall
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import event_bytes

_log = get_logger("thoughts")


class Thoughts:
    """A publisher of AGENT_THOUGHT and TOOL_CALLED for every agent of this process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(self, told: Thought | ToolCall) -> None:
        """Never raises: a bus that is away is noted in the log."""
        event_id = new_id()
        if isinstance(told, Thought):
            subject = AGENT_THOUGHT.subject(told.agent)
            payload = event_bytes(AGENT_THOUGHT, told, service="agents", event_id=event_id)
        else:
            subject = TOOL_CALLED.subject(told.agent)
            payload = event_bytes(TOOL_CALLED, told, service="agents", event_id=event_id)
        try:
            await self._bus.publish(subject, payload, event_id)
        except AuroraError as error:
            _log.warning("event not published", subject=subject, reason=error.code.code)
