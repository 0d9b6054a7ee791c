"""API keys: create, list, rotate, revoke.

The rows in Postgres are the truth; what Redis holds is written anew from them. Each act and its record in the audit log
are one transaction.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import msgspec

from services.gateway.journal import Journal
from services.gateway.keys import domain
from services.gateway.keys.checked import CheckedKeys
from services.gateway.keys.domain import Key, Presented
from services.gateway.keys.store import KeyStore
from shared.clock import new_id, utc_now
from shared.contracts.common import Page
from shared.contracts.keys import ApiKey, CreateApiKey, CreatedApiKey, RotateApiKey
from shared.errors import CONFLICT, INSUFFICIENT_PERMISSIONS, NOT_FOUND, AuroraError, field_error
from shared.identity import Principal
from shared.log import get_logger
from shared.postgres import Connection

_HOUSEKEEPING_SECONDS = 5.0
#: A mark of revocation is needed while some process may remember the key, and a stream that it opened may live.
_MARKED = timedelta(minutes=10)
_log = get_logger("keys")


class Revocations(Protocol):
    """What keys ask of sessions: mark as over. Raises AURORA-5030 when that can't be made known."""

    async def mark_over(self, session_id: str, seconds: int) -> None: ...


class Keys:
    """The use-cases of API keys."""

    def __init__(self, store: KeyStore, revocations: Revocations, journal: Journal) -> None:
        self._store = store
        self.checked = CheckedKeys(store)
        self._revocations = revocations
        self._journal = journal

    async def create(self, creator: Principal, asked: CreateApiKey) -> CreatedApiKey:
        """A new key, shown this once. Raises AURORA-4030 for anybody but a user, 4220 for scopes beyond theirs."""
        if creator.kind != "user":
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user may create API keys")
        now, secret = utc_now(), _new_secret()
        if asked.expires_at is not None and asked.expires_at <= now:
            raise field_error("body.expires_at", "is over already")
        scopes = domain.granted(asked.scopes, creator)
        key = Key(new_id(), creator.id, asked.name, scopes, domain.secret_hash(secret), now, asked.expires_at)
        detail = {"name": key.name, "scopes": scopes, "expires_at": key.expires_at}
        async with self._store.transaction() as connection:
            await self._store.add(connection, key)
            await self._told(connection, "key.created", creator, key.id, detail)
        return _created(key, secret)

    async def page(self, caller: Principal, cursor: str | None, limit: int) -> Page[ApiKey]:
        """The caller's keys, of an admin everybody's, newest first."""
        before = None if cursor is None else domain.parse_id(cursor)
        if cursor is not None and before is None:
            raise field_error("query.cursor", "not a cursor that this list gave")
        found = await self._store.page(_whose(caller), before, limit + 1)
        more = len(found) > limit
        return Page([_shown(key) for key in found[:limit]], found[limit - 1].id if more else None)

    async def rotate(self, owner: Principal, key_id: str, asked: RotateApiKey) -> CreatedApiKey:
        """A new secret for a key of the caller's own, shown this once; the one before is taken during the grace.

        Raises AURORA-4030 for anybody but a user, 4040 when the caller owns no such key, 4090 when it has expired.
        """
        _whose(owner)
        now, secret, identifier = utc_now(), _new_secret(), domain.parse_id(key_id)
        async with self._store.transaction() as connection:
            key = None if identifier is None else await self._store.lock(connection, identifier, owner.id)
            if key is None:
                raise AuroraError(NOT_FOUND)
            if key.is_over(now):
                raise AuroraError(CONFLICT, message="The key has expired: create another one")
            rotated = domain.rotated(key, domain.secret_hash(secret), now, asked.grace_seconds)
            await self._store.rotate(connection, rotated)
            await self._told(connection, "key.rotated", owner, key.id, {"grace_seconds": asked.grace_seconds})
        self.checked.forget(key.id)
        return _created(rotated, secret)

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """Ends the key at once. Raises AURORA-4040 when the caller has no such key, 5030 when that can't be told."""
        whose, identifier = _whose(caller), domain.parse_id(key_id)
        if identifier is None:
            raise AuroraError(NOT_FOUND)
        async with self._store.transaction() as connection:
            if not await self._store.revoke(connection, identifier, whose, utc_now()):
                raise AuroraError(NOT_FOUND)
            await self._told(connection, "key.revoked", caller, identifier, None)
        await self._revocations.mark_over(identifier, int(_MARKED.total_seconds()))

    async def end_all_in(self, connection: Connection, user_id: str) -> list[str]:
        """Revokes every key of a user in the caller's transaction; give them to `publish`."""
        return await self._store.revoke_all(connection, user_id, utc_now())

    async def publish(self, ended: Sequence[str]) -> None:
        """Makes it known to every process. Raises AURORA-5030; the next housekeeping then makes it known."""
        for key_id in ended:
            await self._revocations.mark_over(key_id, int(_MARKED.total_seconds()))

    async def identify(self, presented: Presented) -> Principal:
        """Whose key this is; raises as `CheckedKeys.identify`."""
        return await self.checked.identify(presented)

    async def keep_house(self) -> None:
        """Runs until cancelled: writes down which keys were used, and tells Redis anew what it may have lost."""
        while True:
            try:
                await self.write_used()
                for key_id in await self._store.revoked_since(utc_now() - _MARKED):
                    await self._revocations.mark_over(key_id, int(_MARKED.total_seconds()))
            except AuroraError as error:
                _log.warning("housekeeping waits", code=error.code.code, detail=error.detail)
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)

    async def write_used(self) -> None:
        """Writes the times of last use since the last call; they stay for the next when that fails."""
        used = self.checked.take_used()
        if not used:
            return
        try:
            await self._store.used(used)
        except AuroraError:
            self.checked.give_back(used)
            raise

    async def _told(
        self, connection: Connection, action: str, by: Principal, key_id: str, detail: Mapping[str, object] | None
    ) -> None:
        await self._journal.record(
            action, actor=by.id, outcome="success", target=key_id, detail=detail, connection=connection
        )
        _log.info(action, key=key_id, by=by.id)


def _whose(caller: Principal) -> str | None:
    if caller.kind != "user":
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user has API keys")
    return None if caller.role == "admin" else caller.id


def _shown(key: Key) -> ApiKey:
    return ApiKey(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        user_id=key.user_id,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        rotated_at=key.rotated_at,
        previous_until=key.previous_until,
    )


def _created(key: Key, secret: str) -> CreatedApiKey:
    return CreatedApiKey(**msgspec.structs.asdict(_shown(key)), key=domain.text_of(key.id, secret))


def _new_secret() -> str:
    return secrets.token_urlsafe(32)
