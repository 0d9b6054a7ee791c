"""Streams: one reader of JetStream for all sockets, what is stored for those that come back; and tickets.

A socket reads from a ring of the newest frames. One that was away for longer than the ring goes back reads what is
stored by itself, up to where the ring begins. One that falls out of the ring loses nothing: it resumes with `since`.
A ticket stands for the Authorization header once.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from services.gateway.streams import domain
from services.gateway.streams.domain import ALL, STREAMS, TOOL_CALLS, Position, Ring, Stream
from shared.bus import Bus, Delivered
from shared.cache import Cache
from shared.clock import utc_now
from shared.errors import INVALID_CREDENTIALS, AuroraError
from shared.identity import Principal
from shared.log import get_logger

TICKET_SECONDS = 30
#: Of each stream: at a thousand events a second the last ten seconds.
_FRAMES_KEPT = 10_000
_BYTES_KEPT = 16 * 1024 * 1024
#: Of one agent's tool calls, which are fewer and larger: some hundred.
_TOOL_CALL_BYTES_KEPT = 2 * 1024 * 1024
#: What one write to a socket holds at most.
_FRAMES_AT_ONCE = 128
_BYTES_AT_ONCE = 128 * 1024
_RETRY_SECONDS = 0.5
_log = get_logger("streams")


class Channel:
    """The newest frames of one stream, and whoever waits for the next."""

    def __init__(self, bytes_kept: int) -> None:
        self.ring = Ring(_FRAMES_KEPT, bytes_kept)
        self._news = asyncio.Event()

    def add(self, sequence: int, frame: bytes) -> None:
        """A new frame for everybody."""
        self.ring.add(sequence, frame)
        self._news.set()
        self._news = asyncio.Event()

    async def after(self, sequence: int) -> tuple[int, list[bytes]] | None:
        """The next frames and the sequence of the last, once there are some; None when some of them are gone."""
        while True:
            news = self._news
            found = self.ring.after(sequence, _FRAMES_AT_ONCE, _BYTES_AT_ONCE)
            if found is None or found[1]:
                return found
            await news.wait()


class Streams:
    """The events that streams show."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._channels = {stream: Channel(_BYTES_KEPT) for stream in STREAMS.values()}
        self._channels |= {stream: Channel(_TOOL_CALL_BYTES_KEPT) for stream in TOOL_CALLS.values()}
        self._following = asyncio.Event()

    async def follow(self) -> None:
        """Runs until cancelled: reads what comes, for all sockets of this process."""
        while True:
            try:
                _, last = await self._bus.bounds()
                break
            except AuroraError:
                await asyncio.sleep(_RETRY_SECONDS)
        for channel in self._channels.values():
            channel.ring.floor = last
        self._following.set()
        subjects = [subject for stream in ALL for subject in stream.subjects]
        async with aclosing(self._bus.read(subjects, since=last)) as events:
            async for event in events:
                stream = domain.stream_of(event.subject)
                frame = None if stream is None else _frame(stream, event)
                if stream is not None and frame is not None:
                    self._channels[stream].add(event.sequence, frame)

    async def position(self, requested: int | None) -> Position:
        """Where a client begins that has seen everything up to `requested`. Raises AURORA-5030 without NATS."""
        first, last = await self._bus.bounds()
        return domain.position(requested, first, last, utc_now())

    async def channel(self, stream: Stream) -> Channel:
        """The newest frames of a stream, once its floor is known."""
        await self._following.wait()
        return self._channels[stream]

    async def stored(self, stream: Stream, since: int, until: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The stored frames after `since` up to `until`, with their sequences."""
        async with aclosing(self._bus.stored(stream.subjects, since=since, until=until)) as events:
            async for event in events:
                frame = _frame(stream, event)
                if frame is not None:
                    yield event.sequence, frame


def _frame(stream: Stream, event: Delivered) -> bytes | None:
    try:
        return domain.frame(stream, event.sequence, event.payload)
    except (msgspec.DecodeError, KeyError):
        _log.warning("event can't be shown", subject=event.subject, sequence=event.sequence)
        return None


class Ticket(msgspec.Struct, array_like=True, frozen=True):
    """Whom a socket is for, and when it ends at the latest, in epoch seconds."""

    principal: Principal
    until: float


class Tickets:
    """Single-use tickets. Redis keeps only their hash, for half a minute."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def issue(self, principal: Principal, until: float) -> str:
        """A ticket for one handshake of this principal."""
        ticket = secrets.token_urlsafe(32)
        kept = msgspec.msgpack.encode(Ticket(principal, until))
        await self._cache.set(_key(ticket), kept, ttl_seconds=TICKET_SECONDS)
        return ticket

    async def redeem(self, ticket: str) -> Ticket:
        """What the ticket stands for; it is used up. Raises AURORA-4012 for an unknown, old or used one."""
        kept = await self._cache.take(_key(ticket))
        if kept is None:
            raise AuroraError(INVALID_CREDENTIALS)
        return msgspec.msgpack.decode(kept, type=Ticket)


def _key(ticket: str) -> str:
    return f"gateway:ticket:{hashlib.sha256(ticket.encode('utf-8', 'surrogatepass')).hexdigest()}"
