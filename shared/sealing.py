"""Secrets sealed for rest: AES-256-GCM under a ring of keys that is kept in a file, apart from what it seals.

What is sealed is bound to a text of the caller's ("this user, this provider"): moved to another place it doesn't open.
A key has a name, which is kept beside what it sealed, so that keys can be replaced. Knows no store and no use.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES = 32
_NONCE_BYTES = 12
_NAME = re.compile(r"[a-z0-9]{1,32}")


class SealBroken(Exception):
    """What was sealed doesn't open: changed, moved to another place, or its key is gone."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed secret: the name of its key, and nonce, ciphertext and tag in one."""

    key_id: str
    box: bytes


class SealingKeys:
    """The first key seals, every key opens."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """`keys` is name -> 32 bytes, in order. Raises ValueError without any, or for a key of another length."""
        if not keys:
            raise ValueError("at least one sealing key is needed")
        if any(len(key) != _KEY_BYTES for key in keys.values()):
            raise ValueError(f"a sealing key has {_KEY_BYTES} bytes")
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}
        self.current, *self.older = keys

    @classmethod
    def parse(cls, text: str) -> Self:
        """The keys of a file's text: `<name> <base64 of 32 bytes>` a line. Raises ValueError, which never shows one."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            name, _, encoded = line.strip().partition(" ")
            if _NAME.fullmatch(name) is None or name in keys:
                raise ValueError(f"line {number}: the name of a key is 1 to 32 of a-z and 0-9, and its own")
            try:
                keys[name] = base64.b64decode(encoded.strip(), validate=True)
            except binascii.Error as error:
                raise ValueError(f"line {number}: not base64") from error
        return cls(keys)

    def seal(self, secret: bytes, bound_to: str) -> Sealed:
        """Seals under the current key."""
        nonce = os.urandom(_NONCE_BYTES)
        box = self._ciphers[self.current].encrypt(nonce, secret, _context(self.current, bound_to))
        return Sealed(self.current, nonce + box)

    def open(self, sealed: Sealed, bound_to: str) -> bytes:
        """What was sealed. Raises SealBroken."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None or len(sealed.box) < _NONCE_BYTES:
            raise SealBroken
        nonce, box = sealed.box[:_NONCE_BYTES], sealed.box[_NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, box, _context(sealed.key_id, bound_to))
        except InvalidTag as error:
            raise SealBroken from error


def _context(key_id: str, bound_to: str) -> bytes:
    return f"aurora:{key_id}:{bound_to}".encode()


def new_key_line() -> str:
    """A line of a key file, with a new key under a random name."""
    return f"{os.urandom(4).hex()} {base64.b64encode(AESGCM.generate_key(_KEY_BYTES * 8)).decode()}\n"
