"""From a stored log to a draft of a rule (SOC page, "SIEM / Detection")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.constants import SIEM_WRITE, Endpoint
from shared.contracts.detections import DetectionRule, Level
from shared.errors import CLICKHOUSE_UNAVAILABLE, NOT_FOUND, VALIDATION


class PromoteLog(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What the draft looks at. `fields` are names as Sigma rules use them; without it the telling ones are chosen.

    `days` is how far back its rate is measured.
    """

    title: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    level: Level = "medium"
    fields: Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(min_length=1, max_length=20)] | (
        None
    ) = None
    days: Annotated[int, Meta(ge=1, le=90)] = 7


class ExpectedRate(msgspec.Struct, kw_only=True):
    """How often the draft would have matched: `matches` among `examined` stored events of `since` to `until`.

    `per_day` is over the time that was examined. `complete` is false when that ended early, at its limit of events or
    of time; then `since` is where it ended: it goes from the newest event back, a day at a time.
    """

    since: datetime
    until: datetime
    examined: int
    matches: int
    per_day: float
    complete: bool


class PromotedLog(msgspec.Struct, kw_only=True):
    """The draft, stored and disabled, the fields it looks at, and its rate."""

    rule: DetectionRule
    fields: list[str]
    expected: ExpectedRate


PROMOTE_LOG = Endpoint(
    "POST",
    "/api/v1/siem/logs/{log_id}/promote",
    SIEM_WRITE,
    service="siem",
    summary="Promote log to rule",
    body=PromoteLog,
    returns=PromotedLog,
    status=201,
    errors=(NOT_FOUND, VALIDATION, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
    # History is read and evaluated before the answer.
    timeout_seconds=120.0,
)
