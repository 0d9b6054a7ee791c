"""Counts requests and sign-ins through Redis, so that every replica counts together.

Limits on requests are for fairness: without Redis each process counts for itself. Whether a session has ended is for
safety, as is the throttle of sign-ins: without Redis the answer is AURORA-5030.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from services.gateway.admission.domain import (
    WINDOW_SECONDS,
    LimitName,
    LocalCounters,
    Quota,
    Rates,
    address_key,
    rate_of,
)
from services.gateway.journal import Journal
from shared.cache import Cache
from shared.errors import INSUFFICIENT_PERMISSIONS, INVALID_CREDENTIALS, AuroraError
from shared.identity import Principal
from shared.log import get_logger

#: How long a process counts alone before it asks Redis again: a request must not wait for each time-out.
_ASK_AGAIN_SECONDS = 1.0
_log = get_logger("admission")


class Liveness(Protocol):
    """What admission asks of sessions. Both raise AURORA-4012 for an ended session, 5030 when that can't be known."""

    async def require_alive(self, principal: Principal) -> None: ...
    async def count_if_alive(self, principal: Principal, counter: str, window_seconds: int) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Refusals:
    """Has it kept who was refused for what they may not do, and who showed a credential that isn't one."""

    journal: Journal

    async def note(self, refusal: AuroraError, endpoint: str, actor: str | None, *, admitted: bool) -> None:
        """Called with each refusal of an endpoint, before the caller was admitted or after. Most codes are no matter of
        identity."""
        if refusal.code is INSUFFICIENT_PERMISSIONS:
            detail = refusal.detail if isinstance(refusal.detail, Mapping) else None
            await self.journal.record(
                "permission.denied", actor=actor, outcome="denied", target=endpoint, detail=detail
            )
        elif refusal.code is INVALID_CREDENTIALS and not admitted:
            await self.journal.record("authentication.failed", actor=actor, outcome="failure", target=endpoint)


class Limits:
    """Requests per minute of one principal, or of one address without one. `rates` is asked for each request."""

    def __init__(self, cache: Cache, sessions: Liveness, rates: Callable[[], Rates]) -> None:
        self.sessions = sessions
        self._cache = cache
        self._rates = rates
        self._local = LocalCounters()
        self._away_until = 0.0

    async def count_address(self, address: str, name: LimitName) -> Quota:
        """Counts a request of nobody known, in this process alone while Redis doesn't answer."""
        key, now = _counter(name, address_key(address)), time.monotonic()
        if now >= self._away_until:
            try:
                return self._quota(name, await self._cache.increment(key, ttl_seconds=WINDOW_SECONDS))
            except AuroraError:
                _log.warning("requests are counted by this process alone")
                self._away_until = time.monotonic() + _ASK_AGAIN_SECONDS
        return self._quota(name, self._local.count(key, now))

    async def count_principal(self, principal: Principal, name: LimitName) -> Quota:
        """Counts a request and checks the session in one round trip. Raises AURORA-4012 and 5030, as Liveness does."""
        counter = _counter(name, principal.id)
        return self._quota(name, await self.sessions.count_if_alive(principal, counter, WINDOW_SECONDS))

    def _quota(self, name: LimitName, counted: tuple[int, int]) -> Quota:
        return Quota(rate_of(name, self._rates()), *counted, name)


def _counter(name: LimitName, caller: str) -> str:
    return f"gateway:requests:{name}:{caller}"
