"""From an event to its row: what the store must be able to read."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.siem.batch import StoredEvent
from services.siem.detections.engine.facts import folded
from services.siem.event import Event, View
from services.siem.logs.rows import HOISTED, encode_row, join_rows

NOW = datetime(2026, 3, 1, 12, 30, 0, 123000, tzinfo=UTC)


def decoded(event: Event) -> dict[str, object]:
    row = encode_row(StoredEvent("an-id", NOW, "here", event), receipt="a-receipt", part=3, row=7, forced_format="")
    result: dict[str, object] = orjson.loads(join_rows(42, [row]))
    return result


def test_a_row_holds_the_event_and_where_it_came_from() -> None:
    event = Event(NOW, "auditd", "a message", {"host.name": "web01", "process.pid": 7}, raw="raw text")
    event.views = [
        View("linux", "process_creation", ("auditd", "Sys log"), {"a0": "TEXT", "a1": "Decoded"}),
        View("windows", None, ("",), {}),
    ]
    row = decoded(event)
    assert orjson.loads(str(row.pop("ecs"))) == event.ecs
    assert row == {
        "batch": 42,
        "id": "an-id",
        "receipt": "a-receipt",
        "part": 3,
        "row": 7,
        "timestamp": "2026-03-01 12:30:00.123",
        "ingested_at": "2026-03-01 12:30:00.123",
        "source": "here",
        "format": "",
        "dataset": "auditd",
        "message": "a message",
        "raw": "raw text",
        "host_name": "web01",
        "process_pid": "7",
        "logsource": "|linux|process_creation|auditd|sys_log| |windows|||",
        "derived": "decoded",
    }


def test_a_hoisted_field_has_the_text_that_the_store_reads_out_of_json() -> None:
    row = decoded(Event(NOW, "d", "m", {"user.name": ["a", "b"], "process.pid": True, "source.ip": None}))
    assert (row["user_name"], row["process_pid"], row["source_ip"]) == ('["a","b"]', "true", "null")


def test_an_event_that_others_complete_has_no_log_source_to_be_left_out_by() -> None:
    event = Event(NOW, "auditd", "m", {}, [View("linux", None, ("auditd",), {})], apart=True)
    assert decoded(event)["logsource"] == ""


def test_a_time_that_cannot_be_stored_does_not_lose_the_event() -> None:
    row = decoded(Event(datetime(1, 1, 1, tzinfo=UTC), "d", "m", {}))
    assert row["timestamp"] == "1900-01-01 00:00:00.000"


def test_every_row_of_a_batch_is_one_line_with_the_batch_number() -> None:
    event = Event(NOW, "d", "two\nlines", {}, raw="a\nb")
    row = encode_row(StoredEvent("i", NOW, "s", event), receipt="r", part=0, row=0, forced_format="")
    lines = join_rows(9, [row, row, row]).split(b"\n")
    assert [orjson.loads(line)["batch"] for line in lines] == [9, 9, 9]


def test_hoisted_columns_have_the_names_of_their_fields() -> None:
    assert {column: name.replace(".", "_") for name, column in HOISTED.items()} == {
        column: column for column in HOISTED.values()
    }


@given(value=st.text(), wrapped=st.booleans())
def test_a_literal_of_a_views_value_is_found_in_the_raw_text_or_in_what_was_derived(value: str, wrapped: bool) -> None:
    raw = orjson.dumps({"field": value.encode("utf-8", "replace").decode()}).decode() if wrapped else "something else"
    row = decoded(Event(NOW, "d", raw, {}, [View(None, None, (), {"field": [value]})], raw))
    letters = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in folded(value)).split()
    searched = f"{row['raw']}\n{row.get('derived', '')}\n{row['message']}".lower()
    assert [literal for literal in letters if literal not in searched] == []
