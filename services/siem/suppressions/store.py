"""The SQL of suppressions, and of the matches they hid or would hide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.siem.suppressions.domain import state
from shared.contracts.suppressions import SuppressedMatch, Suppression, SuppressionCreate
from shared.postgres import Connection, Database, Record

_SELECT = """SELECT s.*, hidden.count AS hidden, hidden.last AS last_hidden FROM suppressions AS s
             LEFT JOIN LATERAL (SELECT count(*) AS count, max(timestamp) AS last FROM matches
                                WHERE suppression_id = s.id) AS hidden ON true"""


@dataclass(frozen=True, slots=True)
class Known:
    """A recorded match; `labelled` when the last word on it, or on its alert, is that it is a true positive.

    `group_values` are those of the group that a correlation matched.
    """

    timestamp: datetime
    log_id: str
    alert_id: str | None
    labelled: bool
    group_values: dict[str, str] | None


def _suppression(row: Record, now: datetime) -> Suppression:
    return Suppression(
        id=str(row["id"]),
        rule_id=row["rule_id"],
        fields=row["fields"],
        reason=row["reason"],
        active_from=row["active_from"],
        active_to=row["active_to"],
        expires_at=row["expires_at"],
        state=state(row["ended_at"], row["expires_at"], now),
        hidden=row["hidden"],
        last_hidden=row["last_hidden"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        ended_by=row["ended_by"],
        ended_at=row["ended_at"],
    )


async def rule_text(database: Database, rule_id: str) -> str | None:
    """The Sigma text of a rule; None when there is no such rule."""
    text: str | None = await database.fetchval("SELECT sigma FROM rules WHERE id = $1", rule_id)
    return text


async def insert(
    connection: Connection, identifier: UUID, rule_id: str, wanted: SuppressionCreate, who: str, now: datetime
) -> Suppression:
    """Stores a suppression; it is in force when the transaction has committed."""
    row = await connection.fetchrow(
        """INSERT INTO suppressions (id, rule_id, fields, active_from, active_to, expires_at, reason,
                                     created_by, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *, 0 AS hidden, NULL::timestamptz AS last_hidden""",
        identifier,
        rule_id,
        wanted.fields,
        wanted.active_from,
        wanted.active_to,
        wanted.expires_at,
        wanted.reason,
        who,
        now,
    )
    return _suppression(row, now)


async def end(connection: Connection, rule_id: str, identifier: UUID, who: str, now: datetime) -> bool:
    """Takes it out of force; False when somebody did so before, who stays noted."""
    ended = await connection.execute(
        "UPDATE suppressions SET ended_by = $3, ended_at = $4 WHERE id = $1 AND rule_id = $2 AND ended_at IS NULL",
        identifier,
        rule_id,
        who,
        now,
    )
    return ended > 0


async def find(database: Database | Connection, rule_id: str, identifier: UUID, now: datetime) -> Suppression | None:
    """One suppression of a rule."""
    row = await database.fetchrow(f"{_SELECT} WHERE s.id = $1 AND s.rule_id = $2", identifier, rule_id)
    return None if row is None else _suppression(row, now)


async def page(
    database: Database, rule_id: str, before: int | None, limit: int, now: datetime
) -> list[tuple[int, Suppression]]:
    """Up to `limit` suppressions of a rule, newest first, each with its position."""
    rows = await database.fetch(
        f"""{_SELECT} WHERE s.rule_id = $1 AND ($2::bigint IS NULL OR s.position < $2)
            ORDER BY s.position DESC LIMIT $3""",
        rule_id,
        before,
        limit,
    )
    return [(row["position"], _suppression(row, now)) for row in rows]


async def in_force(connection: Connection, rule_ids: Sequence[str], now: datetime) -> list[Suppression]:
    """Those that may hide matches of these rules now, oldest first."""
    rows = await connection.fetch(
        """SELECT *, 0 AS hidden, NULL::timestamptz AS last_hidden FROM suppressions
           WHERE rule_id = ANY($1) AND ended_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
           ORDER BY position""",
        list(rule_ids),
        now,
    )
    return [_suppression(row, now) for row in rows]


async def hidden(database: Database, identifier: UUID, offset: int, limit: int) -> list[SuppressedMatch]:
    """Up to `limit` matches that a suppression hid, newest event first, behind the first `offset`."""
    rows = await database.fetch(
        """SELECT rule_id, log_id, timestamp, found_at, group_values AS "group" FROM matches WHERE suppression_id = $1
           ORDER BY timestamp DESC, log_id DESC OFFSET $2 LIMIT $3""",
        identifier,
        offset,
        limit,
    )
    return [SuppressedMatch(**dict(row.items())) for row in rows]


async def count_matches(database: Database, rule_id: str, since: datetime) -> int:
    """How many matches of a rule are recorded of events since then."""
    return int(
        await database.fetchval("SELECT count(*) FROM matches WHERE rule_id = $1 AND timestamp >= $2", rule_id, since)
    )


async def known_matches(database: Database, rule_id: str, since: datetime, limit: int) -> list[Known]:
    """Matches of a rule since then: first all that are labelled true positives, then the newest."""
    rows = await database.fetch(
        """WITH last AS (
             SELECT DISTINCT ON (alert_id, log_id) alert_id, log_id, verdict FROM feedback WHERE rule_id = $1
             ORDER BY alert_id, log_id, position DESC),
           labels AS (SELECT alert_id, log_id FROM last WHERE verdict = 'true_positive')
           SELECT timestamp, log_id, alert_id, group_values,
                  coalesce(log_id IN (SELECT log_id FROM labels WHERE log_id IS NOT NULL)
                           OR alert_id IN (SELECT alert_id FROM labels WHERE alert_id IS NOT NULL), false) AS labelled
           FROM matches WHERE rule_id = $1 AND timestamp >= $2
           ORDER BY labelled DESC, timestamp DESC, log_id LIMIT $3""",
        rule_id,
        since,
        limit,
    )
    return [Known(**dict(row.items())) for row in rows]
