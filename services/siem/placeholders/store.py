"""The SQL of placeholders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.contracts.placeholders import Placeholder
from shared.postgres import Connection, Database

_IN_FORCE = "SELECT DISTINCT ON (name) * FROM placeholders ORDER BY name, version DESC"


async def lists(database: Database | Connection) -> dict[str, Sequence[str]]:
    """The values of every list there is, by name."""
    rows = await database.fetch(f"SELECT name, values FROM ({_IN_FORCE}) AS p WHERE NOT deleted")  # noqa: S608 - a constant
    return {row["name"]: row["values"] for row in rows}


async def page(database: Database, offset: int, limit: int) -> list[Placeholder]:
    """Up to `limit` lists by name, behind the first `offset`."""
    rows = await database.fetch(
        f"SELECT * FROM ({_IN_FORCE}) AS p WHERE NOT deleted ORDER BY name OFFSET $1 LIMIT $2",  # noqa: S608 - a constant
        offset,
        limit,
    )
    return [Placeholder(**dict(row.items())) for row in rows]


async def versions(database: Database | Connection, name: str, before: int | None, limit: int) -> list[Placeholder]:
    """Up to `limit` versions of a list, newest first."""
    rows = await database.fetch(
        """SELECT * FROM placeholders WHERE name = $1 AND ($2::bigint IS NULL OR version < $2)
           ORDER BY version DESC LIMIT $3""",
        name,
        before,
        limit,
    )
    return [Placeholder(**dict(row.items())) for row in rows]


async def insert(
    connection: Connection,
    name: str,
    values: Sequence[str],
    description: str,
    who: str,
    reason: str,
    now: datetime,
) -> Placeholder:
    """Stores the next version of a list; one without values deletes it."""
    row = await connection.fetchrow(
        """INSERT INTO placeholders (name, version, description, values, deleted, created_by, created_at, reason)
           SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7 FROM placeholders WHERE name = $1
           RETURNING *""",
        name,
        description,
        list(values),
        not values,
        who,
        now,
        reason,
    )
    return Placeholder(**dict(row.items()))  # type: ignore[union-attr]
