"""What is kept of a write so that the same key doesn't write twice."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

import msgspec

#: Header field value: what draft-ietf-httpapi-idempotency-key-header allows, and no more than we would log.
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
KEEP_SECONDS = 24 * 3600
#: A larger answer isn't kept; the same key is then a conflict, since it can't be told again.
LARGEST_ANSWER = 256 * 1024


class Record(msgspec.Struct, array_like=True):
    """A write under a key. `fingerprint` is of method, target and body; empty while the first one runs."""

    state: Literal["running", "answered", "too large"]
    fingerprint: bytes = b""
    status: int = 0
    content_type: str = ""
    body: bytes = b""


def is_key(text: str) -> bool:
    """Whether the header's value can be a key."""
    return _KEY.fullmatch(text) is not None


def store_key(principal_id: str, key: str) -> str:
    """Where the record of this caller's key is kept."""
    return f"gateway:idempotency:{principal_id}:{hashlib.sha256(key.encode()).hexdigest()}"


class Fingerprint:
    """Tells one write from another: method, target, and the body as it passes."""

    def __init__(self, method: str, target: str) -> None:
        self._hash = hashlib.sha256(f"{method} {target}\n".encode())

    def add(self, piece: bytes) -> None:
        """The next piece of the body."""
        self._hash.update(piece)

    def digest(self) -> bytes:
        """The fingerprint of what was added."""
        return self._hash.digest()


class Answer:
    """The answer as it passes, as long as it is small enough to keep."""

    def __init__(self) -> None:
        self.status = 0
        self.content_type = ""
        self._body = bytearray()
        self._too_large = False

    def add(self, status: int, content_type: str, piece: bytes) -> None:
        """The next piece of the answer's body."""
        self.status, self.content_type = status, content_type
        if len(self._body) + len(piece) > LARGEST_ANSWER:
            self._too_large = True
            self._body.clear()
        elif not self._too_large:
            self._body += piece

    @property
    def final(self) -> bool:
        """Whether the same request would be answered so again: not when the service was busy, broken or out of time."""
        return 200 <= self.status < 500 and self.status not in (401, 408, 425, 429)

    def record(self, fingerprint: bytes) -> Record:
        """What to keep."""
        if self._too_large:
            return Record("too large", fingerprint)
        return Record("answered", fingerprint, self.status, self.content_type, bytes(self._body))
