"""Frames as the library makes and reads them, and where they end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from shared.rpc.frames import extent, masking_keys, text_frame

KEY = b"\x01\x82\x03\x84"
#: Around each change of the length's form.
LENGTHS = [0, 1, 125, 126, 127, 65535, 65536, 70000]


def read(data: bytes, *, by_server: bool) -> list[Frame]:
    """What the library reads."""
    protocol = Protocol(SERVER if by_server else CLIENT)
    protocol.receive_data(data)
    return [event for event in protocol.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "plain"])
@pytest.mark.parametrize("length", LENGTHS)
def test_the_library_reads_what_is_made_here(length: int, masked: bool) -> None:
    message = (b"abcdefgh" * (length // 8 + 1))[:length]
    (frame,) = read(text_frame(message, KEY if masked else None), by_server=masked)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.TEXT, True, message)


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "plain"])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_frame_ends_where_the_librarys_ends(length: int, masked: bool) -> None:
    frame = Frame(Opcode.BINARY, b"x" * length).serialize(mask=masked)
    begin, end = extent(b"before" + frame + b"behind", 6)
    assert (end, end - begin) == (6 + len(frame), length)


@given(length=st.sampled_from(LENGTHS), masked=st.booleans(), data=st.data())
def test_of_a_frame_that_comes_in_pieces_the_end_is_known_with_its_head(
    length: int, masked: bool, data: st.DataObject
) -> None:
    frame = Frame(Opcode.TEXT, b"x" * length).serialize(mask=masked)
    head = len(frame) - length
    have = data.draw(st.one_of(st.integers(1, head), st.integers(1, len(frame))))
    begin, end = extent(frame[:have], 0)
    if have < head:
        assert begin > have
    else:
        assert (begin, end) == (head, len(frame))


def test_no_masking_key_comes_twice_and_each_has_four_bytes() -> None:
    keys = list(itertools.islice(masking_keys(), 1000))
    assert {len(key) for key in keys} == {4}
    # By chance two of a thousand are alike once in ten thousand runs; one that is repeated would be so every time.
    assert len(set(keys)) >= 999
