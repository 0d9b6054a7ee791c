"""What alerts listen to: an investigation that was queued names itself on its alerts."""

from __future__ import annotations

from services.siem.alerts.service import INVESTIGATION_CONSUMER, AlertsService
from shared.bus import Bus
from shared.contracts.investigations import INVESTIGATION_CREATED
from shared.outbox import subscribe


async def listen(bus: Bus, alerts: AlertsService) -> None:
    """Runs until cancelled."""
    await subscribe(bus, INVESTIGATION_CONSUMER, INVESTIGATION_CREATED, alerts.link_investigation)
