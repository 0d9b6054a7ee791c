"""What detection rules were evaluated over, and which ATT&CK techniques that covers (SOC page, "SIEM / Detection")."""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.contracts.common import TechniqueId
from shared.contracts.constants import SIEM_READ, Endpoint
from shared.errors import CLICKHOUSE_UNAVAILABLE, NOT_FOUND, VALIDATION


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


class TechniqueRule(msgspec.Struct, frozen=True):
    """A rule of a technique. It counts when nothing is `missing`: each entry there is a reason why it doesn't."""

    rule_id: str
    title: str
    enabled: bool
    missing: list[str]


class Technique(msgspec.Struct, frozen=True):
    """An ATT&CK technique that rules name. `counts` is whether any of its rules does."""

    id: str
    counts: bool
    enabled_rules: int
    counting_rules: int
    rules: list[TechniqueRule]


class AttackCoverage(msgspec.Struct):
    """The techniques that rules name, and how many of them count. `seen_since` is where "the last 7 days" begin."""

    seen_since: datetime
    counting: int
    techniques: list[Technique]


class AttackCoverageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`technique` asks for one alone."""

    technique: TechniqueId | None = None


GET_ATTACK_COVERAGE = Endpoint(
    "GET",
    "/api/v1/detections/attack-coverage",
    SIEM_READ,
    service="siem",
    summary="ATT&CK techniques that enabled, tested rules with live sources cover",
    query=AttackCoverageQuery,
    returns=AttackCoverage,
    errors=(VALIDATION, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
