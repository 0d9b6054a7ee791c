"""The SQL of identities that providers vouch for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from services.gateway.federated import Identity
from shared.postgres import Connection, Database

_SEEN = (
    "UPDATE federated_identities SET last_sign_in_at = $4, provider = $5"
    " WHERE protocol = $1 AND issuer = $2 AND subject = $3 RETURNING user_id"
)


class IdentityStore:
    """Which account an identity is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def account_of(self, identity: Identity, now: datetime) -> str | None:
        """The id of the account that this identity is, with the time of its sign-in written down."""
        found: str | None = await self._database.fetchval(_SEEN, *_key(identity), now, identity.provider)
        return found

    @asynccontextmanager
    async def first_sign_in(self, identity: Identity, now: datetime) -> AsyncIterator[tuple[Connection, str | None]]:
        """A transaction that has this identity for itself, and as `account_of` what became of it meanwhile."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", "\n".join(_key(identity)))
            yield connection, await connection.fetchval(_SEEN, *_key(identity), now, identity.provider)

    async def add(self, connection: Connection, identity: Identity, user_id: str, now: datetime) -> None:
        """Ties an identity to its new account."""
        await connection.execute(
            "INSERT INTO federated_identities"
            " (protocol, issuer, subject, user_id, provider, created_at, last_sign_in_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, $6)",
            *_key(identity),
            user_id,
            identity.provider,
            now,
        )


def _key(identity: Identity) -> tuple[str, str, str]:
    return identity.protocol, identity.issuer, identity.subject
