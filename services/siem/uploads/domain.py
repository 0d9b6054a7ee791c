"""What an uploaded file is: its media type by name and content, unpacked within a limit. Pure."""

from __future__ import annotations

import zlib

from shared.errors import MALFORMED_REQUEST, PAYLOAD_TOO_LARGE, AuroraError

#: Bytes of an unpacked file.
MAX_UNPACKED = 64 * 1024 * 1024
EVTX = "application/x-evtx"
_GZIP_MAGIC, _EVTX_MAGIC = b"\x1f\x8b", b"ElfFile\0"
_UNTYPED = frozenset(("application/octet-stream", "application/gzip", "application/x-gzip", ""))
_BY_ENDING = {
    ".evtx": EVTX,
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
}


def open_file(body: bytes, media_type: str, filename: str) -> tuple[bytes, str]:
    """The file's content and the media type to read it as. A given type wins over the name, the name over the content.

    Raises AURORA-4000 for a broken gzip file, 4130 for one that unpacks to more than MAX_UNPACKED.
    """
    if body.startswith(_GZIP_MAGIC):
        body = _unpacked(body)
    if media_type not in _UNTYPED:
        return body, media_type
    name = filename.lower().removesuffix(".gz")
    named = next((known for ending, known in _BY_ENDING.items() if name.endswith(ending)), None)
    return body, named or _by_content(body)


def _by_content(body: bytes) -> str:
    if body.startswith(_EVTX_MAGIC):
        return EVTX
    first, _, rest = body.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    if first.startswith(b"["):
        return "application/json" if first.rstrip() in (b"[", b"[{") or first.startswith(b"[{") else "text/plain"
    if not first.startswith(b"{"):
        return "text/plain"
    return (
        "application/x-ndjson"
        if first.rstrip().endswith(b"}") and rest.lstrip()[:1] in (b"{", b"")
        else "application/json"
    )


def _unpacked(body: bytes) -> bytes:
    """All members of a gzip file."""
    unpacked = bytearray()
    try:
        while body:
            member = zlib.decompressobj(wbits=31)
            unpacked += member.decompress(body, MAX_UNPACKED + 1 - len(unpacked))
            if len(unpacked) > MAX_UNPACKED:
                raise AuroraError(PAYLOAD_TOO_LARGE, {"limit_bytes": MAX_UNPACKED})
            if not member.eof:
                raise AuroraError(MALFORMED_REQUEST, message="The file is a gzip file that was cut off")
            body = member.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise AuroraError(MALFORMED_REQUEST, message="The file is not a sound gzip file") from error
    return bytes(unpacked)
