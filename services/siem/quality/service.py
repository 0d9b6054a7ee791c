"""The use-cases of rule quality: take verdicts, list them with what they say together, and the figures of each rule."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import Protocol
from uuid import UUID

from services.siem.quality import store
from services.siem.quality.domain import labels
from shared.clock import new_id, utc_now
from shared.contracts.common import PageQuery
from shared.contracts.feedback import DetectionMetrics, Feedback, FeedbackCreate, FeedbackPage, MetricsQuery
from shared.errors import ALERT_NOT_FOUND, NOT_FOUND, AuroraError, field_error
from shared.pages import decode_position, encode_position
from shared.postgres import Database

_DAYS = 30


class Costs(Protocol):
    """What rules cost (the engine)."""

    def total(self) -> float | None:
        """Microseconds an event, of all rules together."""

    def of(self, rule_ids: Iterable[str]) -> dict[str, float]:
        """Microseconds an event of each rule's own, where that is known."""


class Quality:
    """Verdicts and figures of the siem's schema."""

    def __init__(self, database: Database, costs: Costs) -> None:
        self._database = database
        self._costs = costs

    async def submit(self, rule_id: str, wanted: FeedbackCreate, who: str) -> Feedback:
        """Stores a verdict over the last one on the same alert or event.

        Raises AURORA-4040 for an unknown rule or an event that it never matched, 4042 for an alert that isn't its own.
        """
        if (wanted.alert_id is None) == (wanted.log_id is None):
            raise field_error("body", "give either alert_id or log_id")
        found = await store.subject(self._database, rule_id, wanted)
        if not found.rule:
            raise AuroraError(NOT_FOUND, {"rule_id": rule_id})
        if wanted.alert_id is not None and not found.alert:
            raise AuroraError(ALERT_NOT_FOUND, {"rule_id": rule_id, "alert_id": wanted.alert_id})
        if wanted.log_id is not None and not found.match:
            raise AuroraError(NOT_FOUND, {"rule_id": rule_id, "log_id": wanted.log_id})
        return await store.insert(self._database, UUID(new_id()), rule_id, wanted, who, utc_now())

    async def list_of(self, rule_id: str, query: PageQuery) -> FeedbackPage:
        """The verdicts on a rule, newest first, and its labels. Raises AURORA-4040."""
        if not (await store.subject(self._database, rule_id)).rule:
            raise AuroraError(NOT_FOUND, {"rule_id": rule_id})
        rows = await store.page(self._database, rule_id, decode_position(query.cursor), query.limit + 1)
        shown = rows[: query.limit]
        cursor = encode_position(shown[-1][0]) if len(rows) > query.limit else None
        known = await store.labels_of(self._database, [rule_id])
        return FeedbackPage([item for _, item in shown], cursor, known.get(rule_id) or labels(0, 0, 0))

    async def metrics(self, query: MetricsQuery) -> DetectionMetrics:
        """A page of rules, the noisiest first, and the totals."""
        since = query.since or utc_now() - timedelta(days=_DAYS)
        since = since if since.tzinfo is not None else since.replace(tzinfo=UTC)
        offset = decode_position(query.cursor) or 0
        totals = await store.totals(self._database, since)
        rows = await store.metrics(self._database, since, utc_now(), totals.matches, offset, query.limit + 1)
        more = len(rows) > query.limit
        costs = self._costs.of(row.rule_id for row in rows)
        for row in rows:
            row.cost_us = costs.get(row.rule_id)
        totals.cost_us = self._costs.total()
        return DetectionMetrics(
            since=since,
            totals=totals,
            items=rows[: query.limit],
            next_cursor=encode_position(offset + query.limit) if more else None,
        )
