"""The SQL of verdicts and of the figures of rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.siem.quality.domain import a_day, labels
from shared.contracts.feedback import Feedback, FeedbackCreate, Labels, MetricsTotals, RuleMetrics
from shared.postgres import Database, Record

_COUNTS = """count(*) FILTER (WHERE verdict = 'true_positive') AS true_positive,
             count(*) FILTER (WHERE verdict = 'false_positive') AS false_positive,
             count(*) FILTER (WHERE verdict = 'benign_true_positive') AS benign_true_positive"""
_LATENCY = """percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE run_id IS NULL) AS p50,
              percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE run_id IS NULL) AS p95"""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whether what a verdict speaks of exists."""

    rule: bool
    alert: bool
    match: bool


def _feedback(row: Record) -> Feedback:
    return Feedback(
        id=str(row["id"]),
        rule_id=row["rule_id"],
        alert_id=row["alert_id"],
        log_id=row["log_id"],
        verdict=row["verdict"],
        comment=row["comment"],
        superseded=row["superseded"],
        created_by=row["created_by"],
        created_at=row["created_at"],
    )


async def subject(database: Database, rule_id: str, wanted: FeedbackCreate | None = None) -> Subject:
    """What there is of the rule, its alert and its match."""
    row = await database.fetchrow(
        """SELECT EXISTS (SELECT FROM rules WHERE id = $1) AS rule,
                  EXISTS (SELECT FROM alerts WHERE id = $2 AND rule_id = $1) AS alert,
                  EXISTS (SELECT FROM matches WHERE rule_id = $1 AND log_id = $3) AS match""",
        rule_id,
        None if wanted is None else wanted.alert_id,
        None if wanted is None else wanted.log_id,
    )
    return Subject(**dict(row.items())) if row is not None else Subject(False, False, False)


async def insert(
    database: Database, identifier: UUID, rule_id: str, wanted: FeedbackCreate, who: str, now: datetime
) -> Feedback:
    """Stores a verdict."""
    row = await database.fetchrow(
        """INSERT INTO feedback (id, rule_id, alert_id, log_id, verdict, comment, created_by, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *, false AS superseded""",
        identifier,
        rule_id,
        wanted.alert_id,
        wanted.log_id,
        wanted.verdict,
        wanted.comment,
        who,
        now,
    )
    return _feedback(row)


async def page(database: Database, rule_id: str, before: int | None, limit: int) -> list[tuple[int, Feedback]]:
    """Up to `limit` verdicts on a rule, newest first, each with its position."""
    rows = await database.fetch(
        """SELECT f.*, EXISTS (
             SELECT FROM feedback AS later WHERE later.rule_id = f.rule_id AND later.position > f.position
             AND later.alert_id IS NOT DISTINCT FROM f.alert_id AND later.log_id IS NOT DISTINCT FROM f.log_id
           ) AS superseded
           FROM feedback AS f WHERE f.rule_id = $1 AND ($2::bigint IS NULL OR f.position < $2)
           ORDER BY f.position DESC LIMIT $3""",
        rule_id,
        before,
        limit,
    )
    return [(row["position"], _feedback(row)) for row in rows]


async def labels_of(database: Database, rule_ids: Sequence[str]) -> dict[str, Labels]:
    """The labels of the rules that have any: the last verdict on each alert and event."""
    rows = await database.fetch(
        f"""SELECT rule_id, {_COUNTS} FROM (
              SELECT DISTINCT ON (rule_id, alert_id, log_id) rule_id, verdict FROM feedback WHERE rule_id = ANY($1)
              ORDER BY rule_id, alert_id, log_id, position DESC) AS last
            GROUP BY rule_id""",  # noqa: S608 - a constant of this file
        list(rule_ids),
    )
    return {
        row["rule_id"]: labels(row["true_positive"], row["false_positive"], row["benign_true_positive"]) for row in rows
    }


async def totals(database: Database, since: datetime) -> MetricsTotals:
    """The figures of all rules together."""
    row = await database.fetchrow(
        f"""SELECT (SELECT count(*) FROM rules) AS rules, count(DISTINCT rule_id) AS rules_matched,
                   count(*) AS matches, count(suppression_id) AS suppressed,
                   (SELECT count(*) FROM alerts WHERE last_seen >= $1 AND rule_id IN (SELECT id FROM rules)) AS alerts,
                   {_LATENCY}
            FROM matches WHERE found_at >= $1""",  # noqa: S608 - a constant of this file
        since,
    )
    values = dict(row.items()) if row is not None else {}
    return MetricsTotals(latency_p50_ms=values.pop("p50", None), latency_p95_ms=values.pop("p95", None), **values)


async def metrics(
    database: Database, since: datetime, now: datetime, all_matches: int, offset: int, limit: int
) -> list[RuleMetrics]:
    """Up to `limit` rules, those with the most matches first, behind the first `offset`."""
    rows = await database.fetch(
        f"""SELECT r.id AS rule_id, r.title, r.level, r.enabled, r.created_at, coalesce(m.matches, 0) AS matches,
                   coalesce(m.suppressed, 0) AS suppressed, coalesce(a.alerts, 0) AS alerts, m.p50, m.p95,
                   coalesce(l.late, 0) AS late, coalesce(l.capped, 0) AS capped
            FROM rules AS r
            LEFT JOIN (SELECT rule_id, count(*) AS matches, count(suppression_id) AS suppressed, {_LATENCY}
                       FROM matches WHERE found_at >= $1 GROUP BY rule_id) AS m ON m.rule_id = r.id
            LEFT JOIN (SELECT rule_id, count(*) AS alerts FROM alerts WHERE last_seen >= $1 GROUP BY rule_id) AS a
                   ON a.rule_id = r.id
            LEFT JOIN (SELECT rule_id, sum(late)::bigint AS late, sum(capped)::bigint AS capped
                       FROM correlation_losses WHERE hour >= date_trunc('hour', $1) GROUP BY rule_id) AS l
                   ON l.rule_id = r.id
            ORDER BY matches DESC, alerts DESC, r.position OFFSET $2 LIMIT $3""",  # noqa: S608 - a constant of this file
        since,
        offset,
        limit,
    )
    labelled = await labels_of(database, [row["rule_id"] for row in rows])
    return [
        RuleMetrics(
            rule_id=row["rule_id"],
            title=row["title"],
            level=row["level"],
            enabled=row["enabled"],
            matches=row["matches"],
            suppressed=row["suppressed"],
            alerts=row["alerts"],
            noise=row["matches"] / all_matches if all_matches else 0.0,
            latency_p50_ms=row["p50"],
            latency_p95_ms=row["p95"],
            labels=labelled.get(row["rule_id"], labels(0, 0, 0)),
            matches_per_day=a_day(row["matches"], max(since, row["created_at"]), now),
            late=row["late"],
            capped=row["capped"],
        )
        for row in rows
    ]
