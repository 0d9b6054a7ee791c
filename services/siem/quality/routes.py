"""The HTTP edge of rule quality."""

from __future__ import annotations

from services.siem.quality.service import Quality
from shared.contracts.common import PageQuery
from shared.contracts.feedback import (
    DETECTION_METRICS,
    LIST_FEEDBACK,
    SUBMIT_FEEDBACK,
    DetectionMetrics,
    Feedback,
    FeedbackCreate,
    FeedbackPage,
    MetricsQuery,
)
from shared.http import Call, Route, bind


def routes(quality: Quality) -> list[Route]:
    """Every endpoint of verdicts and figures, bound."""

    async def list_of(call: Call[PageQuery, None]) -> FeedbackPage:
        return await quality.list_of(call.path["rule_id"], call.query)

    async def submit(call: Call[None, FeedbackCreate]) -> Feedback:
        return await quality.submit(call.path["rule_id"], call.body, call.principal.name)

    async def metrics(call: Call[MetricsQuery, None]) -> DetectionMetrics:
        return await quality.metrics(call.query)

    return [bind(LIST_FEEDBACK, list_of), bind(SUBMIT_FEEDBACK, submit), bind(DETECTION_METRICS, metrics)]
