"""What people say of a rule's alerts, and the figures of each rule (SOC page, "SIEM / Detection")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.alerts import AlertId
from shared.contracts.common import PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.contracts.detections import Level
from shared.errors import ALERT_NOT_FOUND, NOT_FOUND, VALIDATION

Label = Literal["true_positive", "false_positive", "benign_true_positive"]


class FeedbackCreate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A verdict on an alert of the rule, or on one match of it, named by its event: either `alert_id` or `log_id`."""

    verdict: Label
    alert_id: AlertId | None = None
    log_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    comment: Annotated[str, Meta(max_length=4096)] = ""


class Feedback(msgspec.Struct, kw_only=True):
    """One verdict. The last one on an alert or event counts, `superseded` ones are its history."""

    id: str
    rule_id: str
    alert_id: str | None
    log_id: str | None
    verdict: Label
    comment: str
    superseded: bool
    created_by: str
    created_at: datetime


class Precision(msgspec.Struct, frozen=True):
    """The share of labels that call the rule right, and its 95 % Wilson interval."""

    value: float
    low: float
    high: float


class Labels(msgspec.Struct, frozen=True):
    """How the rule's alerts and events were judged. `precision` is null under 10 labels.

    A benign true positive counts as right: the rule found what it says it finds.
    """

    true_positive: int
    false_positive: int
    benign_true_positive: int
    precision: Precision | None


class FeedbackPage(msgspec.Struct):
    """A page of verdicts, newest first, and what all of them together say."""

    items: list[Feedback]
    next_cursor: str | None
    labels: Labels


class MetricsQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`since` bounds when matches were found; 30 days without it."""

    since: datetime | None = None


class RuleMetrics(msgspec.Struct, kw_only=True):
    """The figures of a rule. `noise` is its share of all matches, 0 to 1.

    `suppressed` matches are counted in `matches` too; `alerts` are those seen since. Latency is from acknowledged event
    to match, in milliseconds, of live matches only, null when there are none; that of a window that had to be complete
    is from its end. Labels are those of all time.

    Of a correlation: `late` events came after their window was read, `capped` looks at a group met more events than are
    read at once, so that the oldest were left out.
    """

    rule_id: str
    title: str
    level: Level
    enabled: bool
    matches: int
    suppressed: int
    alerts: int
    noise: float
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    labels: Labels
    cost_us: float | None = None
    matches_per_day: float = 0.0
    late: int = 0
    capped: int = 0


class MetricsTotals(msgspec.Struct, kw_only=True):
    """The figures of all rules together; latencies are of all live matches.

    `cost_us` is all that evaluation takes of an event, finding out which rules to try included.
    """

    rules: int
    rules_matched: int
    matches: int
    suppressed: int
    alerts: int
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    cost_us: float | None = None


class DetectionMetrics(msgspec.Struct, kw_only=True):
    """A page of rules, the noisiest first, and the totals since `since`."""

    since: datetime
    totals: MetricsTotals
    items: list[RuleMetrics]
    next_cursor: str | None


LIST_FEEDBACK = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}/feedback",
    SIEM_READ,
    service="siem",
    summary="List feedback",
    query=PageQuery,
    returns=FeedbackPage,
    errors=(NOT_FOUND, VALIDATION),
    tag="SIEM / Detection",
)
SUBMIT_FEEDBACK = Endpoint(
    "POST",
    "/api/v1/detections/rules/{rule_id}/feedback",
    SIEM_WRITE,
    service="siem",
    summary="Submit feedback",
    body=FeedbackCreate,
    returns=Feedback,
    status=201,
    errors=(NOT_FOUND, ALERT_NOT_FOUND, VALIDATION),
    tag="SIEM / Detection",
)
DETECTION_METRICS = Endpoint(
    "GET",
    "/api/v1/detections/metrics",
    SIEM_READ,
    service="siem",
    summary="Detection metrics",
    query=MetricsQuery,
    returns=DetectionMetrics,
    errors=(VALIDATION,),
    tag="SIEM / Detection",
)
