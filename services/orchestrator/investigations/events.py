"""What investigations listen to: every new alert, and every change of one."""

from __future__ import annotations

from services.orchestrator.investigations.service import (
    ALERT_CONSUMER,
    FIRED_AGAIN_CONSUMER,
    InvestigationsService,
)
from shared.bus import Bus
from shared.contracts.alerts import ALERT_CREATED, ALERT_UPDATED
from shared.outbox import subscribe


async def listen(bus: Bus, investigations: InvestigationsService) -> None:
    """New alerts. Runs until cancelled."""
    await subscribe(bus, ALERT_CONSUMER, ALERT_CREATED, investigations.on_alert)


async def listen_to_updates(bus: Bus, investigations: InvestigationsService) -> None:
    """Alerts that were seen again. Runs until cancelled."""
    await subscribe(bus, FIRED_AGAIN_CONSUMER, ALERT_UPDATED, investigations.on_alert_update)
