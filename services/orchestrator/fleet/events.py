"""What the fleet listens to: every tool call that an agent tells of."""

from __future__ import annotations

from services.orchestrator.fleet.service import FleetService
from shared.bus import Bus
from shared.contracts.fleet import TOOL_CALLED
from shared.outbox import subscribe

CONSUMER = "orchestrator-tool-calls"


async def listen(bus: Bus, fleet: FleetService) -> None:
    """Runs until cancelled."""
    await subscribe(bus, CONSUMER, TOOL_CALLED, fleet.on_tool_call)
