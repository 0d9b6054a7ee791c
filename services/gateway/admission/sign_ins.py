"""Holds guessing of passwords back, ever longer. Every process counts together, through Redis.

Without Redis nobody signs in (AURORA-5030): no request of theirs could be answered anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from services.gateway.admission.domain import WINDOW_SECONDS, address_key
from shared.cache import Cache
from shared.errors import RATE_LIMITED, AuroraError

_LONGEST_SECONDS = 15 * 60
#: So long it is remembered how often a limit was passed, in seconds.
_REMEMBERED = 24 * 3600


def window_seconds(times_passed: int) -> int:
    """How long the next window lasts when its limit was passed so often: doubling from a minute to 15."""
    return min(WINDOW_SECONDS << min(times_passed, 10), _LONGEST_SECONDS)


@dataclass(frozen=True, slots=True)
class _Counter:
    key: str
    limit: int
    grows: bool


@dataclass(frozen=True, slots=True)
class SignInThrottle:
    """Failed attempts to sign in. Each is counted before the password is looked at, so that a burst in parallel counts
    too, and taken back when it succeeds.

    `per_minute` bounds one account from one address. One address may fail three times that over all accounts; for both
    each window that is passed makes the next twice as long. An account may fail ten times that from everywhere, always
    within a minute, so that nobody locks somebody else out.
    """

    cache: Cache
    per_minute: Callable[[], int]

    async def attempt(self, account: str, address: str) -> None:
        """Raises AURORA-4290 for an attempt too many, AURORA-5030 when attempts can't be counted."""
        for counter in self._counters(account, address):
            window = WINDOW_SECONDS
            if counter.grows:
                window = window_seconds(int(await self.cache.get(_passed(counter)) or 0))
            used, resets_in = await self.cache.increment(counter.key, ttl_seconds=window)
            if used <= counter.limit:
                continue
            if counter.grows and used == counter.limit + 1:
                await self.cache.increment(_passed(counter), ttl_seconds=_REMEMBERED)
            raise AuroraError(RATE_LIMITED, message="Too many failed sign-ins", retry_after=resets_in)

    async def succeeded(self, account: str, address: str) -> None:
        """Takes the attempt back, and forgets how often this account was guessed at from there."""
        counters = self._counters(account, address)
        for counter in counters:
            await self.cache.decrement(counter.key, ttl_seconds=WINDOW_SECONDS)
        await self.cache.delete(_passed(counters[0]))

    def _counters(self, account: str, address: str) -> tuple[_Counter, ...]:
        place, per_minute = address_key(address), self.per_minute()
        who = hashlib.sha256(account.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return (
            _Counter(f"gateway:sign-in:{who}:{place}", per_minute, grows=True),
            _Counter(f"gateway:sign-in:from:{place}", 3 * per_minute, grows=True),
            _Counter(f"gateway:sign-in:to:{who}", 10 * per_minute, grows=False),
        )


def _passed(counter: _Counter) -> str:
    return counter.key.replace("gateway:sign-in:", "gateway:sign-in-passed:")
