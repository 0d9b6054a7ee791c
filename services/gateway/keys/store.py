"""The SQL of API keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

from services.gateway.keys.domain import Key
from shared.contracts.identity import Role
from shared.postgres import Connection, Database

_COLUMNS = (
    "id, user_id, name, scopes, secret_hash, created_at, expires_at, last_used_at, revoked_at, rotated_at,"
    " previous_hash, previous_until"
)
_REPUBLISHED_AT_ONCE = 10_000


class KeyStore:
    """API keys of this installation. A user of None means everybody's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """For a change and the record of it."""
        return self._database.transaction()

    async def add(self, connection: Connection, key: Key) -> None:
        """Stores a new key."""
        await connection.execute(
            "INSERT INTO api_keys (id, user_id, name, scopes, secret_hash, created_at, expires_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            UUID(key.id),
            key.user_id,
            key.name,
            list(key.scopes),
            key.secret_hash,
            key.created_at,
            key.expires_at,
        )

    async def usable(self, key_ids: Collection[str]) -> list[tuple[Key, Role]]:
        """Those of the keys that aren't revoked and whose owner may sign in, each with its owner's role."""
        columns = ", ".join(f"k.{name.strip()}" for name in _COLUMNS.split(","))
        rows = await self._database.fetch(
            f"SELECT {columns}, u.role FROM api_keys k JOIN users u ON u.id = k.user_id"  # noqa: S608 - constant
            " WHERE k.id = ANY($1) AND k.revoked_at IS NULL AND u.disabled_at IS NULL AND u.deleted_at IS NULL",
            [UUID(key_id) for key_id in key_ids],
        )
        return [(_key(row), row["role"]) for row in rows]

    async def lock(self, connection: Connection, key_id: str, user_id: str) -> Key | None:
        """That user's key, unless revoked, held until the transaction ends."""
        row = await connection.fetchrow(
            f"SELECT {_COLUMNS} FROM api_keys"  # noqa: S608 - constant
            " WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL FOR UPDATE",
            UUID(key_id),
            user_id,
        )
        return None if row is None else _key(row)

    async def rotate(self, connection: Connection, key: Key) -> None:
        """Stores the key's new secret, and how long the one before is taken."""
        await connection.execute(
            "UPDATE api_keys SET secret_hash = $2, rotated_at = $3, previous_hash = $4, previous_until = $5"
            " WHERE id = $1",
            UUID(key.id),
            key.secret_hash,
            key.rotated_at,
            key.previous_hash,
            key.previous_until,
        )

    async def page(self, user_id: str | None, before: str | None, limit: int) -> list[Key]:
        """Keys that aren't revoked, newest first, created before the key `before`."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM api_keys"  # noqa: S608 - constant
            " WHERE revoked_at IS NULL AND ($1::text IS NULL OR user_id = $1) AND ($2::uuid IS NULL OR id < $2)"
            " ORDER BY id DESC LIMIT $3",
            user_id,
            None if before is None else UUID(before),
            limit,
        )
        return [_key(row) for row in rows]

    async def revoke(self, connection: Connection, key_id: str, user_id: str | None, now: datetime) -> bool:
        """Marks the key as revoked, the first time stands; False when that user has no such key."""
        changed = await connection.execute(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3)"
            " WHERE id = $1 AND ($2::text IS NULL OR user_id = $2)",
            UUID(key_id),
            user_id,
            now,
        )
        return bool(changed)

    async def revoke_all(self, connection: Connection, user_id: str, now: datetime) -> list[str]:
        """Marks every key of the user as revoked, in the caller's transaction; which they were."""
        rows = await connection.fetch(
            "UPDATE api_keys SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL RETURNING id", user_id, now
        )
        return [str(row["id"]) for row in rows]

    async def revoked_since(self, moment: datetime) -> list[str]:
        """The keys revoked since then, newest first."""
        rows = await self._database.fetch(
            "SELECT id FROM api_keys WHERE revoked_at > $1 ORDER BY revoked_at DESC LIMIT $2",
            moment,
            _REPUBLISHED_AT_ONCE,
        )
        return [str(row["id"]) for row in rows]

    async def used(self, times: Mapping[str, datetime]) -> None:
        """Remembers when each key was used last."""
        await self._database.execute(
            "UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, u.at)"
            " FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, at) WHERE k.id = u.id",
            [UUID(key_id) for key_id in times],
            list(times.values()),
        )


def _key(row: Any) -> Key:
    return Key(
        str(row["id"]),
        row["user_id"],
        row["name"],
        tuple(row["scopes"]),
        bytes(row["secret_hash"]),
        row["created_at"],
        row["expires_at"],
        row["last_used_at"],
        row["revoked_at"],
        row["rotated_at"],
        row["previous_hash"],
        row["previous_until"],
    )
