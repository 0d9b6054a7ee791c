"""What investigations listen to: every new alert."""

from __future__ import annotations

from services.orchestrator.investigations.service import ALERT_CONSUMER, InvestigationsService
from shared.bus import Bus
from shared.contracts.alerts import ALERT_CREATED
from shared.outbox import subscribe


async def listen(bus: Bus, investigations: InvestigationsService) -> None:
    """Runs until cancelled."""
    await subscribe(bus, ALERT_CONSUMER, ALERT_CREATED, investigations.on_alert)
