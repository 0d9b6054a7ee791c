"""Sessions: sign in, refresh, sign out, and whose request this is.

An access token is checked by its signature, remembered until it expires, and on every request looked up in the list
of revoked sessions. Who can't be asked is not assumed to say yes: without Redis nobody is let in (AURORA-5030).
The rows in Postgres are the truth; what Redis holds is written anew from them, should it lose its memory.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import timedelta
from typing import Any, Protocol

from services.gateway.sessions import domain
from services.gateway.sessions.domain import Person
from services.gateway.sessions.store import SessionStore
from shared.cache import Cache
from shared.clock import new_id, utc_now
from shared.contracts.identity import TokenResponse
from shared.errors import INVALID_CREDENTIALS, TOKEN_EXPIRED, AuroraError
from shared.identity import Principal, keys_of, load_private_key, public_jwk, read_claims, sign_claims, thumbprint
from shared.log import get_logger

_REMEMBERED_TOKENS = 8192
_KEEP_EXPIRED = timedelta(days=1)
_HOUSEKEEPING_SECONDS = 5.0
#: A revocation outlives the tokens it concerns by the leeway that their check gives, and some.
_REVOCATION_MARGIN_SECONDS = 60
_log = get_logger("sessions")


class People(Protocol):
    """What sessions ask of accounts."""

    async def check_password(self, username: str, password: str) -> Person: ...
    async def active(self, user_id: str) -> Person | None: ...
    async def signed_in(self, user_id: str) -> None: ...


class Throttle(Protocol):
    """What sessions ask of admission. Raises AURORA-4290 for an attempt too many; a success is taken back."""

    async def attempt(self, account: str, address: str) -> None: ...
    async def succeeded(self, account: str, address: str) -> None: ...


class AccessTokens:
    """Makes and reads access tokens. Reading costs 0.2 ms the first time, nothing after that."""

    def __init__(self, private_key_pem: str, life_seconds: int) -> None:
        self.life_seconds = life_seconds
        self._key = load_private_key(private_key_pem)
        self._kid = thumbprint(private_key_pem)
        self.jwks: dict[str, Any] = {"keys": [public_jwk(self._kid, private_key_pem)]}
        self._keys = keys_of(self.jwks)
        self._read: dict[str, tuple[float, Principal]] = {}

    def issue(self, person: Person, session_id: str) -> str:
        """A new access token of the session."""
        claims = domain.access_claims(
            person, session_id, token_id=new_id(), now=int(time.time()), life_seconds=self.life_seconds
        )
        return sign_claims(claims, self._kid, self._key)

    def read(self, token: str) -> Principal:
        """Whose token this is. Raises AURORA-4011 when it is expired, 4012 when it isn't one of ours."""
        known = self._read.get(token)
        if known is None:
            _, claims = read_claims(token, self._keys, domain.AUDIENCE)
            known = float(claims["exp"]), domain.principal_of(claims)
            if len(self._read) >= _REMEMBERED_TOKENS:
                self._read.clear()
            self._read[token] = known
        if known[0] <= time.time():
            del self._read[token]
            raise AuroraError(TOKEN_EXPIRED)
        return known[1]


class Sessions:
    """The use-cases of sessions."""

    def __init__(
        self,
        store: SessionStore,
        cache: Cache,
        tokens: AccessTokens,
        people: People,
        throttle: Throttle,
        *,
        refresh_seconds: int,
    ) -> None:
        self._store = store
        self._cache = cache
        self.tokens = tokens
        self._people = people
        self._throttle = throttle
        self._refresh_life = timedelta(seconds=refresh_seconds)

    async def sign_in(self, username: str, password: str, address: str) -> TokenResponse:
        """A new session. Raises AURORA-4012 and AURORA-4290; either is logged with account and address."""
        try:
            await self._throttle.attempt(username, address)
            person = await self._people.check_password(username, password)
            await self._throttle.succeeded(username, address)
        except AuroraError as error:
            _log.warning("sign-in refused", account=username, address=address, code=error.code.code)
            raise
        session_id, refresh, now = new_id(), _new_refresh_token(), utc_now()
        await self._store.start(session_id, person.id, domain.refresh_hash(refresh), now, now + self._refresh_life)
        await self._people.signed_in(person.id)
        _log.info("signed in", account=person.username, address=address, session=session_id)
        return self._response(person, session_id, refresh)

    async def refresh(self, token: str, address: str) -> TokenResponse:
        """New tokens for a refresh token, which is used up by it.

        Raises AURORA-4011 when its session has expired, 4012 when it is unknown, revoked, or used before.
        """
        fresh, now = _new_refresh_token(), utc_now()
        rotation = await self._store.rotate(
            domain.refresh_hash(token), domain.refresh_hash(fresh), now, now + self._refresh_life
        )
        if rotation.outcome == "reused":
            await self._publish_revocation(rotation.session_id)
        if rotation.outcome != "rotated":
            _log.warning("refresh refused", reason=rotation.outcome, session=rotation.session_id, address=address)
            raise AuroraError(TOKEN_EXPIRED if rotation.outcome == "expired" else INVALID_CREDENTIALS)
        person = await self._people.active(rotation.user_id)
        if person is None:
            raise AuroraError(INVALID_CREDENTIALS)
        return self._response(person, rotation.session_id, fresh)

    async def sign_out(self, session_id: str) -> None:
        """Ends the session at once. Raises AURORA-5030 when that can't be made known; then it may be asked again."""
        await self._store.revoke(session_id, "logout", utc_now())
        await self._publish_revocation(session_id)
        _log.info("signed out", session=session_id)

    def identify(self, token: str) -> Principal:
        """Whose token this is, whether or not its session has ended. Raises AURORA-4011 and 4012."""
        return self.tokens.read(token)

    async def require_alive(self, principal: Principal) -> None:
        """Raises AURORA-4012 when the principal's session was revoked, 5030 when that can't be known."""
        if principal.session_id is not None:
            _refuse_revoked(await self._cache.get(domain.revocation_key(principal.session_id)))

    async def count_if_alive(self, principal: Principal, counter: str, window_seconds: int) -> tuple[int, int]:
        """As `require_alive`, and adds one to a counter in the same round trip: the count, and the seconds left."""
        if principal.session_id is None:
            return await self._cache.increment(counter, ttl_seconds=window_seconds)
        revoked, count, left = await self._cache.get_and_increment(
            domain.revocation_key(principal.session_id), counter, ttl_seconds=window_seconds
        )
        _refuse_revoked(revoked)
        return count, left

    async def keep_house(self) -> None:
        """Runs until cancelled: tells Redis anew what it may have lost, and forgets sessions long over."""
        while True:
            now = utc_now()
            try:
                for session_id in await self._store.revoked_since(now - timedelta(seconds=self._revocation_seconds)):
                    await self._publish_revocation(session_id)
                await self._store.forget(now - _KEEP_EXPIRED)
            except AuroraError as error:
                _log.warning("housekeeping waits", code=error.code.code, detail=error.detail)
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)

    @property
    def _revocation_seconds(self) -> int:
        return self.tokens.life_seconds + _REVOCATION_MARGIN_SECONDS

    async def mark_over(self, session_id: str, seconds: int) -> None:
        """Refuses so long whatever stands as this session; an API key stands as one under its own id."""
        await self._cache.set(domain.revocation_key(session_id), b"1", ttl_seconds=seconds)

    async def _publish_revocation(self, session_id: str) -> None:
        await self.mark_over(session_id, self._revocation_seconds)

    def _response(self, person: Person, session_id: str, refresh: str) -> TokenResponse:
        access = self.tokens.issue(person, session_id)
        return TokenResponse(access, "Bearer", self.tokens.life_seconds, refresh)


def _new_refresh_token() -> str:
    return domain.refresh_token(secrets.token_urlsafe(32))


def _refuse_revoked(mark: bytes | None) -> None:
    if mark is not None:
        raise AuroraError(INVALID_CREDENTIALS, message="The session has ended, or the key was revoked")
