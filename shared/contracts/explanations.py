"""Why a rule matched a stored event, or didn't, condition by condition (issue 3, Detections)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.constants import SIEM_WRITE, Endpoint
from shared.errors import CLICKHOUSE_UNAVAILABLE, NOT_FOUND, VALIDATION

Test = Literal[
    "all_of",
    "any_of",
    "not",
    "equals",
    "contains",
    "startswith",
    "endswith",
    "wildcard",
    "regex",
    "cidr",
    "lt",
    "lte",
    "gt",
    "gte",
    "eq",
    "null",
    "exists",
    "fieldref",
]


class Explain(msgspec.Struct, forbid_unknown_fields=True):
    """The event to hold against the rule, by its log id."""

    log_id: Annotated[str, Meta(min_length=1, max_length=128)]


class ExplainedCondition(msgspec.Struct, kw_only=True):
    """One part of a rule's condition, and whether it is true of a view.

    `field` null is a keyword, looked for in every value. `expected` are the first 20 of `expected_count` values, those
    that hold before those that don't; `actual` the first 10 of `actual_count` values of the field, each cut to 200
    characters. `items` are the parts of all_of, any_of and not.
    """

    test: Test
    matched: bool
    field: str | None = None
    expected: list[str] = []
    expected_count: int = 0
    actual: list[str] = []
    actual_count: int = 0
    items: list[ExplainedCondition] = []


class ExplainedView(msgspec.Struct, kw_only=True):
    """What Sigma sees of the event in one way. Rules of another log source aren't tried: then `routed` is false.

    `condition` is null where the rule wasn't tried.
    """

    product: str | None
    category: str | None
    services: list[str]
    routed: bool
    matched: bool
    condition: ExplainedCondition | None = None


class Explanation(msgspec.Struct, kw_only=True):
    """Whether the rule matches the event as both are now, with the filters that apply to the rule.

    `reason` says why nothing could be tried: the rule isn't served, is of another kind, or no view has its log source.
    """

    rule_id: str
    log_id: str
    enabled: bool
    matched: bool
    reason: str | None
    views: list[ExplainedView]


EXPLAIN_RULE = Endpoint(
    "POST",
    "/api/v1/detections/rules/{rule_id}/explain",
    SIEM_WRITE,
    service="siem",
    summary="Explain why a rule matched an event, or didn't",
    body=Explain,
    returns=Explanation,
    errors=(NOT_FOUND, VALIDATION, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
