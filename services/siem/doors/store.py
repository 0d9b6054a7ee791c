"""The SQL of the doors: how many acks were given out on each channel of Splunk's HTTP Event Collector."""

from __future__ import annotations

from shared.postgres import Database


async def give(database: Database, principal: str, channel: str) -> int:
    """The next ack of a channel, from 0."""
    given: int = await database.fetchval(
        """INSERT INTO hec_channels AS known (principal, channel, given) VALUES ($1, $2, 1)
           ON CONFLICT (principal, channel) DO UPDATE SET given = known.given + 1, used_at = now()
           RETURNING given""",
        principal,
        channel,
    )
    return given - 1


async def given(database: Database, principal: str, channel: str) -> int:
    """How many acks were given out on a channel."""
    count: int | None = await database.fetchval(
        "SELECT given FROM hec_channels WHERE principal = $1 AND channel = $2", principal, channel
    )
    return count or 0


async def forget(database: Database, hours: int, most: int) -> None:
    """Forgets channels that weren't used for so long, and those beyond the `most` that were used last."""
    await database.execute("DELETE FROM hec_channels WHERE used_at < now() - make_interval(hours => $1)", hours)
    await database.execute(
        """DELETE FROM hec_channels
           WHERE used_at < (SELECT used_at FROM hec_channels ORDER BY used_at DESC OFFSET $1 LIMIT 1)""",
        most,
    )
