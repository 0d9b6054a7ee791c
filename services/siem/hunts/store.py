"""The SQL of hunts and their runs. Leases are compared by the database's own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from shared.contracts.hunts import Hunt, HuntDiff, HuntHit, HuntParameter, HuntRun, HuntRunDetail
from shared.postgres import Connection, Database, Record

_RUN = """id, position, hunt_id, parameters, since, until, status, progress, hits, complete, compared_to, new_count,
          new_ids, gone_count, error, created_by, created_at, started_at, finished_at"""
_OPEN = "status IN ('queued', 'running')"


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed run: what to look for, and how often it was taken up."""

    id: str
    hunt_id: str
    query: str | None
    sigma: str | None
    since: datetime
    until: datetime
    attempts: int


def _hunt(row: Record) -> Hunt:
    values = {name: row[name] for name in Hunt.__struct_fields__ if name != "parameters"}
    return Hunt(**values, parameters=msgspec.convert(row["parameters"], list[HuntParameter]))


def _run_values(row: Record) -> dict[str, Any]:
    plain = [name for name in HuntRun.__struct_fields__ if name not in ("duration_ms", "diff")]
    values = {name: row[name] for name in plain}
    started, finished = row["started_at"], row["finished_at"]
    values["duration_ms"] = (
        None if started is None or finished is None else round((finished - started).total_seconds() * 1000)
    )
    values["diff"] = None
    if row["compared_to"] is not None:
        values["diff"] = HuntDiff(
            compared_to=row["compared_to"],
            new_count=row["new_count"],
            new_ids=row["new_ids"],
            gone_count=row["gone_count"],
        )
    return values


async def insert(database: Database, hunt: Hunt) -> None:
    """Stores a new hunt."""
    await database.execute(
        """INSERT INTO hunts (id, name, description, query, sigma, parameters, mitre_techniques, range_hours, schedule,
                              next_run_at, created_by, created_at, updated_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)""",
        *_hunt_values(hunt),
        hunt.created_by,
        hunt.created_at,
        hunt.updated_at,
    )


def _hunt_values(hunt: Hunt) -> tuple[Any, ...]:
    return (
        hunt.id,
        hunt.name,
        hunt.description,
        hunt.query,
        hunt.sigma,
        hunt.parameters,
        hunt.mitre_techniques,
        hunt.range_hours,
        hunt.schedule,
        hunt.next_run_at,
    )


async def find(database: Database | Connection, identifier: str, *, lock: bool = False) -> Hunt | None:
    """One hunt; with `lock` nobody else changes it until the transaction ends."""
    locking = "FOR UPDATE" if lock else ""
    row = await database.fetchrow(f"SELECT * FROM hunts WHERE id = $1 {locking}", identifier)  # noqa: S608 - constants
    return None if row is None else _hunt(row)


async def replace(connection: Connection, hunt: Hunt) -> None:
    """Stores the changed hunt."""
    await connection.execute(
        """UPDATE hunts SET name = $2, description = $3, query = $4, sigma = $5, parameters = $6, mitre_techniques = $7,
                  range_hours = $8, schedule = $9, next_run_at = $10, updated_at = $11 WHERE id = $1""",
        *_hunt_values(hunt),
        hunt.updated_at,
    )


async def page(database: Database, limit: int, after: int | None) -> list[tuple[int, Hunt]]:
    """Hunts with their positions, newest first."""
    rows = await database.fetch(
        "SELECT * FROM hunts WHERE $1::bigint IS NULL OR position < $1 ORDER BY position DESC LIMIT $2", after, limit
    )
    return [(row["position"], _hunt(row)) for row in rows]


async def take_due(connection: Connection) -> Hunt | None:
    """A hunt whose schedule is due, locked: no other process sees it until the transaction ends."""
    row = await connection.fetchrow(
        "SELECT * FROM hunts WHERE next_run_at <= now() ORDER BY next_run_at LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return None if row is None else _hunt(row)


async def set_next(connection: Connection, identifier: str, moment: datetime | None) -> None:
    """When the hunt is due next."""
    await connection.execute("UPDATE hunts SET next_run_at = $2 WHERE id = $1", identifier, moment)


async def count_open(connection: Connection) -> int:
    """How many runs wait or run."""
    count: int = await connection.fetchval(f"SELECT count(*) FROM hunt_runs WHERE {_OPEN}")  # noqa: S608 - a constant
    return count


async def has_open(connection: Connection, hunt_id: str) -> bool:
    """Whether a run of the hunt waits or runs."""
    sql = f"SELECT EXISTS (SELECT 1 FROM hunt_runs WHERE hunt_id = $1 AND {_OPEN})"  # noqa: S608 - a constant
    return bool(await connection.fetchval(sql, hunt_id))


async def insert_run(
    connection: Connection, run: HuntRun, *, query: str | None, sigma: str | None, values: Mapping[str, str]
) -> None:
    """Queues a run; what it asks is kept with it, whatever becomes of the hunt."""
    await connection.execute(
        """INSERT INTO hunt_runs (id, hunt_id, query, sigma, parameters, since, until, created_by, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)""",
        run.id,
        run.hunt_id,
        query,
        sigma,
        dict(values),
        run.since,
        run.until,
        run.created_by,
        run.created_at,
    )


async def runs(database: Database, hunt_id: str, limit: int, after: int | None) -> list[tuple[int, HuntRun]]:
    """Runs of a hunt with their positions, newest first."""
    rows = await database.fetch(
        f"""SELECT {_RUN} FROM hunt_runs WHERE hunt_id = $1 AND ($2::bigint IS NULL OR position < $2)
            ORDER BY position DESC LIMIT $3""",  # noqa: S608 - a constant
        hunt_id,
        after,
        limit,
    )
    return [(row["position"], HuntRun(**_run_values(row))) for row in rows]


async def find_run(database: Database, identifier: str) -> HuntRunDetail | None:
    """One run with its hits."""
    row = await database.fetchrow(f"SELECT {_RUN}, query, sigma, found FROM hunt_runs WHERE id = $1", identifier)  # noqa: S608
    if row is None:
        return None
    found = msgspec.convert(row["found"], list[HuntHit])
    return HuntRunDetail(**_run_values(row), query=row["query"], sigma=row["sigma"], found=found)


async def cancel(database: Database, identifier: str) -> bool:
    """Ends a run that hasn't ended; its worker notices with its next word. False when there was nothing to end."""
    sql = f"UPDATE hunt_runs SET status = 'cancelled', finished_at = now() WHERE id = $1 AND {_OPEN}"  # noqa: S608
    return bool(await database.execute(sql, identifier))


async def claim(database: Database, owner: str, seconds: float) -> Work | None:
    """The oldest run that waits, or whose worker is gone; it is the owner's for `seconds` from each `keep`."""
    row = await database.fetchrow(
        """UPDATE hunt_runs SET status = 'running', owner = $1, lease_until = now() + make_interval(secs => $2),
                  started_at = coalesce(started_at, now()), attempts = attempts + 1, progress = 0
           WHERE id = (SELECT id FROM hunt_runs
                       WHERE status = 'queued' OR (status = 'running' AND lease_until < now())
                       ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED)
           RETURNING id, hunt_id, query, sigma, since, until, attempts""",
        owner,
        seconds,
    )
    return None if row is None else Work(**dict(row))


async def keep(database: Database, work: Work, owner: str, seconds: float, progress: float, hits: int) -> bool:
    """Notes the progress and keeps the lease; False when the run was cancelled, or is another's now."""
    touched = await database.execute(
        """UPDATE hunt_runs SET progress = $3, hits = $4, lease_until = now() + make_interval(secs => $5)
           WHERE id = $1 AND owner = $2 AND attempts = $6 AND status = 'running'""",
        work.id,
        owner,
        progress,
        hits,
        seconds,
        work.attempts,
    )
    return bool(touched)


async def renew(database: Database, work: Work, owner: str, seconds: float) -> bool:
    """Keeps the lease while a page takes its time; False as `keep`."""
    touched = await database.execute(
        """UPDATE hunt_runs SET lease_until = now() + make_interval(secs => $3)
           WHERE id = $1 AND owner = $2 AND attempts = $4 AND status = 'running'""",
        work.id,
        owner,
        seconds,
        work.attempts,
    )
    return bool(touched)


async def last_found(database: Database, hunt_id: str) -> tuple[str, list[str]] | None:
    """The last run of a hunt that looked at its whole range, and the log ids it found."""
    row = await database.fetchrow(
        """SELECT id, log_ids FROM hunt_runs WHERE hunt_id = $1 AND status = 'completed' AND error IS NULL
           ORDER BY finished_at DESC LIMIT 1""",
        hunt_id,
    )
    return None if row is None else (row["id"], row["log_ids"])


async def complete(
    database: Database,
    work: Work,
    owner: str,
    *,
    log_ids: Sequence[str],
    found: Sequence[HuntHit],
    whole: bool,
    diff: HuntDiff | None,
    error: str | None,
) -> None:
    """Ends a run that went well, or as far as its limits let it; nothing when it was cancelled meanwhile."""
    await database.execute(
        """UPDATE hunt_runs SET status = 'completed', progress = 1, hits = $4, log_ids = $5, found = $6, complete = $7,
                  compared_to = $8, new_count = $9, new_ids = $10, gone_count = $11, error = $12, finished_at = now()
           WHERE id = $1 AND owner = $2 AND attempts = $3 AND status = 'running'""",
        work.id,
        owner,
        work.attempts,
        len(log_ids),
        list(log_ids),
        list(found),
        whole,
        None if diff is None else diff.compared_to,
        None if diff is None else diff.new_count,
        None if diff is None else diff.new_ids,
        None if diff is None else diff.gone_count,
        error,
    )


async def fail(database: Database, work: Work, owner: str, reason: str) -> None:
    """Ends a run with the reason why it has no result."""
    await database.execute(
        """UPDATE hunt_runs SET status = 'failed', error = $4, finished_at = now()
           WHERE id = $1 AND owner = $2 AND attempts = $3 AND status = 'running'""",
        work.id,
        owner,
        work.attempts,
        reason,
    )
