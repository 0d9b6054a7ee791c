"""A request as bytes: nothing that a caller hands over becomes a second request."""

from __future__ import annotations

import pytest

from shared.upstream.message import AnswerBroken, framing_of, head_of


def test_a_head_has_the_callers_headers_and_the_length_of_its_body() -> None:
    head = head_of("POST", "/a?b=%20", "siem:80", {"Accept": "*/*", "X-Name": "ü"}, 3)
    expected = "POST /a?b=%20 HTTP/1.1\r\nHost: siem:80\r\nAccept: */*\r\nX-Name: ü\r\nContent-Length: 3\r\n\r\n"
    assert head == expected.encode()


@pytest.mark.parametrize(
    ("method", "length", "ending"),
    [
        ("GET", None, b"Host: h\r\n\r\n"),
        ("POST", None, b"Content-Length: 0\r\n\r\n"),
        ("PUT", -1, b"Transfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_a_body_is_announced_once(method: str, length: int | None, ending: bytes) -> None:
    head = head_of(method, "/", "h", {}, length)
    assert head.endswith(ending)
    assert head.lower().count(b"content-length") + head.lower().count(b"transfer-encoding") <= 1


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rb", "a\0b"])
def test_a_value_with_an_end_of_line_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="end of line"):
        head_of("GET", "/", "h", {"Accept": value}, None)


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Expect", "a b", "a:", ""]
)
def test_headers_of_the_connection_are_not_the_callers(name: str) -> None:
    with pytest.raises(ValueError, match="isn't the caller's"):
        head_of("GET", "/", "h", {name: "x"}, None)


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/a b"), ("GET", "/a\r\n"), ("GET", ""), ("GET", "http://x/"), ("G T", "/"), ("", "/")],
)
def test_a_method_and_a_target_are_one_word_each(method: str, target: str) -> None:
    with pytest.raises(ValueError, match="method"):
        head_of(method, target, "h", {}, None)


def test_an_answer_says_in_its_head_where_it_ends() -> None:
    assert framing_of(200, {"content-length": "12"}, bodiless=False) == 12
    assert framing_of(200, {"transfer-encoding": "Chunked"}, bodiless=False) is None
    assert framing_of(204, {}, bodiless=False) == 0
    assert framing_of(304, {"content-length": "12"}, bodiless=False) == 0
    assert framing_of(200, {"content-length": "12"}, bodiless=True) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-length": "1", "transfer-encoding": "chunked"},
        {"content-length": "1, 1"},
        {"content-length": "-1"},
        {"content-length": "+1"},
        {"content-length": "١"},
        {"transfer-encoding": "gzip, chunked"},
        {"transfer-encoding": "identity"},
    ],
)
def test_an_answer_without_one_clear_end_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(AnswerBroken):
        framing_of(200, headers, bodiless=False)


def test_a_changed_protocol_is_refused() -> None:
    with pytest.raises(AnswerBroken):
        framing_of(101, {}, bodiless=False)
