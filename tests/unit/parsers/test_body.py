"""Request bodies and the items in them."""

from typing import Any

import pytest

from services.siem.logs.parsers import Rejected, read_items
from services.siem.logs.parsers.body import MAX_ITEMS
from shared.contracts.constants import ErrorCode
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, AuroraError

JSON, NDJSON, TEXT = "application/json", "application/x-ndjson", "text/plain"


def refusal(body: bytes, content_type: str) -> tuple[ErrorCode, Any]:
    with pytest.raises(AuroraError) as refused:
        read_items(body, content_type)
    return refused.value.code, refused.value.detail


@pytest.mark.parametrize(
    ("body", "content_type", "items"),
    [
        (b'{"a":1}', JSON, [{"a": 1}]),
        (b'\xef\xbb\xbf{"a":1}', "Application/JSON; charset=utf-8", [{"a": 1}]),
        (b"[]", JSON, []),
        (b'[{"a":1}, "line"]', JSON, [{"a": 1}, b"line"]),
        (b'{"a":1}\n{\n"a":2}\n', JSON, [{"a": 1}, {"a": 2}]),
        (b'{"a":1}\r\n\n"line"\n', NDJSON, [{"a": 1}, b"line"]),
        (b"one\r\n\n  \ntwo\x1dmore", TEXT, [b"one", b"two\x1dmore"]),
        (b"", TEXT, []),
    ],
)
def test_a_body_is_split_into_its_items(body: bytes, content_type: str, items: list[Any]) -> None:
    assert read_items(body, content_type) == items


def test_a_bad_line_is_rejected_at_its_place_and_spoils_no_other() -> None:
    assert read_items(b'{"a":1}\n\n{"a":\n7\n{"a":2}', NDJSON) == [
        {"a": 1},
        Rejected(1, "not valid JSON at column 6", b'{"a":'),
        Rejected(2, "must be a JSON object or a line of text"),
        {"a": 2},
    ]


def test_numbers_and_nulls_in_an_array_are_rejected_at_their_place() -> None:
    found = read_items(b"[1, null, [2]]", JSON)
    assert [each.index for each in found if isinstance(each, Rejected)] == [0, 1, 2]


@pytest.mark.parametrize(
    "body", [b"", b"5", b'"text"', b'{"a":', b'{"a":1}}', b'{"a":1} x', b'{"a":NaN}', b"\xff", b"["]
)
def test_a_body_that_is_no_json_is_malformed(body: bytes) -> None:
    code, detail = refusal(body, JSON)
    assert code is MALFORMED_REQUEST
    assert "message" in detail


def test_json_nested_without_end_is_malformed() -> None:
    assert refusal(b'{"a":' * 5000, JSON)[0] is MALFORMED_REQUEST
    assert refusal(b"[" * 5000, JSON)[0] is MALFORMED_REQUEST


@pytest.mark.parametrize("content_type", ["", "application/xml", "text/html", "application/jsonx"])
def test_an_unknown_media_type_names_those_that_are_taken(content_type: str) -> None:
    code, detail = refusal(b"{}", content_type)
    assert code is UNSUPPORTED_MEDIA_TYPE
    assert JSON in detail["supported"]


def test_more_items_than_a_request_may_hold_are_refused() -> None:
    assert refusal(b"x\n" * MAX_ITEMS, TEXT)[0] is PAYLOAD_TOO_LARGE
    assert refusal(b"[" + b"1," * MAX_ITEMS + b"1]", JSON)[0] is PAYLOAD_TOO_LARGE
    assert refusal(b"{}" * (MAX_ITEMS + 1), JSON)[0] is PAYLOAD_TOO_LARGE
