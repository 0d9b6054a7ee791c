"""The SQL of sessions and refresh tokens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.gateway.sessions.domain import RevocationReason, Rotation
from shared.postgres import Connection, Database

_REPUBLISHED_AT_ONCE = 10_000


class SessionStore:
    """Sessions: each is the family of the refresh tokens that began with one sign-in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(
        self, session_id: str, user_id: str, refresh_hash: bytes, now: datetime, expires_at: datetime
    ) -> None:
        """Stores a new session with its first refresh token."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "INSERT INTO sessions (id, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
                UUID(session_id),
                user_id,
                now,
                expires_at,
            )
            await _add_token(connection, UUID(session_id), refresh_hash, now)

    async def rotate(self, old: bytes, new: bytes, now: datetime, expires_at: datetime) -> Rotation:
        """Uses the token `old` up and stores `new` in its place. The second use of a token revokes its session."""
        async with self._database.transaction() as connection:
            # Both rows are locked: of two uses at the same time the later one must see the earlier one's mark.
            row = await connection.fetchrow(
                "SELECT s.id, s.user_id, s.revoked_at, s.expires_at, t.used_at"
                " FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1 FOR UPDATE",
                old,
            )
            if row is None:
                return Rotation("unknown")
            names = (str(row["id"]), row["user_id"])
            if row["revoked_at"] is not None:
                return Rotation("revoked", *names)
            if row["used_at"] is not None:
                await _revoke(connection, row["id"], "refresh token used twice", now)
                return Rotation("reused", *names)
            if row["expires_at"] <= now:
                return Rotation("expired", *names)
            await connection.execute("UPDATE refresh_tokens SET used_at = $2 WHERE hash = $1", old, now)
            await connection.execute("UPDATE sessions SET expires_at = $2 WHERE id = $1", row["id"], expires_at)
            await _add_token(connection, row["id"], new, now)
            return Rotation("rotated", *names)

    async def revoke(self, session_id: str, reason: RevocationReason, now: datetime) -> None:
        """Marks the session as over; the first reason stands."""
        async with self._database.transaction() as connection:
            await _revoke(connection, UUID(session_id), reason, now)

    async def revoked_since(self, moment: datetime) -> list[str]:
        """The sessions revoked since then, newest first."""
        rows = await self._database.fetch(
            "SELECT id FROM sessions WHERE revoked_at > $1 ORDER BY revoked_at DESC LIMIT $2",
            moment,
            _REPUBLISHED_AT_ONCE,
        )
        return [str(row["id"]) for row in rows]

    async def forget(self, expired_before: datetime) -> int:
        """Deletes sessions that ended before then, with their tokens; how many."""
        return await self._database.execute("DELETE FROM sessions WHERE expires_at < $1", expired_before)


async def _add_token(connection: Connection, session_id: UUID, token_hash: bytes, now: datetime) -> None:
    await connection.execute(
        "INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES ($1, $2, $3)", token_hash, session_id, now
    )


async def _revoke(connection: Connection, session_id: UUID, reason: RevocationReason, now: datetime) -> None:
    await connection.execute(
        "UPDATE sessions SET revoked_at = $2, revoked_reason = $3 WHERE id = $1 AND revoked_at IS NULL",
        session_id,
        now,
        reason,
    )
