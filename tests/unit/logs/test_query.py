"""The search language: what is a field, what is a word, what can't be read."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.logs.domain import (
    EARLIEST,
    LATEST,
    MAX_TERMS,
    Position,
    Term,
    decode_cursor,
    encode_cursor,
    parse_query,
    within_range,
)
from shared.contracts.logs import log_term
from shared.errors import VALIDATION, AuroraError


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        ("  curl   wget ", [Term(None, ("curl",)), Term(None, ("wget",))]),
        ("user.name:root", [Term("user.name", ("root",))]),
        ("user.name:ro*t", [Term("user.name", ("ro", "t"))]),
        ("user.name:*", [Term("user.name", ("", ""))]),
        ('process.command_line:"curl * sh"', [Term("process.command_line", ("curl ", " sh"))]),
        ('"two words"', [Term(None, ("two words",))]),
        (r'message:"say \"hi\""', [Term("message", ('say "hi"',))]),
        (r"file.path:C:\Windows\System32\*", [Term("file.path", (r"C:\Windows\System32*",))]),
        (r"file.path:C:\Windows\\*", [Term("file.path", ("C:\\Windows\\", ""))]),
        (r"a\*b", [Term(None, ("a*b",))]),
        ("file.path:/etc/shadow", [Term("file.path", ("/etc/shadow",))]),
        ("https://example.org/a?b=c", [Term(None, ("https://example.org/a?b=c",))]),
        (r"C:\Windows", [Term(None, (r"C:\Windows",))]),
        ("fe80::1", [Term(None, ("fe80::1",))]),
        ("source.ip:fe80::1", [Term("source.ip", ("fe80::1",))]),
        ("12:30:00", [Term(None, ("12:30:00",))]),
        ("id:0190-abc", [Term("id", ("0190-abc",))]),
        ('host.name:""', [Term("host.name", ("",))]),
    ],
)
def test_a_search_is_read_as_its_terms(text: str, terms: list[Term]) -> None:
    assert parse_query(text) == terms


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("user.name:", "user.name needs a value"),
        ("user.name: root", "user.name needs a value"),
        ('"open', "quote at character 1"),
        ('a "b"c', "quote at character 3"),
        ('a"b"', "quote at character 2"),
        (" ".join(["x"] * (MAX_TERMS + 1)), f"at most {MAX_TERMS} terms"),
    ],
)
def test_a_search_that_cannot_be_read_says_where(text: str, complaint: str) -> None:
    with pytest.raises(AuroraError) as refused:
        parse_query(text)
    assert refused.value.code is VALIDATION
    [problem] = refused.value.detail
    assert problem["path"] == "query.q"
    assert complaint in problem["message"]


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(AuroraError):
        assert all(term.pieces for term in parse_query(text))


@given(st.sampled_from(["user.name", "id", "message"]), st.text(max_size=100))
def test_a_written_term_is_read_as_the_value_it_was_written_from(field: str, value: str) -> None:
    assert parse_query(log_term(field, value)) == [Term(field, (value,))]


@given(st.datetimes(datetime(1900, 1, 1), datetime(2299, 12, 31)), st.uuids())  # noqa: DTZ001 - made aware below
def test_a_cursor_is_read_as_the_position_it_was_made_from(moment: datetime, identifier: object) -> None:
    position = Position(moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC), str(identifier))
    assert decode_cursor(encode_cursor(position)) == position


@given(st.text(max_size=60))
def test_any_other_text_is_no_cursor(text: str) -> None:
    with suppress(AuroraError):
        assert EARLIEST <= decode_cursor(text).timestamp <= LATEST


def test_times_beyond_what_can_be_stored_move_to_its_ends() -> None:
    late, early = timezone(timedelta(hours=-14)), timezone(timedelta(hours=14))
    assert within_range(datetime.max.replace(tzinfo=late)) == LATEST
    assert within_range(datetime.min.replace(tzinfo=early)) == EARLIEST
    assert within_range(datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001 - the case
