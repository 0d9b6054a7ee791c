"""Where one syslog message ends and the next begins, however the bytes are cut; and who may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.syslog import domain
from services.siem.syslog.domain import Framer


def fed(data: bytes, *, limit: int = 1000, sizes: int = 1) -> list[bytes]:
    """The messages of a stream that arrives in pieces of `sizes` bytes."""
    framer = Framer(limit)
    messages = [m for place in range(0, len(data), sizes) for m in framer.feed(data[place : place + sizes])]
    return messages + framer.end()


@pytest.mark.parametrize("sizes", [1, 3, 1000])
def test_both_framings_are_told_apart_message_by_message(sizes: int) -> None:
    data = b"<13>a newline ends me\n24 <13>counted, with a \n in<34>after the count\r\n\n8 <1>tail!"
    expected = [b"<13>a newline ends me", b"<13>counted, with a \n in", b"<34>after the count", b"<1>tail!"]
    assert fed(data, sizes=sizes) == expected


@pytest.mark.parametrize(
    "line", [b"2026-03-01T12:00:00Z no priority", b"12 monkeys", b"7", b"1234567890123 <5>x", b"0 <5>x"]
)
def test_a_line_that_begins_with_digits_is_a_line(line: bytes) -> None:
    assert fed(line + b"\nnext\n") == [line, b"next"]


@pytest.mark.parametrize("sizes", [1, 7, 10_000])
def test_a_message_over_the_limit_is_cut_and_the_next_one_is_whole(sizes: int) -> None:
    framer = Framer(10)
    data = b"<5>" + b"x" * 50 + b"\n<6>after\n30 <7>" + b"y" * 27 + b"<8>last\n"
    messages = [m for place in range(0, len(data), sizes) for m in framer.feed(data[place : place + sizes])]
    assert messages == [b"<5>xxxxxxx", b"<6>after", b"<7>yyyyyyy", b"<8>last"]
    assert framer.cut == 2


def test_what_is_kept_of_an_endless_line_is_bounded() -> None:
    framer = Framer(100)
    for _ in range(1000):
        framer.feed(b"z" * 1000)
        assert len(framer._rest) <= 1100


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_are_framed_the_same_however_they_are_cut(data: bytes, sizes: int) -> None:
    assert fed(data, limit=50, sizes=sizes) == fed(data, limit=50, sizes=1000)


@given(
    st.lists(st.binary(min_size=1, max_size=60).filter(lambda b: b.strip() and not b.endswith((b"\r", b"\n", b"\0"))))
)
def test_counted_messages_come_out_as_they_went_in(bodies: list[bytes]) -> None:
    messages = [b"<13>" + body for body in bodies]
    assert fed(b"".join(b"%d %b" % (len(m), m) for m in messages), sizes=5) == messages


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:514", ("127.0.0.1", 514)), ("[::1]:6514", ("::1", 6514)), (":514", ("0.0.0.0", 514))],
)
def test_an_address_has_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    assert domain.address_of(text) == address
    for wrong in ("514", "host:", "host:x", "host:70000"):
        with pytest.raises(ValueError, match="host:port"):
            domain.address_of(wrong)


def test_peers_are_admitted_by_network() -> None:
    allowed = domain.networks(["10.0.0.0/8", "::1"])
    assert domain.is_allowed(domain.peer_of("::ffff:10.1.2.3"), allowed)
    assert domain.is_allowed(domain.peer_of("::1"), allowed)
    assert not domain.is_allowed(domain.peer_of("192.0.2.1"), allowed)
    assert domain.source_of(domain.peer_of("fe80::1%eth0")) == "syslog:fe80::1"
