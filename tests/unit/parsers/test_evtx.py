"""Event log files: what is none or is cut off is refused by name. Whole ones are read in the contract tests."""

import struct
import zlib

import pytest

from services.siem.logs.parsers import read_items
from services.siem.logs.parsers.evtx import MEDIA_TYPE
from shared.errors import MALFORMED_REQUEST, AuroraError

_CHUNK = 65536


def file_header(chunks: int) -> bytes:
    """The 4096 bytes that an event log file begins with."""
    head = b"ElfFile\0" + struct.pack("<QQQIHHHH", 0, max(chunks - 1, 0), 1, 128, 1, 3, 4096, chunks) + b"\0" * 76
    head += struct.pack("<I", 0)
    return head + struct.pack("<I", zlib.crc32(head[:120])) + b"\0" * (4096 - len(head) - 4)


def refusal(body: bytes) -> dict[str, object]:
    with pytest.raises(AuroraError) as refused:
        read_items(body, MEDIA_TYPE)
    assert refused.value.code is MALFORMED_REQUEST
    detail: dict[str, object] = refused.value.detail
    return detail


@pytest.mark.parametrize("body", [b"", b"{}", b"ElfFil", b"PK\x03\x04" + b"\0" * 5000])
def test_what_is_no_event_log_is_refused(body: bytes) -> None:
    assert refusal(body) == {"message": "the body is not an EVTX file", "entries_before": 0}


@pytest.mark.parametrize("body", [b"ElfFile\0", file_header(1) + b"\xff" * _CHUNK, file_header(1)[:200]])
def test_a_damaged_event_log_is_refused_with_what_was_readable(body: bytes) -> None:
    assert refusal(body) == {"message": "the EVTX file is damaged", "entries_before": 0}


def test_an_event_log_without_entries_has_no_items() -> None:
    assert read_items(file_header(0), MEDIA_TYPE) == []
