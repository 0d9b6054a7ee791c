"""What a stream shows: which events, and how one becomes a frame. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from shared.contracts.agents import AGENT_THOUGHT
from shared.contracts.alerts import ALERT_CREATED, ALERT_UPDATED
from shared.contracts.constants import Endpoint, Topic
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import INVESTIGATION_COMPLETED
from shared.contracts.system import WS_AGENT_THOUGHTS, WS_ALERTS, WS_RECEIPTS, StreamFrame
from shared.contracts.wire import decode, encode

GAP = "aurora.stream.gap"


@dataclass(frozen=True, slots=True)
class Stream:
    """The topics of one WebSocket. `member` is the part of an event that is shown, "" for all of it."""

    topics: tuple[Topic[Any], ...]
    member: str = ""

    @property
    def subjects(self) -> list[str]:
        """The NATS subjects of the topics."""
        return [topic.name for topic in self.topics]


STREAMS: Mapping[Endpoint[Any, Any, Any], Stream] = {
    WS_ALERTS: Stream((ALERT_CREATED, ALERT_UPDATED), "alert"),
    WS_AGENT_THOUGHTS: Stream((AGENT_THOUGHT,)),
    WS_RECEIPTS: Stream((INVESTIGATION_COMPLETED,), "investigation"),
}


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
