"""The SQL of cloud connections, of what is still to be revoked, and of AWS external ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.gateway.cloud.domain import Connection
from shared.contracts.cloud import Provider
from shared.postgres import Connection as Transaction
from shared.postgres import Database
from shared.sealing import Sealed

_COLUMNS = "user_id, provider, connected_at, account, identity, scopes"
#: What the provider is told of at a disconnection; elsewhere there is nothing to be told.
REVOCABLE: Provider = "gcp"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Credentials to be voided. `attempts` counts the one that this was claimed for."""

    id: str
    user_id: str
    provider: Provider
    sealed: Sealed
    requested_at: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class SealedRow:
    """Anything sealed, wherever it is kept, to be sealed anew."""

    table: str
    user_id: str
    provider: Provider
    sealed: Sealed


class CloudStore:
    """Cloud connections of this installation."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def get(self, user_id: str, provider: Provider) -> Connection | None:
        """The user's connection."""
        row = await self.database.fetchrow(
            f"SELECT {_COLUMNS} FROM cloud_connections WHERE user_id = $1 AND provider = $2",  # noqa: S608 - constant
            user_id,
            provider,
        )
        return None if row is None else _connection(row)

    async def is_revoking(self, user_id: str, provider: Provider) -> bool:
        """Whether the provider hasn't been told yet of the user's last disconnection."""
        return bool(
            await self.database.fetchval(
                "SELECT EXISTS (SELECT FROM cloud_revocations WHERE user_id = $1 AND provider = $2)", user_id, provider
            )
        )

    async def put(self, transaction: Transaction, found: Connection, sealed: Sealed, *, replace: bool) -> bool:
        """Keeps the connection; False when there is one already that mustn't be replaced, or one to be revoked."""
        changed = await transaction.execute(
            "INSERT INTO cloud_connections (user_id, provider, connected_at, account, identity, scopes, key_id, sealed)"
            " SELECT $1, $2, $3, $4, $5, $6, $7, $8"
            " WHERE NOT EXISTS (SELECT FROM cloud_revocations WHERE user_id = $1 AND provider = $2)"
            " ON CONFLICT (user_id, provider) DO UPDATE SET connected_at = excluded.connected_at,"
            " account = excluded.account, identity = excluded.identity, scopes = excluded.scopes,"
            " key_id = excluded.key_id, sealed = excluded.sealed WHERE $9",
            found.user_id,
            found.provider,
            found.connected_at,
            found.account,
            found.identity,
            list(found.scopes),
            sealed.key_id,
            sealed.box,
            replace,
        )
        return bool(changed)

    async def drop(self, transaction: Transaction, user_id: str, provider: Provider) -> Sealed | None:
        """Removes the connection; its credentials, as they were sealed."""
        row = await transaction.fetchrow(
            "DELETE FROM cloud_connections WHERE user_id = $1 AND provider = $2 RETURNING key_id, sealed",
            user_id,
            provider,
        )
        return None if row is None else Sealed(row["key_id"], bytes(row["sealed"]))

    async def to_revoke(self, transaction: Transaction, found: Revocation, next_try_at: datetime) -> None:
        """Keeps credentials until the provider has voided them."""
        await transaction.execute(
            "INSERT INTO cloud_revocations (id, user_id, provider, key_id, sealed, requested_at, next_try_at, attempts)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            UUID(found.id),
            found.user_id,
            found.provider,
            found.sealed.key_id,
            found.sealed.box,
            found.requested_at,
            next_try_at,
            found.attempts,
        )

    async def claim(self, now: datetime, lease: timedelta) -> Revocation | None:
        """One revocation that is due, for this process alone until the lease ends."""
        row = await self.database.fetchrow(
            "UPDATE cloud_revocations SET next_try_at = $2, attempts = attempts + 1 WHERE id ="
            " (SELECT id FROM cloud_revocations WHERE next_try_at <= $1 ORDER BY next_try_at LIMIT 1"
            "  FOR UPDATE SKIP LOCKED)"
            " RETURNING id, user_id, provider, key_id, sealed, requested_at, attempts",
            now,
            now + lease,
        )
        return None if row is None else _revocation(row)

    async def again(self, revocation_id: str, next_try_at: datetime) -> None:
        """Says when it is tried next."""
        await self.database.execute(
            "UPDATE cloud_revocations SET next_try_at = $2 WHERE id = $1", UUID(revocation_id), next_try_at
        )

    async def revoked(self, transaction: Transaction, revocation_id: str) -> bool:
        """Forgets the credentials; False when somebody else already had."""
        return bool(await transaction.execute("DELETE FROM cloud_revocations WHERE id = $1", UUID(revocation_id)))

    async def leave_the_gone(self, ids: Sequence[str], now: datetime) -> list[tuple[str, Provider]]:
        """Disconnects users who are no more, at most as many as there are `ids`: what is to be revoked, will be."""
        rows = await self.database.fetch(
            """WITH gone AS (
                 DELETE FROM cloud_connections WHERE (user_id, provider) IN (
                   SELECT user_id, provider FROM cloud_connections c
                   WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = c.user_id AND u.deleted_at IS NULL)
                   LIMIT cardinality($1::uuid[]))
                 RETURNING user_id, provider, key_id, sealed),
               numbered AS (SELECT *, row_number() OVER () AS number FROM gone),
               queued AS (
                 INSERT INTO cloud_revocations (id, user_id, provider, key_id, sealed, requested_at, next_try_at)
                 SELECT ($1::uuid[])[number], user_id, provider, key_id, sealed, $2, $2 FROM numbered
                 WHERE provider = $3)
               SELECT user_id, provider FROM gone""",
            [UUID(new) for new in ids],
            now,
            REVOCABLE,
        )
        return [(row["user_id"], row["provider"]) for row in rows]

    async def external_id(self, user_id: str, fresh: str) -> str:
        """The user's external id for AWS: `fresh` when there was none yet."""
        await self.database.execute(
            "INSERT INTO cloud_external_ids (user_id, external_id) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING",
            user_id,
            fresh,
        )
        return str(
            await self.database.fetchval("SELECT external_id FROM cloud_external_ids WHERE user_id = $1", user_id)
        )

    async def sealed_by(self, key_ids: Sequence[str], limit: int) -> list[SealedRow]:
        """What these keys sealed."""
        if not key_ids:
            return []
        rows = await self.database.fetch(
            "SELECT 'cloud_connections' AS place, user_id, provider, key_id, sealed FROM cloud_connections"
            " WHERE key_id = ANY($1) UNION ALL"
            " SELECT 'cloud_revocations', user_id, provider, key_id, sealed FROM cloud_revocations"
            " WHERE key_id = ANY($1) LIMIT $2",
            key_ids,
            limit,
        )
        return [
            SealedRow(row["place"], row["user_id"], row["provider"], Sealed(row["key_id"], bytes(row["sealed"])))
            for row in rows
        ]

    async def seal_anew(self, found: SealedRow, sealed: Sealed) -> None:
        """Puts the new seal in place of the one that was read, unless that has changed since."""
        await self.database.execute(
            f"UPDATE {found.table} SET key_id = $4, sealed = $5"  # noqa: S608 - one of two names above
            " WHERE user_id = $1 AND provider = $2 AND sealed = $3",
            found.user_id,
            found.provider,
            found.sealed.box,
            sealed.key_id,
            sealed.box,
        )


def _connection(row: Any) -> Connection:
    return Connection(
        row["user_id"],
        row["provider"],
        row["connected_at"],
        row["account"],
        row["identity"],
        tuple(row["scopes"]),
    )


def _revocation(row: Any) -> Revocation:
    return Revocation(
        str(row["id"]),
        row["user_id"],
        row["provider"],
        Sealed(row["key_id"], bytes(row["sealed"])),
        row["requested_at"],
        row["attempts"],
    )
