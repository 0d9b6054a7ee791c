"""The HTTP edge of alerts."""

from __future__ import annotations

from services.siem.alerts.service import AlertsService
from shared.contracts.alerts import (
    ACKNOWLEDGE_ALERT,
    CREATE_ALERT,
    GET_ALERT,
    LIST_ALERTS,
    UPDATE_ALERT,
    Alert,
    AlertAcknowledge,
    AlertCreate,
    AlertQuery,
    AlertUpdate,
)
from shared.contracts.common import Page
from shared.http import Call, Route, bind


def routes(alerts: AlertsService) -> list[Route]:
    """Every alert endpoint, bound."""

    async def list_alerts(call: Call[AlertQuery, None]) -> Page[Alert]:
        return await alerts.list_alerts(call.query)

    async def create(call: Call[None, AlertCreate]) -> Alert:
        return await alerts.create(call.body)

    async def get(call: Call[None, None]) -> Alert:
        return await alerts.get(call.path["alert_id"])

    async def update(call: Call[None, AlertUpdate]) -> Alert:
        return await alerts.update(call.path["alert_id"], call.body)

    async def acknowledge(call: Call[None, AlertAcknowledge]) -> Alert:
        return await alerts.acknowledge(call.path["alert_id"], call.principal.name)

    return [
        bind(LIST_ALERTS, list_alerts),
        bind(CREATE_ALERT, create),
        bind(GET_ALERT, get),
        bind(UPDATE_ALERT, update),
        bind(ACKNOWLEDGE_ALERT, acknowledge),
    ]
