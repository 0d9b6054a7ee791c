"""What is kept of a write so that the same key doesn't write twice. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping

import msgspec

#: Header field value: what draft-ietf-httpapi-idempotency-key-header allows, and no more than we would log.
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
KEEP_SECONDS = 24 * 3600
#: A larger answer isn't kept; the same key is then a conflict, since it can't be told again.
LARGEST_ANSWER = 256 * 1024
#: What belongs to the answer itself. Everything else is said anew each time: ids, limits, security, cross-origin.
_KEPT_HEADERS = (
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Type",
    "ETag",
    "Last-Modified",
    "Location",
    "X-Aurora-Error",
    "X-Elastic-Product",
)


class Record(msgspec.Struct, array_like=True):
    """A write that was answered. `fingerprint` is of method, target and body."""

    fingerprint: bytes
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    too_large: bool = False


class Kept(msgspec.Struct, array_like=True):
    """What stands under a key: the mark of whoever does the write now, or the sealed record of the one that was done.

    A record is sealed because answers hold secrets (a new API key), and fingerprints those of passwords.
    """

    mark: bytes = b""
    seal: str = ""
    box: bytes = b""


def is_key(text: str) -> bool:
    """Whether the header's value can be a key."""
    return _KEY.fullmatch(text) is not None


def store_key(principal_id: str, key: str) -> str:
    """Where the record of this caller's key is kept."""
    return f"gateway:once:{principal_id}:{hashlib.sha256(key.encode()).hexdigest()}"


def is_final(status: int) -> bool:
    """Whether the same request would be answered so again: not when the service was busy, broken or out of time."""
    return 200 <= status < 500 and status not in (401, 408, 425, 429)


def kept_headers(headers: Mapping[str, str], cookies: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Of an answer's headers (names compare without case) those to tell again; `cookies` as Set-Cookie has them."""
    own = [(name, headers[name]) for name in _KEPT_HEADERS if name in headers]
    return own + [("Set-Cookie", cookie) for cookie in cookies]


class Fingerprint:
    """Tells one write from another: method, target, the revision that it is bound to (`If-Match`, None where it is
    bound to none), and the body as it passes."""

    def __init__(self, method: str, target: str, condition: str | None = None) -> None:
        bound = "" if condition is None else f" {condition}"
        self._hash = hashlib.sha256(f"{method} {target}{bound}\n".encode("utf-8", "surrogateescape"))

    def add(self, piece: bytes) -> None:
        """The next piece of the body."""
        self._hash.update(piece)

    def digest(self) -> bytes:
        """The fingerprint of what was added."""
        return self._hash.digest()


class Body:
    """An answer's body as it passes, as long as it is small enough to keep."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._too_large = False

    def add(self, piece: bytes) -> None:
        """The next piece."""
        if len(self._data) + len(piece) > LARGEST_ANSWER:
            self._too_large = True
            self._data.clear()
        elif not self._too_large:
            self._data += piece

    def record(self, fingerprint: bytes, status: int, headers: list[tuple[str, str]]) -> Record:
        """What to keep of the answer that had this body."""
        if self._too_large:
            return Record(fingerprint, status, [], b"", too_large=True)
        return Record(fingerprint, status, headers, bytes(self._data))
