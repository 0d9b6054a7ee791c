"""The SQL of ATT&CK coverage: the rules with their techniques, and which log sources were seen, with samples."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.clickhouse import ClickHouse
from shared.postgres import Database


@dataclass(frozen=True, slots=True)
class TaggedRule:
    """A rule that names techniques. `sigma` is there only where it may hold tests."""

    id: str
    title: str
    revision: int
    enabled: bool
    problem: str | None
    mitre_techniques: list[str]
    sigma: str | None


@dataclass(frozen=True, slots=True)
class SeenSource:
    """A value of the column `logsource`, and the ids of some of its events with their first and last time."""

    logsource: str
    ids: list[str]
    first: datetime
    last: datetime


async def tagged_rules(database: Database, technique: str | None) -> list[TaggedRule]:
    """Every rule that names techniques, or this one, or one below it."""
    rows = await database.fetch(
        """SELECT id, title, revision, enabled, problem, mitre_techniques,
                  CASE WHEN strpos(sigma, 'tests:') > 0 THEN sigma END AS sigma
           FROM rules WHERE jsonb_array_length(mitre_techniques) > 0
             AND ($1::text IS NULL OR EXISTS (SELECT FROM jsonb_array_elements_text(mitre_techniques) AS named
                                              WHERE named = $1 OR starts_with(named, $1 || '.')))
           ORDER BY id""",
        technique,
    )
    return [TaggedRule(**dict(row.items())) for row in rows]


async def seen_sources(clickhouse: ClickHouse, since: datetime, limit: int) -> list[SeenSource]:
    """The log sources of events that arrived since, the most frequent first, each with a random sample of its events.

    Raises LimitExceededError.
    """
    rows = await clickhouse.query(
        "SELECT logsource, groupArraySample(50)(id) AS ids, min(timestamp) AS first, max(timestamp) AS last FROM logs "
        "WHERE ingested_at >= {since:DateTime64(3, 'UTC')} AND (logsource != '' OR dataset = 'auditd') "
        "GROUP BY logsource ORDER BY count() DESC LIMIT {limit:UInt32}",
        {"since": since, "limit": limit},
    )
    return [SeenSource(**row) for row in rows]
