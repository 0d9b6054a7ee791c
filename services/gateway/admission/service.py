"""Counts requests and sign-ins through Redis, so that every replica counts together.

Limits on requests are for fairness, not for safety: without Redis they let everything pass. The throttle of sign-ins
is for safety: without Redis nobody signs in (AURORA-5030).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from services.gateway.admission.domain import WINDOW_SECONDS, Quota, address_key
from shared.cache import Cache
from shared.errors import INSUFFICIENT_PERMISSIONS, INVALID_CREDENTIALS, RATE_LIMITED, AuroraError
from shared.identity import Principal
from shared.log import get_logger

_log = get_logger("admission")


class Liveness(Protocol):
    """What admission asks of sessions. Both raise AURORA-4012 for an ended session, 5030 when that can't be known."""

    async def require_alive(self, principal: Principal) -> None: ...
    async def count_if_alive(self, principal: Principal, counter: str, window_seconds: int) -> tuple[int, int]: ...


class Journal(Protocol):
    """What admission asks of the audit log."""

    async def record(
        self,
        action: str,
        *,
        actor: str | None,
        outcome: Literal["success", "failure", "denied"],
        target: str | None = None,
        detail: Mapping[str, object] | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Refusals:
    """Has it kept who was refused for what they may not do, and who showed a credential that isn't one."""

    journal: Journal

    async def note(self, refusal: AuroraError, caller: Principal | None, endpoint: str) -> None:
        """Called with each refusal of an endpoint. Other codes are no matter of identity."""
        if refusal.code is INSUFFICIENT_PERMISSIONS:
            actor = None if caller is None or not caller.permissions else caller.id
            detail = refusal.detail if isinstance(refusal.detail, Mapping) else None
            await self.journal.record(
                "permission.denied", actor=actor, outcome="denied", target=endpoint, detail=detail
            )
        elif refusal.code is INVALID_CREDENTIALS and caller is None:
            await self.journal.record("authentication.failed", actor=None, outcome="failure", target=endpoint)


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests per minute of one principal, or of one address without one."""

    cache: Cache
    sessions: Liveness
    requests_per_minute: int

    async def count_address(self, address: str) -> Quota | None:
        """Counts a request of nobody known; None when that can't be done."""
        try:
            counted = await self.cache.increment(_counter(address_key(address)), ttl_seconds=WINDOW_SECONDS)
        except AuroraError:
            _log.warning("requests aren't counted")
            return None
        return Quota(self.requests_per_minute, *counted)

    async def count_principal(self, principal: Principal) -> Quota:
        """Counts a request and checks the session in one round trip. Raises AURORA-4012 and 5030, as Liveness does."""
        counted = await self.sessions.count_if_alive(principal, _counter(principal.id), WINDOW_SECONDS)
        return Quota(self.requests_per_minute, *counted)


def _counter(caller: str) -> str:
    return f"gateway:requests:{caller}"


@dataclass(frozen=True, slots=True)
class SignInThrottle:
    """Failed attempts to sign in. Each is counted before the password is looked at, so that a burst in parallel counts
    too, and taken back when it succeeds.

    `per_minute` bounds one account from one address. One address may fail three times that over all accounts, and an
    account ten times that from everywhere, so that nobody locks somebody else out from one address.
    """

    cache: Cache
    per_minute: int

    async def attempt(self, account: str, address: str) -> None:
        """Raises AURORA-4290 for an attempt too many, AURORA-5030 when attempts can't be counted."""
        for key, limit in self._counters(account, address):
            used, resets_in = await self.cache.increment(key, ttl_seconds=WINDOW_SECONDS)
            if used > limit:
                raise AuroraError(RATE_LIMITED, message="Too many failed sign-ins", retry_after=resets_in)

    async def succeeded(self, account: str, address: str) -> None:
        """Takes the attempt back."""
        for key, _ in self._counters(account, address):
            await self.cache.decrement(key, ttl_seconds=WINDOW_SECONDS)

    def _counters(self, account: str, address: str) -> tuple[tuple[str, int], ...]:
        place = address_key(address)
        who = hashlib.sha256(account.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return (
            (f"gateway:sign-in:{who}:{place}", self.per_minute),
            (f"gateway:sign-in:from:{place}", 3 * self.per_minute),
            (f"gateway:sign-in:to:{who}", 10 * self.per_minute),
        )
