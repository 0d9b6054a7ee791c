"""Whose key a request has. Keys that were checked are remembered, and read again all together twice a second.

So a key that was revoked or rotated, or whose owner lost a right or the account, is noticed by every process within a
second, for one question to Postgres whatever their number. Beside it a revocation is found at once in Redis, by whoever
asks whether the principal's session lives. While Postgres is away, what is remembered holds for some minutes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from services.gateway.keys import domain
from services.gateway.keys.domain import Key, Presented
from services.gateway.keys.store import KeyStore
from shared.clock import utc_now
from shared.contracts.identity import Role
from shared.errors import INVALID_CREDENTIALS, TOKEN_EXPIRED, AuroraError
from shared.identity import Principal
from shared.log import get_logger

FOLLOW_SECONDS = 0.5
#: How long a remembered key holds while Postgres doesn't answer: as long as an access token.
_HOLDS_SECONDS = 15 * 60
#: A key that nobody presents any more isn't asked for any more.
_UNUSED_SECONDS = 60.0
_MOST = 8192
_log = get_logger("keys")


@dataclass(slots=True)
class _Known:
    key: Key
    principal: Principal
    read_at: float
    used_at: float


class CheckedKeys:
    """The keys that this process knows, as Postgres told them last."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._known: dict[str, _Known] = {}
        self._used: dict[str, datetime] = {}

    async def identify(self, presented: Presented) -> Principal:
        """Whose key this is; one revoked in the last moment is for `Sessions.require_alive` to find.

        Raises AURORA-4011 when the key is expired, 4012 when it is unknown, revoked or its owner is gone, 5030 when it
        isn't remembered and Postgres doesn't answer.
        """
        now, wall = time.monotonic(), utc_now()
        known = self._known.get(presented.id)
        # Another process may have given it a new secret a moment ago.
        if known is None or known.read_at + _HOLDS_SECONDS < now or not known.key.takes(presented.secret, wall):
            known = await self._look_up(presented.id)
        if known is None or not known.key.takes(presented.secret, wall):
            raise AuroraError(INVALID_CREDENTIALS)
        if known.key.is_over(wall):
            raise AuroraError(TOKEN_EXPIRED)
        known.used_at = now
        self._used[presented.id] = wall
        return known.principal

    async def _look_up(self, key_id: str) -> _Known | None:
        asked_at = time.monotonic()
        found = await self._store.usable([key_id])
        if not found:
            self._known.pop(key_id, None)
        for key, role in found:
            self._remember(key, role, asked_at)
        return self._known.get(key_id)

    def _remember(self, key: Key, role: Role, asked_at: float) -> None:
        known = self._known.get(key.id)
        if known is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key.id] = _Known(key, domain.principal_of(key, role), asked_at, asked_at)
        elif known.read_at <= asked_at:  # else somebody has read it since, and knows better
            known.key, known.principal, known.read_at = key, domain.principal_of(key, role), asked_at

    async def follow(self) -> None:
        """Runs until cancelled: reads what is remembered again and again."""
        while True:
            try:
                await self.read_again()
            except AuroraError as error:
                _log.warning("keys are taken as they were known", code=error.code.code)
            await asyncio.sleep(FOLLOW_SECONDS)

    async def read_again(self) -> None:
        """Takes over what changed, and forgets what is gone or isn't used. Raises AURORA-5030."""
        now = time.monotonic()
        self._known = {key_id: known for key_id, known in self._known.items() if known.used_at + _UNUSED_SECONDS > now}
        if not self._known:
            return
        asked = set(self._known)
        found = await self._store.usable(asked)
        for key_id in asked - {key.id for key, _ in found}:
            self._known.pop(key_id, None)
        for key, role in found:
            self._remember(key, role, now)

    def forget(self, key_id: str) -> None:
        """Has the key read from Postgres when it is presented next."""
        self._known.pop(key_id, None)

    def take_used(self) -> dict[str, datetime]:
        """When each key was used last, since this was asked last."""
        used, self._used = self._used, {}
        return used

    def give_back(self, used: dict[str, datetime]) -> None:
        """Takes back what could not be written down."""
        self._used = {**used, **self._used}
