"""What detection rules were evaluated over, and which ATT&CK techniques that covers (SOC page, "SIEM / Detection")."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.contracts.constants import SIEM_READ, Endpoint
from shared.errors import NOT_FOUND


class Interval(msgspec.Struct, frozen=True):
    """A stretch of event time; `since` is included, `until` isn't."""

    since: datetime
    until: datetime


class CoverageGap(msgspec.Struct, kw_only=True):
    """A stretch between the first evaluation and now that the rule was not evaluated over.

    `reason` is "not served" (disabled, or the engine could not run it) or "events not evaluated"; `alert_id` is the
    alert that tells of it, null while the gap is still growing. A run over the gap closes both.
    """

    since: datetime
    until: datetime
    reason: str
    alert_id: str | None


class RuleCoverage(msgspec.Struct, kw_only=True):
    """The event times that a rule was evaluated over, live or by runs, oldest first.

    `live_since` is null while the rule isn't served; `watermark` is how far the live evaluation has come.
    """

    rule_id: str
    live_since: datetime | None
    watermark: datetime
    intervals: list[Interval]
    gaps: list[CoverageGap]


GET_RULE_COVERAGE = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}/coverage",
    SIEM_READ,
    service="siem",
    summary="What a detection rule was evaluated over, and the gaps",
    returns=RuleCoverage,
    errors=(NOT_FOUND,),
    tag="SIEM / Detection",
)
