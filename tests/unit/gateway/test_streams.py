"""Where a client begins, and what a frame holds."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import orjson
import pytest

from services.gateway.streams.domain import STREAMS, Position, frame, position
from shared.contracts.system import WS_AGENT_THOUGHTS, WS_ALERTS

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
