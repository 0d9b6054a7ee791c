"""Zip archives: their members, unpacked in memory within bounds, also behind the password that analysts agree on. Runs
in the triage process alone.

An archive within an archive isn't unpacked. Sizes that the archive tells are never believed.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from shared.contracts.samples import MAX_SAMPLE_BYTES, MOST_MEMBERS

PASSWORD = b"infected"
_MOST_BYTES = 48 * 1024 * 1024
#: What unpacks to so many times its size, beyond a MiB, is made to fill memory.
_MOST_RATIO, _ANY_RATIO = 200, 1024 * 1024
#: The older encryption is undone in Python, some MiB a second.
_MOST_SLOW = 8 * 1024 * 1024
_ENCRYPTED, _AES_METHOD, _AES_FIELD = 0x1, 99, 0x9901
#: Strength in the archive -> bytes of salt and of key (WinZip's specification AE-2).
_STRENGTHS = {1: (8, 16), 2: (12, 24), 3: (16, 32)}
_MAC, _CHECK, _ROUNDS = 10, 2, 1000


class UnreadableError(Exception):
    """A member can't be unpacked; the text says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: its bytes, or why there are none."""

    name: str
    data: bytes
    unread: str = ""


def files(data: bytes) -> list[zipfile.ZipInfo]:
    """The files that the archive lists. Raises zipfile.BadZipFile."""
    return [entry for entry in zipfile.ZipFile(BytesIO(data)).infolist() if not entry.is_dir()]


def members(data: bytes) -> Iterator[Member]:
    """The first files, one at a time. Raises zipfile.BadZipFile for what is no archive."""
    archive, room = zipfile.ZipFile(BytesIO(data)), _MOST_BYTES
    for entry in files(data)[:MOST_MEMBERS]:
        try:
            unpacked = _unpacked(archive, entry, data, min(room, MAX_SAMPLE_BYTES))
        except UnreadableError as error:
            yield Member(entry.filename, b"", str(error))
        except Exception as error:  # noqa: BLE001 - a hostile archive may break its reader in any way; the others go on
            yield Member(entry.filename, b"", type(error).__name__)
        else:
            room -= len(unpacked)
            yield Member(entry.filename, unpacked)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, data: bytes, most: int) -> bytes:
    most = min(most, max(_ANY_RATIO, entry.compress_size * _MOST_RATIO))
    if entry.compress_type == _AES_METHOD:
        unpacked = _from_aes(entry, data, most)
    else:
        if entry.flag_bits & _ENCRYPTED and entry.compress_size > _MOST_SLOW:
            raise UnreadableError("encrypted and too large")
        try:
            with archive.open(entry, pwd=PASSWORD) as stream:
                unpacked = stream.read(most + 1)
        except RuntimeError as error:  # how zipfile tells a wrong password
            raise UnreadableError("behind another password") from error
    if len(unpacked) > most:
        raise UnreadableError("too large when unpacked")
    return unpacked


def _from_aes(entry: zipfile.ZipInfo, data: bytes, most: int) -> bytes:
    strength, method = _aes_field(entry.extra)
    salt_size, key_size = _STRENGTHS[strength]
    name_size, extra_size = struct.unpack_from("<HH", data, entry.header_offset + 26)
    begin = entry.header_offset + 30 + name_size + extra_size
    packed = data[begin : begin + entry.compress_size]
    salt, check = packed[:salt_size], packed[salt_size : salt_size + _CHECK]
    cipher, mac = packed[salt_size + _CHECK : -_MAC], packed[-_MAC:]
    keys = hashlib.pbkdf2_hmac("sha1", PASSWORD, salt, _ROUNDS, 2 * key_size + _CHECK)
    if keys[-_CHECK:] != check:
        raise UnreadableError("behind another password")
    if not hmac.compare_digest(hmac.digest(keys[key_size : 2 * key_size], cipher, "sha1")[:_MAC], mac):
        raise UnreadableError("changed after it was packed")
    plain = _counted(cipher, keys[:key_size])
    if method == zipfile.ZIP_STORED:
        return plain
    if method != zipfile.ZIP_DEFLATED:
        raise UnreadableError(f"packed by method {method}")
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(plain, most + 1)


def _aes_field(extra: bytes) -> tuple[int, int]:
    """Strength and method of compression."""
    place = 0
    while place + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, place)
        if kind == _AES_FIELD:
            strength, method = struct.unpack_from("<BH", extra, place + 8)
            return strength, method
        place += 4 + size
    raise UnreadableError("encrypted without saying how")


def _counted(cipher: bytes, key: bytes) -> bytes:
    """AES in counter mode, counting from 1 with the lowest byte first, as no library of ours does."""
    blocks = (len(cipher) + 15) // 16
    counters = b"".join(number.to_bytes(16, "little") for number in range(1, blocks + 1))
    stream = Cipher(AES(key), ECB()).encryptor().update(counters)[: len(cipher)]  # noqa: S305 - the block function alone
    return (int.from_bytes(cipher, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(cipher), "big")
