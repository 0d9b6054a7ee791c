"""Sessions: sign in, refresh, sign out, and whose request this is.

An access token is checked by its signature, remembered until it expires, and on every request looked up in the list
of revoked sessions. Who can't be asked is not assumed to say yes: without Redis nobody is let in (AURORA-5030).
The rows in Postgres are the truth; what Redis holds is written anew from them, should it lose its memory.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from services.gateway.journal import Journal
from services.gateway.sessions import domain
from services.gateway.sessions.domain import NewSession, Person, RevocationReason
from services.gateway.sessions.store import SessionStore
from services.gateway.sessions.tokens import AccessTokens
from shared.cache import Cache
from shared.clock import new_id, utc_now
from shared.contracts.identity import TokenResponse
from shared.contracts.users import OwnSession
from shared.errors import INVALID_CREDENTIALS, NOT_FOUND, RATE_LIMITED, TOKEN_EXPIRED, AuroraError
from shared.identity import Principal
from shared.log import get_logger
from shared.postgres import Connection

Somebody = TypeVar("Somebody")
_KEEP_EXPIRED = timedelta(days=1)
#: So many of a user's sessions are shown at most, the newest.
_LISTED = 200
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


class Sessions:
    """The use-cases of sessions."""

    def __init__(
        self,
        store: SessionStore,
        cache: Cache,
        tokens: AccessTokens,
        people: People,
        throttle: Throttle,
        journal: Journal,
        *,
        refresh_seconds: int,
    ) -> None:
        self._store = store
        self._cache = cache
        self.tokens = tokens
        self._people = people
        self._throttle = throttle
        self._journal = journal
        self._refresh_life = timedelta(seconds=refresh_seconds)

    async def sign_in(self, username: str, password: str, address: str) -> TokenResponse:
        """A new session. Raises AURORA-4012 and AURORA-4290; either is logged with account and address."""
        person = await self.proven(username, address, lambda: self._people.check_password(username, password))
        return await self.open_for(person, how="password", address=address)

    async def proven(self, account: str, address: str, check: Callable[[], Awaitable[Somebody]]) -> Somebody:
        """Whom `check` finds. Attempts are counted; what it refuses is logged and recorded.

        Raises AURORA-4290 for an attempt too many, and whatever `check` raises.
        """
        try:
            await self._throttle.attempt(account, address)
            person = await check()
            await self._throttle.succeeded(account, address)
        except AuroraError as error:
            _log.warning("sign-in refused", account=account, address=address, code=error.code.code)
            action = "session.throttled" if error.code is RATE_LIMITED else "session.failed"
            detail = {"code": error.code.code}
            await self._journal.record(
                action, actor=None, outcome="failure", target=account, address=address, detail=detail
            )
            raise
        return person

    async def open_for(self, person: Person, *, how: str, address: str | None) -> TokenResponse:
        """A new session for a program whose user has proved who they are, in the way that `how` names.

        Raises AURORA-4012 when the account was disabled or deleted meanwhile, or may not sign in (api_service).
        """
        refresh = _new_refresh_token()
        session_id, member = await self.begin(person, how, address, refresh_hash=domain.token_hash(refresh))
        return self._response(member, session_id, refresh)

    async def begin(
        self,
        person: Person,
        how: str,
        address: str | None,
        *,
        refresh_hash: bytes | None = None,
        cookie_hash: bytes | None = None,
    ) -> tuple[str, Person]:
        """Stores a session under the hash of what its owner will present; its id, and its user as of now."""
        session_id, now = new_id(), utc_now()
        expires_at = now + self._refresh_life
        new = NewSession(session_id, person.id, how, address, now, expires_at, refresh_hash, cookie_hash)
        member = await self._store.start(new)
        if member is None:
            raise AuroraError(INVALID_CREDENTIALS)
        await self._people.signed_in(member.id)
        await self._journal.record(
            "session.created",
            actor=member.id,
            outcome="success",
            target=session_id,
            address=address,
            detail={"how": how},
        )
        _log.info("signed in", account=member.username, how=how, address=address, session=session_id)
        return session_id, member

    async def refresh(self, token: str, address: str) -> TokenResponse:
        """New tokens for a refresh token, which is used up by it.

        Raises AURORA-4011 when its session has expired, 4012 when it is unknown, revoked, or used before.
        """
        fresh, now = _new_refresh_token(), utc_now()
        rotation = await self._store.rotate(
            domain.token_hash(token), domain.token_hash(fresh), now, now + self._refresh_life
        )
        if rotation.outcome == "reused":
            await self._publish_revocation(rotation.session_id)
            await self._journal.record(
                "session.refresh_reused",
                actor=rotation.user_id,
                outcome="denied",
                target=rotation.session_id,
                address=address,
            )
        if rotation.outcome != "rotated":
            _log.warning("refresh refused", reason=rotation.outcome, session=rotation.session_id, address=address)
            raise AuroraError(TOKEN_EXPIRED if rotation.outcome == "expired" else INVALID_CREDENTIALS)
        person = await self._people.active(rotation.user_id)
        if person is None:
            raise AuroraError(INVALID_CREDENTIALS)
        return self._response(person, rotation.session_id, fresh)

    async def sign_out(self, user_id: str, session_id: str) -> None:
        """Ends the session at once. Raises AURORA-5030 when that can't be made known; then it may be asked again."""
        await self._store.revoke(session_id, "logout", utc_now())
        await self._publish_revocation(session_id)
        await self._journal.record("session.ended", actor=user_id, outcome="success", target=session_id)
        _log.info("signed out", session=session_id)

    async def sign_out_everywhere(self, user_id: str) -> None:
        """Ends every session of the user at once. Raises AURORA-5030 as `sign_out` does."""
        ended = await self._store.revoke_all(user_id, "logout", utc_now())
        await self.publish(ended)
        await self._journal.record("session.ended", actor=user_id, outcome="success", detail={"sessions": len(ended)})
        _log.info("signed out everywhere", by=user_id, sessions=len(ended))

    async def listed(self, principal: Principal) -> list[OwnSession]:
        """The caller's sessions that live, newest first."""
        return [
            OwnSession(
                id=session.id,
                how=session.how,
                address=session.address,
                browser=session.browser,
                current=session.id == principal.session_id,
                created_at=session.created_at,
                expires_at=session.expires_at,
            )
            for session in await self._store.living(principal.id, utc_now(), _LISTED)
        ]

    async def end_own(self, principal: Principal, session_id: str) -> None:
        """Ends one of the caller's sessions. Raises AURORA-4040 when there is no such session of theirs."""
        identifier = domain.parse_session_id(session_id)
        if identifier is None or not await self._store.revoke_of(
            principal.id, identifier, "ended by its user", utc_now()
        ):
            raise AuroraError(NOT_FOUND)
        await self._publish_revocation(identifier)
        await self._journal.record("session.ended", actor=principal.id, outcome="success", target=identifier)
        _log.info("session ended", session=identifier, by=principal.id)

    async def end_all_in(
        self, connection: Connection, user_id: str, reason: RevocationReason, *, keep: str | None = None
    ) -> list[str]:
        """Marks the user's sessions as over, but for `keep`, in the caller's transaction; give them to `publish`."""
        return await self._store.revoke_all_in(connection, user_id, reason, utc_now(), keep=keep)

    async def publish(self, ended: Sequence[str]) -> None:
        """Makes it known to every process. Raises AURORA-5030; the next housekeeping then makes it known."""
        marks = [domain.revocation_key(session_id) for session_id in ended]
        await self._cache.set_all(marks, b"1", ttl_seconds=self._revocation_seconds)

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
                since = now - timedelta(seconds=self._revocation_seconds)
                await self.publish(await self._store.revoked_since(since))
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
