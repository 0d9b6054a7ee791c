"""What alerts listen to: an investigation that was queued, or that they joined, names itself on its alerts."""

from __future__ import annotations

from services.siem.alerts.service import INVESTIGATION_CONSUMER, JOIN_CONSUMER, AlertsService
from shared.bus import Bus
from shared.contracts.investigations import INVESTIGATION_CREATED, INVESTIGATION_UPDATED
from shared.outbox import subscribe


async def listen(bus: Bus, alerts: AlertsService) -> None:
    """Investigations that were queued. Runs until cancelled."""
    await subscribe(bus, INVESTIGATION_CONSUMER, INVESTIGATION_CREATED, alerts.link_investigation)


async def listen_to_joins(bus: Bus, alerts: AlertsService) -> None:
    """Investigations that alerts have joined. Runs until cancelled."""
    await subscribe(bus, JOIN_CONSUMER, INVESTIGATION_UPDATED, alerts.link_joined)
