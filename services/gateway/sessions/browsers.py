"""Sessions of browsers: whose request a cookie is.

A cookie that was looked up is remembered for some seconds, and on every request its session is looked up in the list
of what was revoked, as that of an access token.
"""

from __future__ import annotations

import secrets
import time

from services.gateway.sessions import domain
from services.gateway.sessions.domain import Person
from services.gateway.sessions.service import Sessions
from services.gateway.sessions.store import SessionStore
from shared.clock import utc_now
from shared.errors import INVALID_CREDENTIALS, TOKEN_EXPIRED, AuroraError
from shared.identity import Principal

_REMEMBER_SECONDS = 5.0
_REMEMBERED_COOKIES = 8192
#: Longer than any of ours.
_LONGEST = 128


class Browsers:
    """The use-cases of the session cookie. `life_seconds` is how long one lives."""

    def __init__(self, store: SessionStore, sessions: Sessions, life_seconds: int) -> None:
        self._store = store
        self._sessions = sessions
        self.life_seconds = life_seconds
        self._known: dict[bytes, tuple[float, Principal]] = {}

    async def open_for(self, person: Person, *, how: str, address: str | None) -> str:
        """A new session: the value of its cookie. Raises AURORA-4012 as `Sessions.open_for` does."""
        cookie = secrets.token_urlsafe(32)
        await self._sessions.begin(person, how, address, cookie_hash=domain.token_hash(cookie))
        return cookie

    async def identify(self, cookie: str) -> Principal:
        """Whose cookie this is; whether its session has ended since is for `Sessions.require_alive` to find.

        Raises AURORA-4011 when the session has expired, 4012 when there is none.
        """
        if len(cookie) > _LONGEST:
            raise AuroraError(INVALID_CREDENTIALS)
        kept = domain.token_hash(cookie)
        known = self._known.get(kept)
        if known is None or known[0] <= time.monotonic():
            known = time.monotonic() + _REMEMBER_SECONDS, await self._look_up(kept)
            if len(self._known) >= _REMEMBERED_COOKIES:
                self._known.clear()
            self._known[kept] = known
        return known[1]

    async def _look_up(self, kept: bytes) -> Principal:
        self._known.pop(kept, None)
        found = await self._store.by_cookie(kept)
        if found is None:
            raise AuroraError(INVALID_CREDENTIALS)
        session_id, member, expires_at = found
        if expires_at <= utc_now():
            raise AuroraError(TOKEN_EXPIRED)
        return domain.principal_with(member, session_id)
