"""Log files by look, in batches, with the place of each item."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import logfiles
from cli.logfiles import Batch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "some.log"


def batches(file: Path, skip: int = 0) -> list[Batch]:
    with file.open("rb") as stream:
        return list(logfiles.batches(stream, skip))


def the_batch(file: Path) -> Batch:
    [batch] = batches(file)
    return batch


def test_lines_of_text_keep_their_numbers_and_blank_ones_are_left_out(file: Path) -> None:
    file.write_bytes(b"one\r\n\n  \ntwo\nthree")
    batch = the_batch(file)
    assert (batch.look, batch.items, batch.places) == ("text", [b"one", b"two", b"three"], [1, 4, 5])
    assert batch.body() == b"one\ntwo\nthree"


def test_one_json_object_a_line_is_ndjson_also_where_a_later_line_is_broken(file: Path) -> None:
    file.write_bytes(b'{"a": 1}\n{"b": \n{"c": 3}\n')
    batch = the_batch(file)
    assert (batch.look, batch.places) == ("ndjson", [1, 2, 3])


def test_an_array_is_sent_item_by_item_as_it_was_written(file: Path) -> None:
    file.write_bytes(b' [\n {"a":  1.50},\n "text", 3]\n')
    batch = the_batch(file)
    assert (batch.look, batch.items, batch.places) == ("json", [b'{"a":  1.50}', b'"text"', b"3"], [1, 2, 3])
    assert json.loads(batch.body()) == [{"a": 1.5}, "text", 3]


def test_a_json_document_over_several_lines_is_one_item(file: Path) -> None:
    file.write_bytes(b'{\n  "a": [1,\n 2]\n}\n')
    batch = the_batch(file)
    assert (batch.look, json.loads(batch.body())) == ("json", [{"a": [1, 2]}])


@pytest.mark.parametrize("text", [b"[ 12.5] usb 1-1: new device\n[ 12.6] more\n", b"{ not json\nsecond\n"])
def test_text_that_begins_with_a_bracket_is_text(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    batch = the_batch(file)
    assert (batch.look, batch.places) == ("text", [1, 2])
    assert batch.body() == text.strip()


def test_a_byte_order_mark_does_not_hide_json(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + b'[{"a": 1}]')
    assert the_batch(file).items == [b'{"a": 1}']


def test_an_empty_file_has_no_batches(file: Path) -> None:
    file.write_bytes(b"\n\n")
    assert batches(file) == []


def test_batches_are_bounded_and_hold_everything_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "BATCH_ITEMS", 3)
    file.write_text("".join(f"line {number}\n" for number in range(10)))
    made = batches(file)
    assert [len(batch.items) for batch in made] == [3, 3, 3, 1]
    assert b"\n".join(batch.body() for batch in made) == file.read_bytes().strip()
    assert sum(batch.size for batch in made) == file.stat().st_size


def test_the_records_of_one_audit_event_travel_together(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "BATCH_ITEMS", 2)
    monkeypatch.setattr(logfiles, "_LONGEST_EVENT", 4)
    records = [f"type=X msg=audit(1.{serial}:{serial}): a" for serial in (1, 2, 2, 2, 3)]
    records += ["type=Y msg=audit(9.0:9): endless"] * 10
    file.write_text("\n".join(records))
    made = batches(file)
    assert [len(batch.items) for batch in made] == [4, 6, 5]


def test_what_was_sent_before_is_left_out_and_the_batches_after_it_are_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "BATCH_ITEMS", 3)
    file.write_text("".join(f"line {number}\n" for number in range(10)))
    assert [batch.places for batch in batches(file, 6)] == [batch.places for batch in batches(file)][2:]
    assert batches(file, 10) == batches(file, 99) == []


def test_a_line_that_would_fill_the_memory_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "MAX_LINE", 100)
    file.write_bytes(b"short\n" + b"x" * 101 + b"\n")
    with pytest.raises(logfiles.TooLongError):
        batches(file)
    file.write_bytes(b"[\n" + b" " * 200 + b"]")
    with pytest.raises(logfiles.TooLongError):
        batches(file)
