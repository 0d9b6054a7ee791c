"""The SQL of runtime settings: each change is a row, the newest is what holds."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.runtime_settings.domain import NOTHING, Held
from shared.contracts.settings import RuntimeChange, RuntimeOverrides, RuntimeValue
from shared.postgres import Connection, Database

_LOCK = 0x53455454  # "SETT"
_NEWEST = """SELECT revision, settings, changed, changed_at, changed_by, changed_by_name, reason
             FROM runtime_settings ORDER BY revision DESC LIMIT 1"""


async def newest(database: Database) -> Held:
    """What holds."""
    return _held(await database.fetchrow(_NEWEST))


async def newest_locked(connection: Connection) -> Held:
    """What holds; nobody else changes it until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", _LOCK)
    return _held(await connection.fetchrow(_NEWEST))


async def add(connection: Connection, held: Held, change: RuntimeChange) -> None:
    """From now on this holds."""
    await connection.execute(
        """INSERT INTO runtime_settings (revision, settings, changed, changed_at, changed_by, changed_by_name, reason)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        held.revision,
        held.overrides,
        change.changed,
        change.changed_at,
        change.changed_by,
        change.changed_by_name,
        change.reason,
    )


async def history(database: Database, before: int | None, limit: int) -> list[RuntimeChange]:
    """Changes, newest first, those before the revision `before`."""
    rows = await database.fetch(
        """SELECT revision, changed, changed_at, changed_by, changed_by_name, reason FROM runtime_settings
           WHERE $1::bigint IS NULL OR revision < $1 ORDER BY revision DESC LIMIT $2""",
        before,
        limit,
    )
    return [_change(row) for row in rows]


def _held(row: Any) -> Held:
    if row is None:
        return NOTHING
    return Held(row["revision"], msgspec.convert(row["settings"], RuntimeOverrides), _change(row))


def _change(row: Any) -> RuntimeChange:
    return RuntimeChange(
        revision=row["revision"],
        changed=msgspec.convert(row["changed"], dict[str, RuntimeValue]),
        changed_at=row["changed_at"],
        changed_by=row["changed_by"],
        changed_by_name=row["changed_by_name"],
        reason=row["reason"],
    )
