"""API keys: create, list, revoke, and whose request this is.

A key that was checked is remembered for some seconds, and on every request looked up in the list of what was revoked,
as sessions are. The rows in Postgres are the truth; what Redis holds is written anew from them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

import msgspec

from services.gateway.keys import domain
from services.gateway.keys.domain import Key, Presented
from services.gateway.keys.store import KeyStore
from shared.clock import new_id, utc_now
from shared.contracts.common import Page
from shared.contracts.identity import Role
from shared.contracts.keys import ApiKey, CreateApiKey, CreatedApiKey
from shared.errors import (
    INSUFFICIENT_PERMISSIONS,
    INVALID_CREDENTIALS,
    NOT_FOUND,
    TOKEN_EXPIRED,
    AuroraError,
    field_error,
)
from shared.identity import Principal
from shared.log import get_logger
from shared.postgres import Connection

#: How long a checked key is remembered: so late a change of its owner's role or account is noticed.
REMEMBER_SECONDS = 15
_REMEMBERED_KEYS = 8192
_HOUSEKEEPING_SECONDS = 5.0
#: A mark of revocation is needed while some process may remember the key, and a stream that it opened may live.
_MARKED = timedelta(minutes=10)
_log = get_logger("keys")


class Person(Protocol):
    """What keys need to know of a user."""

    @property
    def role(self) -> Role: ...


class People(Protocol):
    """What keys ask of accounts: the user, unless disabled or gone."""

    async def active(self, user_id: str) -> Person | None: ...


class Revocations(Protocol):
    """What keys ask of sessions: mark as over. Raises AURORA-5030 when that can't be made known."""

    async def mark_over(self, session_id: str, seconds: int) -> None: ...


class Journal(Protocol):
    """What keys ask of the audit log."""

    async def record(
        self,
        action: str,
        *,
        actor: str | None,
        outcome: Literal["success", "failure", "denied"],
        target: str | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> None: ...


class Keys:
    """The use-cases of API keys."""

    def __init__(self, store: KeyStore, people: People, revocations: Revocations, journal: Journal) -> None:
        self._store = store
        self._people = people
        self._revocations = revocations
        self._journal = journal
        self._known: dict[str, tuple[float, Key, Principal]] = {}
        self._used: dict[str, datetime] = {}

    async def create(self, creator: Principal, asked: CreateApiKey) -> CreatedApiKey:
        """A new key, shown this once. Raises AURORA-4030 for anybody but a user, 4220 for scopes beyond theirs."""
        if creator.kind != "user":
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user may create API keys")
        now, secret = utc_now(), secrets.token_urlsafe(32)
        if asked.expires_at is not None and asked.expires_at <= now:
            raise field_error("body.expires_at", "is over already")
        scopes = domain.granted(asked.scopes, creator)
        key = Key(new_id(), creator.id, asked.name, scopes, domain.secret_hash(secret), now, asked.expires_at)
        await self._store.add(key)
        _log.info("API key created", key=key.id, user=creator.id, scopes=list(scopes))
        detail = {"name": key.name, "scopes": scopes, "expires_at": key.expires_at}
        await self._journal.record("key.created", actor=creator.id, outcome="success", target=key.id, detail=detail)
        return CreatedApiKey(**msgspec.structs.asdict(_shown(key)), key=domain.text_of(key.id, secret))

    async def page(self, caller: Principal, cursor: str | None, limit: int) -> Page[ApiKey]:
        """The caller's keys, of an admin everybody's, newest first."""
        before = None if cursor is None else domain.parse_id(cursor)
        if cursor is not None and before is None:
            raise field_error("query.cursor", "not a cursor that this list gave")
        found = await self._store.page(_whose(caller), before, limit + 1)
        more = len(found) > limit
        return Page([_shown(key) for key in found[:limit]], found[limit - 1].id if more else None)

    async def revoke(self, caller: Principal, key_id: str) -> None:
        """Ends the key at once. Raises AURORA-4040 when the caller has no such key, 5030 when that can't be told."""
        whose, identifier = _whose(caller), domain.parse_id(key_id)
        if identifier is None or not await self._store.revoke(identifier, whose, utc_now()):
            raise AuroraError(NOT_FOUND)
        await self._revocations.mark_over(identifier, int(_MARKED.total_seconds()))
        _log.info("API key revoked", key=identifier, by=caller.id)
        await self._journal.record("key.revoked", actor=caller.id, outcome="success", target=identifier)

    async def end_all_in(self, connection: Connection, user_id: str) -> list[str]:
        """Revokes every key of a user in the caller's transaction; give them to `publish`."""
        return await self._store.revoke_all(connection, user_id, utc_now())

    async def publish(self, ended: Sequence[str]) -> None:
        """Makes it known to every process. Raises AURORA-5030; the next housekeeping then makes it known."""
        for key_id in ended:
            await self._revocations.mark_over(key_id, int(_MARKED.total_seconds()))

    async def identify(self, presented: Presented) -> Principal:
        """Whose key this is; a revocation younger than REMEMBER_SECONDS is for `Sessions.require_alive` to find.

        Raises AURORA-4011 when the key is expired, 4012 when it is unknown, revoked or its owner is gone.
        """
        known = self._known.get(presented.id)
        if known is None or known[0] <= time.monotonic():
            known = await self._look_up(presented)
        _, key, principal = known
        if not domain.matches(presented.secret, key.secret_hash):
            raise AuroraError(INVALID_CREDENTIALS)
        now = utc_now()
        if key.expires_at is not None and key.expires_at <= now:
            raise AuroraError(TOKEN_EXPIRED)
        self._used[key.id] = now
        return principal

    async def _look_up(self, presented: Presented) -> tuple[float, Key, Principal]:
        key = await self._store.get(presented.id)
        if key is None or key.revoked_at is not None or not domain.matches(presented.secret, key.secret_hash):
            self._known.pop(presented.id, None)
            raise AuroraError(INVALID_CREDENTIALS)
        owner = await self._people.active(key.user_id)
        if owner is None:
            raise AuroraError(INVALID_CREDENTIALS)
        if len(self._known) >= _REMEMBERED_KEYS:
            self._known.clear()
        known = time.monotonic() + REMEMBER_SECONDS, key, domain.principal_of(key, owner.role)
        self._known[key.id] = known
        return known

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
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._store.used(used)
        except AuroraError:
            self._used = {**used, **self._used}
            raise


def _whose(caller: Principal) -> str | None:
    if caller.kind != "user":
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user may see and revoke API keys")
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
    )
