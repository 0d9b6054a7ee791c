"""Streams: the frames of one client, from JetStream; and tickets, which stand for the Authorization header once.

Each client has its own reader of the stream, so one that falls behind holds nobody back and loses nothing: it resumes
with `since`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from services.gateway.streams import domain
from services.gateway.streams.domain import Position, Stream
from shared.bus import Bus
from shared.cache import Cache
from shared.clock import utc_now
from shared.errors import INVALID_CREDENTIALS, AuroraError
from shared.identity import Principal
from shared.log import get_logger

TICKET_SECONDS = 30
_log = get_logger("streams")


class Streams:
    """Reads the events that streams show."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def position(self, requested: int | None) -> Position:
        """Where a client begins that has seen everything up to `requested`. Raises AURORA-5030 without NATS."""
        first, last = await self._bus.bounds()
        return domain.position(requested, first, last, utc_now())

    async def frames(self, stream: Stream, start: Position) -> AsyncGenerator[bytes, None]:
        """Every frame from there on, for ever."""
        if start.gap is not None:
            yield start.gap
        async with aclosing(self._bus.read(stream.subjects, since=start.since)) as events:
            async for event in events:
                try:
                    yield domain.frame(stream, event.sequence, event.payload)
                except (msgspec.DecodeError, KeyError):
                    _log.warning("event can't be shown", subject=event.subject, sequence=event.sequence)


class Tickets:
    """Single-use tickets. Redis keeps only their hash, for half a minute."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def issue(self, principal: Principal) -> str:
        """A ticket for one handshake of this principal."""
        ticket = secrets.token_urlsafe(32)
        await self._cache.set(_key(ticket), msgspec.msgpack.encode(principal), ttl_seconds=TICKET_SECONDS)
        return ticket

    async def redeem(self, ticket: str) -> Principal:
        """Whose ticket it is; it is used up. Raises AURORA-4012 for an unknown, old or used one."""
        kept = await self._cache.take(_key(ticket))
        if kept is None:
            raise AuroraError(INVALID_CREDENTIALS)
        return msgspec.msgpack.decode(kept, type=Principal)


def _key(ticket: str) -> str:
    return f"gateway:ticket:{hashlib.sha256(ticket.encode('utf-8', 'surrogatepass')).hexdigest()}"
