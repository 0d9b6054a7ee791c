"""Tools that read alerts."""

from __future__ import annotations

from typing import Any

import msgspec

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import ALERTS_READ


class AlertArguments(msgspec.Struct, frozen=True):
    """The id of the alert to read."""

    alert_id: str


async def _get_alert(arguments: AlertArguments, sources: Sources) -> Any:
    return await sources.alert(arguments.alert_id)


GET_ALERT_TOOL = Tool("get_alert", "Read one alert", AlertArguments, ALERTS_READ, _get_alert)
