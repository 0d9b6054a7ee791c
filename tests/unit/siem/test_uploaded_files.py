"""What an uploaded file is taken for, and how far it is unpacked."""

from __future__ import annotations

import gzip

import pytest

from services.siem.uploads import domain
from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, AuroraError

UNTYPED = "application/octet-stream"


@pytest.mark.parametrize(
    ("body", "media_type", "filename", "expected"),
    [
        (b"x", "text/plain", "a.json", "text/plain"),
        (b"x", UNTYPED, "A.EVTX", "application/x-evtx"),
        (b"ElfFile\0...", UNTYPED, "", "application/x-evtx"),
        (b"x", UNTYPED, "a.ndjson", "application/x-ndjson"),
        (b'{"a": 1}\n{"a": 2}\n', UNTYPED, "a.log", "application/x-ndjson"),
        (b'{\n "a": 1\n}', UNTYPED, "a.log", "application/json"),
        (b'\xef\xbb\xbf[{"a": 1}]', UNTYPED, "", "application/json"),
        (b"[\n1]", UNTYPED, "", "application/json"),
        (b"[ 12.5] usb 1-1: new device", UNTYPED, "", "text/plain"),
        (b"plain words", UNTYPED, "a.log", "text/plain"),
    ],
)
def test_a_type_wins_over_the_name_and_the_name_over_the_content(
    body: bytes, media_type: str, filename: str, expected: str
) -> None:
    assert domain.open_file(body, media_type, filename) == (body, expected)
    assert domain.open_file(gzip.compress(body), media_type, f"{filename}.gz") == (body, expected)


def test_every_member_of_a_gzip_file_is_unpacked_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"one\n") + gzip.compress(b"two\n") + b"\0" * 10
    assert domain.open_file(packed, UNTYPED, "")[0] == b"one\ntwo\n"
    monkeypatch.setattr(domain, "MAX_UNPACKED", 7)
    with pytest.raises(AuroraError) as refusal:
        domain.open_file(packed, UNTYPED, "")
    assert refusal.value.code is PAYLOAD_TOO_LARGE
    for broken in (gzip.compress(b"words")[:-3], b"\x1f\x8bnonsense"):
        with pytest.raises(AuroraError) as refusal:
            domain.open_file(broken, UNTYPED, "")
        assert refusal.value.code is MALFORMED_REQUEST
