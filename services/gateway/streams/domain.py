"""What a stream shows: which events, how one becomes a frame, and the newest frames, kept for all sockets. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from shared.contracts.agents import AGENT_THOUGHT
from shared.contracts.alerts import ALERT_CREATED, ALERT_UPDATED
from shared.contracts.constants import Endpoint, Topic
from shared.contracts.events import CloudEvent
from shared.contracts.fleet import TOOL_CALLED, TOOL_CALLERS, WS_AGENT_TOOL_CALLS
from shared.contracts.investigations import INVESTIGATION_COMPLETED
from shared.contracts.system import WS_AGENT_THOUGHTS, WS_ALERTS, WS_RECEIPTS, StreamFrame
from shared.contracts.wire import decode, encode
from shared.errors import AGENT_NOT_FOUND, AuroraError

GAP = "aurora.stream.gap"


@dataclass(frozen=True, slots=True)
class Stream:
    """The topics of one WebSocket. `member` is the part of an event that is shown, "" for all of it; `tokens` are the
    topics' for a stream of some of their events."""

    topics: tuple[Topic[Any], ...]
    member: str = ""
    tokens: tuple[str, ...] = ()

    @property
    def subjects(self) -> list[str]:
        """The NATS subjects of the topics."""
        return [topic.subject(*self.tokens) if self.tokens else topic.name for topic in self.topics]


STREAMS: Mapping[Endpoint[Any, Any, Any], Stream] = {
    WS_ALERTS: Stream((ALERT_CREATED, ALERT_UPDATED), "alert"),
    WS_AGENT_THOUGHTS: Stream((AGENT_THOUGHT,)),
    WS_RECEIPTS: Stream((INVESTIGATION_COMPLETED,), "investigation"),
}
#: Of each agent its own: who watches one isn't sent what all the others read.
TOOL_CALLS: Mapping[str, Stream] = {agent: Stream((TOOL_CALLED,), tokens=(agent,)) for agent in TOOL_CALLERS}
ALL = (*STREAMS.values(), *TOOL_CALLS.values())


def stream_at(endpoint: Endpoint[Any, Any, Any], path: Mapping[str, str]) -> Stream:
    """What a WebSocket shows. Raises AURORA-4043 for an unknown agent."""
    if endpoint is not WS_AGENT_TOOL_CALLS:
        return STREAMS[endpoint]
    stream = TOOL_CALLS.get(path["agent_id"])
    if stream is None:
        raise AuroraError(AGENT_NOT_FOUND, {"agent": path["agent_id"], "agents": list(TOOL_CALLS)})
    return stream


def frame(stream: Stream, sequence: int, payload: bytes) -> bytes:
    """The frame that shows an event. Raises msgspec.DecodeError or KeyError for one that isn't of the stream."""
    event = decode(payload, CloudEvent)
    data = event.data
    if stream.member:
        data = decode(bytes(data), dict[str, msgspec.Raw])[stream.member]
    return encode(StreamFrame(sequence, event.type, event.time, data))


@dataclass(frozen=True, slots=True)
class Position:
    """Where a client begins: after `since`. `gap` is the first frame when what it asked for is no longer kept."""

    since: int
    gap: bytes | None = None


def position(requested: int | None, first: int, last: int, now: datetime) -> Position:
    """Where to begin when the stream keeps `first` to `last`.

    A client that asks for nothing gets what comes from now on. One that asks for more than there ever was has known
    another stream: that is a gap too, and it gets all that is kept.
    """
    if requested is None:
        return Position(last)
    if first <= requested + 1 <= last + 1:
        return Position(requested)
    told = {"requested": requested, "first_available": first}
    return Position(first - 1, encode(StreamFrame(first - 1, GAP, now, told)))


def stream_of(subject: str) -> Stream | None:
    """The stream that shows the events of a NATS subject."""
    for stream in ALL:
        if any(_matches(pattern, subject) for pattern in stream.subjects):
            return stream
    return None


def _matches(pattern: str, subject: str) -> bool:
    wanted, found = pattern.split("."), subject.split(".")
    return len(wanted) == len(found) and all(a in ("*", b) for a, b in zip(wanted, found, strict=True))


@dataclass(slots=True)
class Ring:
    """The newest frames of one stream: every one after the sequence `floor`, none before it."""

    frames_kept: int
    bytes_kept: int
    floor: int = 0
    _sequences: list[int] = field(default_factory=list)
    _frames: list[bytes] = field(default_factory=list)
    _bytes: int = 0

    def add(self, sequence: int, frame: bytes) -> None:
        """Adds the next frame. The oldest go in batches, so that one more costs nothing."""
        self._sequences.append(sequence)
        self._frames.append(frame)
        self._bytes += len(frame)
        if len(self._frames) > self.frames_kept or self._bytes > self.bytes_kept:
            self._drop(max(1, len(self._frames) // 8))

    def _drop(self, count: int) -> None:
        self.floor = self._sequences[count - 1]
        self._bytes -= sum(map(len, self._frames[:count]))
        del self._sequences[:count], self._frames[:count]

    def after(self, sequence: int, frames: int, size: int) -> tuple[int, list[bytes]] | None:
        """The frames after a sequence, at most so many and of about so many bytes, and the sequence of the last.

        None when some of them are gone.
        """
        if sequence < self.floor:
            return None
        start = bisect_right(self._sequences, sequence)
        taken: list[bytes] = []
        for frame in self._frames[start : start + frames]:
            taken.append(frame)
            size -= len(frame)
            if size <= 0:
                break
        return (self._sequences[start + len(taken) - 1] if taken else sequence), taken
