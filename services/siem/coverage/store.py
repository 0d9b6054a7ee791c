"""The SQL of the coverage ledger. Stretches of time are multiranges, so that the database merges and cuts them.

A trigger (0007_runs.sql) writes down when a rule begins and ceases to be served; here runs and failures are entered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.contracts.coverage import CoverageGap, Interval
from shared.postgres import Connection, Database

#: Up to here everything that arrived was evaluated live: the oldest batch that waits, or now.
_WATERMARK = "date_trunc('milliseconds', coalesce((SELECT min(created_at) FROM batches), now()))"
#: What rule $1 was evaluated over, with the watermark $2.
_COVERED = """
    SELECT holes, covered + CASE WHEN live_since < $2 THEN tstzmultirange(tstzrange(live_since, $2)) ELSE '{}' END
                    - holes AS covered
    FROM coverage WHERE rule_id = $1"""


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap that has ended; `rule_id` None is that of all rules, `title` the rule's."""

    id: int
    rule_id: str | None
    title: str | None
    since: datetime
    until: datetime
    reason: str


async def find(database: Database, rule_id: str) -> tuple[datetime | None] | None:
    """Since when a rule is live, if it is; None for one that was never served."""
    row = await database.fetchrow("SELECT live_since FROM coverage WHERE rule_id = $1", rule_id)
    return None if row is None else (row["live_since"],)


async def rule_exists(database: Database, rule_id: str) -> bool:
    """Whether there is such a rule, served or not."""
    return bool(await database.fetchval("SELECT true FROM rules WHERE id = $1", rule_id))


async def watermark(database: Database) -> datetime:
    """Up to here everything that arrived was evaluated."""
    moment: datetime = await database.fetchval(f"SELECT {_WATERMARK}")
    return moment


async def intervals(database: Database, rule_id: str, watermark: datetime) -> list[Interval]:
    """What the rule was evaluated over, oldest first."""
    rows = await database.fetch(
        f"""SELECT lower(stretch) AS since, upper(stretch) AS until
            FROM ({_COVERED}) AS found, unnest(found.covered) AS stretch ORDER BY since""",  # noqa: S608 - a constant
        rule_id,
        watermark,
    )
    return [Interval(row["since"], row["until"]) for row in rows]


async def gaps(database: Database, rule_id: str, watermark: datetime) -> list[CoverageGap]:
    """What lies between the first evaluation and the watermark and was missed, each with the alert that tells of it."""
    rows = await database.fetch(
        f"""SELECT lower(stretch) AS since, upper(stretch) AS until, found.holes && stretch AS hole,
                   (SELECT alert_id FROM coverage_gaps AS gap
                    WHERE closed_at IS NULL AND (gap.rule_id = $1 OR (gap.rule_id IS NULL AND found.holes && stretch))
                      AND tstzrange(gap.since, gap.until) && stretch
                    ORDER BY gap.rule_id NULLS LAST, gap.id LIMIT 1) AS alert_id
            FROM ({_COVERED}) AS found,
                 unnest(tstzmultirange(tstzrange(lower(found.covered), greatest(lower(found.covered), $2)))
                        - found.covered) AS stretch
            ORDER BY since""",  # noqa: S608 - a constant
        rule_id,
        watermark,
    )
    reasons = {True: "events not evaluated", False: "not served"}
    return [
        CoverageGap(since=r["since"], until=r["until"], reason=reasons[r["hole"]], alert_id=r["alert_id"]) for r in rows
    ]


async def add_run(connection: Connection, run_id: UUID) -> None:
    """The range of a completed run, without the events it could not evaluate, is covered for each of its rules."""
    await connection.execute(
        """INSERT INTO coverage (rule_id, covered)
           SELECT evaluated, tstzmultirange(tstzrange(since, until)) - failed_times
           FROM runs, unnest(rules) AS evaluated WHERE id = $1
           ON CONFLICT (rule_id) DO UPDATE SET covered = coverage.covered + excluded.covered,
                                               holes = coverage.holes - excluded.covered""",
        run_id,
    )


async def add_failures(connection: Connection, moments: Sequence[datetime], reason: str) -> None:
    """Events that no rule could be evaluated over: a hole in every rule that is served, and a gap to tell of."""
    await connection.execute(
        """UPDATE coverage SET holes = holes + (
             SELECT range_agg(tstzrange(moment, moment + interval '1 millisecond'))
             FROM unnest($1::timestamptz[]) AS moment)
           WHERE live_since IS NOT NULL""",
        list(moments),
    )
    await connection.execute(
        """INSERT INTO coverage_gaps (since, until, reason)
           SELECT DISTINCT moment, moment + interval '1 millisecond', $2::text FROM unnest($1::timestamptz[]) AS moment
           WHERE NOT EXISTS (SELECT FROM coverage_gaps AS gap
                             WHERE gap.rule_id IS NULL AND gap.closed_at IS NULL AND gap.since = moment)""",
        list(moments),
        reason,
    )


async def filled(connection: Connection, now: datetime) -> list[str]:
    """Closes the gaps that are covered by now; the alerts that told of them.

    A gap of all rules is filled when no rule has a hole there any more.
    """
    rows = await connection.fetch(
        """UPDATE coverage_gaps AS gap SET closed_at = $1
           WHERE closed_at IS NULL AND CASE WHEN gap.rule_id IS NULL
             THEN NOT EXISTS (SELECT FROM coverage WHERE holes && tstzrange(gap.since, gap.until))
             ELSE EXISTS (SELECT FROM coverage WHERE coverage.rule_id = gap.rule_id
                                                 AND covered @> tstzrange(gap.since, gap.until)) END
           RETURNING alert_id""",
        now,
    )
    return [row["alert_id"] for row in rows if row["alert_id"] is not None]


async def untold(connection: Connection, limit: int) -> list[Gap]:
    """Gaps that no alert tells of yet, locked; another process skips them."""
    rows = await connection.fetch(
        """SELECT gap.id, gap.rule_id, rules.title, gap.since, gap.until, gap.reason
           FROM coverage_gaps AS gap LEFT JOIN rules ON rules.id = gap.rule_id
           WHERE alert_id IS NULL AND closed_at IS NULL
           ORDER BY gap.id LIMIT $1 FOR UPDATE OF gap SKIP LOCKED""",
        limit,
    )
    return [Gap(**dict(row.items())) for row in rows]


async def told(connection: Connection, gap_ids: Sequence[int], alert_ids: Sequence[str]) -> None:
    """Notes the alert of each gap."""
    await connection.execute(
        """UPDATE coverage_gaps SET alert_id = new.alert_id
           FROM unnest($1::bigint[], $2::text[]) AS new (id, alert_id) WHERE coverage_gaps.id = new.id""",
        list(gap_ids),
        list(alert_ids),
    )
