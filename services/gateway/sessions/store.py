"""The SQL of sessions and refresh tokens."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.gateway.sessions.domain import Begun, Member, NewSession, RevocationReason, Rotation
from shared.postgres import Connection, Database

_REPUBLISHED_AT_ONCE = 10_000


class SessionStore:
    """Sessions: each is the family of the refresh tokens that began with one sign-in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, new: NewSession) -> Member | None:
        """Stores a new session; who began it, None when the account is disabled or gone or may not sign in."""
        async with self._database.transaction() as connection:
            # The lock keeps the account as it is until the session stands: who disables it, or changes its role, at the
            # same time either is seen here or sees the session.
            row = await connection.fetchrow(
                "SELECT id, username, role FROM users"
                " WHERE id = $1 AND disabled_at IS NULL AND role <> 'api_service' FOR SHARE",
                new.user_id,
            )
            if row is None:
                return None
            await connection.execute(
                "INSERT INTO sessions (id, user_id, created_at, expires_at, how, address, cookie_hash)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                UUID(new.id),
                new.user_id,
                new.created_at,
                new.expires_at,
                new.how,
                new.address,
                new.cookie_hash,
            )
            if new.refresh_hash is not None:
                await _add_token(connection, UUID(new.id), new.refresh_hash, new.created_at)
            return Member(row["id"], row["username"], row["role"])

    async def by_cookie(self, cookie_hash: bytes) -> tuple[str, Member, datetime] | None:
        """The session of a cookie, whose it is and when it ends; None when it was revoked or its user disabled."""
        row = await self._database.fetchrow(
            "SELECT s.id AS session_id, s.expires_at, u.id, u.username, u.role FROM sessions s"
            " JOIN users u ON u.id = s.user_id"
            " WHERE s.cookie_hash = $1 AND s.revoked_at IS NULL AND u.disabled_at IS NULL",
            cookie_hash,
        )
        if row is None:
            return None
        return str(row["session_id"]), Member(row["id"], row["username"], row["role"]), row["expires_at"]

    async def living(self, user_id: str, now: datetime, limit: int) -> list[Begun]:
        """The user's sessions that haven't ended, newest first."""
        rows = await self._database.fetch(
            "SELECT id, how, address, created_at, expires_at, cookie_hash IS NOT NULL AS browser FROM sessions"
            " WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 ORDER BY id DESC LIMIT $3",
            user_id,
            now,
            limit,
        )
        return [
            Begun(str(row["id"]), row["how"], row["address"], row["created_at"], row["expires_at"], row["browser"])
            for row in rows
        ]

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

    async def revoke_of(self, user_id: str, session_id: str, reason: RevocationReason, now: datetime) -> bool:
        """Marks one session of this user as over; False when the user has no such session that lives."""
        changed = await self._database.execute(
            "UPDATE sessions SET revoked_at = $3, revoked_reason = $4"
            " WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3",
            UUID(session_id),
            user_id,
            now,
            reason,
        )
        return bool(changed)

    async def revoke_all(self, user_id: str, reason: RevocationReason, now: datetime) -> list[str]:
        """Marks every session of the user as over; which they were."""
        async with self._database.transaction() as connection:
            return await self.revoke_all_in(connection, user_id, reason, now, keep=None)

    async def revoke_all_in(
        self, connection: Connection, user_id: str, reason: RevocationReason, now: datetime, *, keep: str | None
    ) -> list[str]:
        """Marks every session of the user as over, but for `keep`, in the caller's transaction; which they were."""
        rows = await connection.fetch(
            "UPDATE sessions SET revoked_at = $2, revoked_reason = $3"
            " WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND id IS DISTINCT FROM $4 RETURNING id",
            user_id,
            now,
            reason,
            None if keep is None else UUID(keep),
        )
        return [str(row["id"]) for row in rows]

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
