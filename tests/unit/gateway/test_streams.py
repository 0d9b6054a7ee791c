"""Where a client begins, and what a frame holds."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.streams.domain import STREAMS, Position, Ring, frame, position, stream_at, stream_of
from shared.contracts.agents import AGENT_IDS
from shared.contracts.fleet import MCP_CALLER, WS_AGENT_TOOL_CALLS
from shared.contracts.system import WS_AGENT_THOUGHTS, WS_ALERTS
from shared.errors import AGENT_NOT_FOUND, AuroraError

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)


def event(data: object, kind: str = "aurora.alerts.created") -> bytes:
    head = {"specversion": "1.0", "id": "1", "source": "/aurora/siem", "type": kind, "time": "2026-06-14T12:00:00Z"}
    return orjson.dumps({**head, "data": data})


def test_a_client_that_asks_for_nothing_gets_what_comes() -> None:
    assert position(None, first=5, last=9, now=NOW) == Position(9)


@pytest.mark.parametrize("requested", [4, 5, 8, 9])
def test_a_client_resumes_where_everything_is_still_kept(requested: int) -> None:
    assert position(requested, first=5, last=9, now=NOW) == Position(requested)


@pytest.mark.parametrize("requested", [0, 3, 10, 100])
def test_a_gap_is_told_and_what_is_kept_follows(requested: int) -> None:
    start = position(requested, first=5, last=9, now=NOW)
    assert start.since == 4
    assert orjson.loads(start.gap or b"") == {
        "sequence": 4,
        "type": "aurora.stream.gap",
        "time": "2026-06-14T12:00:00.000Z",
        "data": {"requested": requested, "first_available": 5},
    }


def test_an_empty_stream_has_no_gap() -> None:
    assert position(0, first=1, last=0, now=NOW) == Position(0)
    assert position(None, first=1, last=0, now=NOW) == Position(0)


def test_the_part_of_an_event_that_is_shown_is_not_rewritten() -> None:
    shown = frame(STREAMS[WS_ALERTS], 7, event({"alert": {"b": 1.0, "a": "<script>"}, "changed": []}))
    assert shown == (
        b'{"sequence":7,"type":"aurora.alerts.created","time":"2026-06-14T12:00:00.000Z",'
        b'"data":{"b":1.0,"a":"<script>"}}'
    )
    thought = frame(STREAMS[WS_AGENT_THOUGHTS], 7, event({"text": "hm"}, "aurora.agents.thoughts"))
    assert orjson.loads(thought)["data"] == {"text": "hm"}


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", event([]), event({}), event("text")])
def test_an_event_of_another_shape_is_no_frame(payload: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, KeyError)):
        frame(STREAMS[WS_ALERTS], 7, payload)


def ring_of(*sequences: int, frames: int = 100, size: int = 10_000) -> Ring:
    ring = Ring(frames, size, floor=10)
    for sequence in sequences:
        ring.add(sequence, b"%d" % sequence)
    return ring


def test_a_ring_gives_what_came_after_a_sequence() -> None:
    ring = ring_of(11, 14, 19)
    assert ring.after(10, 9, 999) == (19, [b"11", b"14", b"19"])
    assert ring.after(12, 9, 999) == (19, [b"14", b"19"])
    assert ring.after(14, 9, 999) == (19, [b"19"])
    assert ring.after(19, 9, 999) == (19, [])
    assert ring.after(50, 9, 999) == (50, [])


def test_a_ring_gives_no_more_at_once_than_was_asked_for() -> None:
    ring = ring_of(*range(11, 31))
    assert ring.after(10, 3, 999) == (13, [b"11", b"12", b"13"])
    assert ring.after(10, 9, 4) == (12, [b"11", b"12"])
    assert ring.after(10, 9, 1) == (11, [b"11"])


def test_a_ring_says_when_something_is_gone() -> None:
    assert ring_of(11).after(9, 9, 999) is None
    for ring in (ring_of(*range(11, 2000), frames=16), ring_of(*range(11, 2000), size=60)):
        assert ring.floor > 1900
        assert ring.after(ring.floor - 1, 9, 999) is None
        assert ring.after(ring.floor, 1, 999) == (ring.floor + 1, [b"%d" % (ring.floor + 1)])


@given(st.lists(st.integers(1, 3), max_size=300), st.integers(1, 40), st.integers(1, 200), st.integers(0, 20))
def test_whoever_reads_a_ring_misses_nothing_unsaid(steps: list[int], frames: int, size: int, every: int) -> None:
    ring, stored, seen, since, last = Ring(frames, size), [], [], 0, 0
    for number, step in enumerate(steps):
        last += step
        stored.append(last)
        ring.add(last, b"%d" % last)
        if number % (every + 1) == 0:
            found = ring.after(since, 7, 50)
            if found is None:
                seen += [sequence for sequence in stored if since < sequence <= ring.floor]
                since = ring.floor
            else:
                since = found[0]
                seen += [int(frame) for frame in found[1]]
    assert seen == [sequence for sequence in stored if sequence <= since]


def test_each_subject_is_shown_by_its_stream() -> None:
    assert stream_of("aurora.alerts.updated") is STREAMS[WS_ALERTS]
    assert stream_of("aurora.agents.triage.thoughts") is STREAMS[WS_AGENT_THOUGHTS]
    for other in ("aurora.agents.thoughts", "aurora.agents.a.b.thoughts", "aurora.alerts", "aurora.audit.recorded", ""):
        assert stream_of(other) is None


def test_each_agent_has_a_stream_of_its_tool_calls() -> None:
    for agent in (*AGENT_IDS, MCP_CALLER):
        stream = stream_at(WS_AGENT_TOOL_CALLS, {"agent_id": agent})
        assert stream.subjects == [f"aurora.agents.{agent}.tool-calls"]
        assert stream_of(stream.subjects[0]) is stream
    assert stream_at(WS_ALERTS, {}) is STREAMS[WS_ALERTS]


def test_the_tool_calls_of_an_agent_that_nobody_knows_are_not_found() -> None:
    with pytest.raises(AuroraError) as refusal:
        stream_at(WS_AGENT_TOOL_CALLS, {"agent_id": "nobody"})
    assert refusal.value.code is AGENT_NOT_FOUND
    assert stream_of("aurora.agents.nobody.tool-calls") is None
