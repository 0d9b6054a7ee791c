"""The SQL of sources: figures from the log table, each over a bounded time, and what is remembered in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.siem.sources.domain import Day, Known, Week
from shared.clickhouse import ClickHouse
from shared.postgres import Connection, Database

MAX_SOURCES = 1_000
#: ECS field -> the narrow column that has it.
_KEY_FIELDS = {
    "host.name": "host_name",
    "user.name": "user_name",
    "source.ip": "source_ip",
    "destination.ip": "destination_ip",
    "process.name": "process_name",
    "process.command_line": "process_command_line",
    "event.category": "event_category",
    "event.code": "event_code",
    "event.action": "event_action",
}
_COVERAGE = ", ".join(f"countIf({column} != '')" for column in _KEY_FIELDS.values())


async def seen_since(clickhouse: ClickHouse, since: datetime) -> list[tuple[str, datetime, datetime]]:
    """Sources with events that arrived from `since` on: name, first and last arrival."""
    rows = await clickhouse.query(
        "SELECT source, min(ingested_at) AS first, max(ingested_at) AS last FROM logs "
        "WHERE ingested_at >= {since:DateTime64(3, 'UTC')} GROUP BY source ORDER BY last DESC LIMIT {limit:UInt32}",
        {"since": since, "limit": MAX_SOURCES},
    )
    return [(row["source"], row["first"], row["last"]) for row in rows]


async def week(clickhouse: ClickHouse) -> dict[str, Week]:
    """The last 7 days, from narrow columns."""
    rows = await clickhouse.query(
        """SELECT source, groupUniqArray(20)(dataset) AS datasets, count() AS events,
                  countIf(ingested_at >= now() - INTERVAL 1 HOUR) AS last_hour,
                  countIf(dataset = 'generic.text') AS unparsed,
                  countIf(timestamp > ingested_at + INTERVAL 5 MINUTE) AS clock_ahead,
                  greatest(0, max(dateDiff('millisecond', ingested_at, timestamp))) AS clock_ahead_ms
           FROM logs WHERE ingested_at >= now() - INTERVAL 7 DAY GROUP BY source LIMIT {limit:UInt32}""",
        {"limit": MAX_SOURCES},
    )
    return {row.pop("source"): Week(**row) for row in rows}


async def day(clickhouse: ClickHouse) -> dict[str, Day]:
    """The last 24 hours, from narrow columns and `ecs`."""
    rows = await clickhouse.query(
        f"""SELECT source, count() AS events, [{_COVERAGE}] AS filled,
                   toInt64(quantile(0.5)(dateDiff('millisecond', timestamp, ingested_at))) AS lag_ms,
                   countIf(JSONExtractString(ecs, 'event.kind') = 'pipeline_error') AS parse_errors
            FROM logs WHERE ingested_at >= now() - INTERVAL 24 HOUR GROUP BY source LIMIT {{limit:UInt32}}""",  # noqa: S608 - constants
        {"limit": MAX_SOURCES},
    )
    return {
        row["source"]: Day(
            row["events"], row["lag_ms"], row["parse_errors"], dict(zip(_KEY_FIELDS, row["filled"], strict=True))
        )
        for row in rows
    }


async def arrivals(clickhouse: ClickHouse, midnight: datetime) -> tuple[int, int]:
    """How many events arrived since midnight, and in the last hour."""
    rows = await clickhouse.query(
        """SELECT countIf(ingested_at >= {midnight:DateTime64(3, 'UTC')}) AS today,
                  countIf(ingested_at >= now() - INTERVAL 1 HOUR) AS hour
           FROM logs WHERE ingested_at >= least({midnight:DateTime64(3, 'UTC')}, now() - INTERVAL 1 HOUR)""",
        {"midnight": midnight},
    )
    return rows[0]["today"], rows[0]["hour"]


async def size(clickhouse: ClickHouse) -> tuple[int, int]:
    """How many rows the log table has, and bytes on the disk."""
    rows = await clickhouse.query(
        "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts "
        "WHERE active AND database = currentDatabase() AND table = 'logs'"
    )
    return rows[0]["rows"], rows[0]["bytes"]


async def keep(clickhouse: ClickHouse, source: str, days: int) -> None:
    """Gives the stored events of a source their new end; a mutation, which goes on in the background."""
    await clickhouse.command(
        "ALTER TABLE logs UPDATE keep_until = toDateTime(ingested_at) + toIntervalDay({days:UInt32}) "
        "WHERE source = {source:String}",
        {"days": days, "source": source},
    )


async def last_look(database: Database) -> datetime | None:
    """Up to when arrivals are remembered."""
    moment: datetime | None = await database.fetchval("SELECT max(last_seen) FROM sources")
    return moment


async def remember(database: Database, seen: Sequence[tuple[str, datetime, datetime]]) -> None:
    """Notes first and last arrivals."""
    async with database.transaction() as connection:
        await connection.executemany(
            """INSERT INTO sources (name, first_seen, last_seen) VALUES ($1, $2, $3)
               ON CONFLICT (name) DO UPDATE SET first_seen = least(sources.first_seen, excluded.first_seen),
                 last_seen = greatest(sources.last_seen, excluded.last_seen)""",
            seen,
        )


async def known(database: Database) -> list[Known]:
    """Every source, the last seen first."""
    rows = await database.fetch(
        "SELECT name, first_seen, last_seen, retention_days FROM sources ORDER BY last_seen DESC NULLS LAST LIMIT $1",
        MAX_SOURCES,
    )
    return [Known(**dict(row)) for row in rows]


async def policies(database: Database) -> dict[str, int]:
    """Sources with a retention of their own, in days."""
    rows = await database.fetch("SELECT name, retention_days FROM sources WHERE retention_days IS NOT NULL")
    return {row["name"]: row["retention_days"] for row in rows}


async def set_policy(
    connection: Connection, name: str, days: int | None, default_days: int, who: str, now: datetime
) -> int | None:
    """Sets or ends a source's retention; the days that hold now, None for a source that was never seen."""
    held: int | None = await connection.fetchval(
        """UPDATE sources SET retention_days = $2, changed_by = $3, changed_at = $4 WHERE name = $1
           RETURNING coalesce(retention_days, $5)""",
        name,
        days,
        who,
        now,
        default_days,
    )
    return held


async def count(database: Database) -> int:
    """How many sources are known."""
    number: int = await database.fetchval("SELECT count(*) FROM sources WHERE last_seen IS NOT NULL")
    return number
