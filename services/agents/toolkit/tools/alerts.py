"""Tools that read alerts: one, the others on its host around the same time, and the past of its rule."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.alerts import Alert, AlertQuery
from shared.contracts.constants import ALERTS_READ
from shared.contracts.wire import format_time

_LIMIT = 100
_HISTORY = timedelta(days=30)


class AlertArguments(msgspec.Struct, frozen=True):
    """The id of the alert to read."""

    alert_id: str


class NearbyArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A host and a time; `since` included, `until` not. `except_id` is the alert that asks."""

    host: str
    since: datetime
    until: datetime
    except_id: str


class HistoryArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The rule whose alerts of the month before `until` are looked up. `except_id` is the alert that asks."""

    rule_id: str
    except_id: str
    until: datetime


async def _get_alert(arguments: AlertArguments, sources: Sources) -> Any:
    return await sources.alert(arguments.alert_id)


async def _nearby(arguments: NearbyArguments, sources: Sources) -> Any:
    query = AlertQuery(host=arguments.host, since=arguments.since, until=arguments.until, limit=_LIMIT)
    alerts = [alert for alert in await sources.alerts(query) if alert.id != arguments.except_id]
    # By id, so that the same alerts give the same record whatever was counted on them meanwhile.
    return {"alerts": [_brief(alert) for alert in sorted(alerts, key=lambda alert: alert.id)]}


def _brief(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "title": alert.title[:200],
        "severity": alert.severity,
        "rule_id": alert.rule_id,
        "entities": {kind: value[:200] for kind, value in alert.entities.items()},
        "first_seen": format_time(alert.first_seen),
    }


async def _history(arguments: HistoryArguments, sources: Sources) -> Any:
    since = arguments.until - _HISTORY
    query = AlertQuery(rule_id=arguments.rule_id, since=since, until=arguments.until, limit=_LIMIT)
    alerts = await sources.alerts(query)
    others = [alert for alert in alerts if alert.id != arguments.except_id]
    statuses = [alert.status for alert in others]
    return {
        "count": len(others),
        "dismissed": statuses.count("false_positive"),
        "hosts": sorted({alert.entities.get("host", "") for alert in others} - {""})[:20],
        "first_seen": format_time(min(alert.first_seen for alert in others)) if others else None,
    }


GET_ALERT_TOOL = Tool("get_alert", "Read one alert", AlertArguments, ALERTS_READ, _get_alert)
NEARBY_ALERTS = Tool(
    "nearby_alerts", "Other alerts on the host around the same time", NearbyArguments, ALERTS_READ, _nearby
)
RULE_HISTORY = Tool(
    "rule_history",
    "Earlier alerts of the same rule, and how many were dismissed",
    HistoryArguments,
    ALERTS_READ,
    _history,
)
