"""What bytes are without running or parsing them: hashes, type by magic, entropy, strings and the indicators in them.
Pure, and linear in the size of the bytes."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from services.agents.toolkit.indicators import classify_address, extract, is_benign_domain
from shared.contracts.common import Observable
from shared.contracts.samples import SampleKind

_ASCII = re.compile(rb"[\x20-\x7e]{6,2000}")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){6,2000}")
#: What is worth a look for indicators: it has a dot or a slash within, or is as long as a hash.
_TELLING = re.compile(r"[\w-]\.[\w-]|://|\b[0-9a-fA-F]{32,64}\b|@")
_MOST_STRINGS = 100_000
_MOST_TEXT = 512 * 1024
_MOST_IOCS = 40
_MOST_SHOWN = 20
#: Offset and bytes there -> kind and what it is called; the first that fits.
_MAGIC: tuple[tuple[int, bytes, SampleKind, str], ...] = (
    (0, b"MZ", "pe", "DOS or Windows programme"),
    (0, b"\x7fELF", "elf", "ELF programme"),
    (0, b"\xca\xfe\xba\xbe", "other", "Mach-O universal programme or Java class"),
    (0, b"\xcf\xfa\xed\xfe", "other", "Mach-O programme"),
    (0, b"\xce\xfa\xed\xfe", "other", "Mach-O programme"),
    (0, b"%PDF-", "document", "PDF document"),
    (0, b"{\\rt", "document", "RTF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "document", "OLE document or installer"),
    (0, b"L\x00\x00\x00\x01\x14\x02\x00", "shortcut", "Windows shortcut"),
    (0, b"PK\x03\x04", "archive", "ZIP archive"),
    (0, b"PK\x05\x06", "archive", "ZIP archive without entries"),
    (0, b"Rar!\x1a\x07", "archive", "RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "archive", "7-Zip archive"),
    (0, b"\x1f\x8b", "archive", "gzip archive"),
    (0, b"BZh", "archive", "bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "archive", "xz archive"),
    (0, b"MSCF", "archive", "Windows cabinet"),
    (257, b"ustar", "archive", "tar archive"),
    (32769, b"CD001", "archive", "ISO image"),
    (0, b"\x89PNG\r\n", "image", "PNG image"),
    (0, b"\xff\xd8\xff", "image", "JPEG image"),
    (0, b"GIF8", "image", "GIF image"),
    (0, b"#!", "script", "script"),
)
#: A part of an archive's names -> what such an archive is.
_ZIPPED: tuple[tuple[bytes, SampleKind, str], ...] = (
    (b"word/vbaProject.bin", "document", "Word document with macros"),
    (b"xl/vbaProject.bin", "document", "Excel document with macros"),
    (b"word/document.xml", "document", "Word document"),
    (b"xl/workbook.xml", "document", "Excel document"),
    (b"ppt/presentation.xml", "document", "PowerPoint document"),
    (b"AndroidManifest.xml", "other", "Android package"),
    (b"META-INF/MANIFEST.MF", "other", "Java archive"),
)
_TEXT_LOOKED_AT = 4096


def basics(data: bytes) -> dict[str, Any]:
    """Size, hashes, type and entropy."""
    kind, called = kind_of(data)
    return {
        "size": len(data),
        "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "kind": kind,
        "type": called,
        "entropy": entropy(data),
    }


def kind_of(data: bytes) -> tuple[SampleKind, str]:
    """What the first bytes say, whatever the file is called."""
    for offset, magic, kind, called in _MAGIC:
        if data.startswith(magic, offset):
            return _zipped(data) if called == "ZIP archive" else (kind, called)
    head = data[:_TEXT_LOOKED_AT]
    if head and all(byte >= 0x20 or byte in b"\t\r\n\x0c\x1b" for byte in head):
        lowered = head.lower()
        if b"<script" in lowered or b"<html" in lowered or b"<hta:" in lowered:
            return "script", "HTML"
        return "text", "text"
    return "other", "data" if data else "empty"


def _zipped(data: bytes) -> tuple[SampleKind, str]:
    """By the names in the archive, which stand there unpacked: nothing is unpacked."""
    return next(((kind, called) for name, kind, called in _ZIPPED if name in data), ("archive", "ZIP archive"))


def entropy(data: bytes) -> float:
    """Shannon's entropy in bits a byte, 0..8: compressed and encrypted bytes are close to 8."""
    counts = Counter(data)
    return (
        round(-sum(count / len(data) * math.log2(count / len(data)) for count in counts.values()), 4) if data else 0.0
    )


def strings(data: bytes) -> Iterator[str]:
    """Runs of printable characters, in ASCII and in UTF-16, at most 100,000."""
    found = (match.group().decode("ascii") for match in _ASCII.finditer(data))
    wide = (match.group()[::2].decode("ascii") for match in _WIDE.finditer(data))
    yield from islice(found, _MOST_STRINGS)
    yield from islice(wide, _MOST_STRINGS)


def said(data: bytes) -> dict[str, Any]:
    """How many strings there are, and the indicators in them: addresses that are public, names that not everybody
    talks to, URLs, e-mail addresses and hashes."""
    count, length, telling = 0, 0, []
    for text in strings(data):
        count += 1
        if length < _MOST_TEXT and _TELLING.search(text):
            telling.append(text)
            length += len(text)
    iocs = [item for item in extract(telling) if _is_worth(item)]
    return {
        "strings": count,
        "iocs": [{"type": item.type, "value": item.value[:300]} for item in iocs[:_MOST_IOCS]],
        "shown": [text[:160] for text in telling[:_MOST_SHOWN]],
    }


def _is_worth(item: Observable) -> bool:
    if item.type == "domain":
        return not is_benign_domain(item.value)
    if item.type == "url":
        return not is_benign_domain(item.value.partition("://")[2].partition("/")[0].partition(":")[0])
    # Version numbers look like addresses, and seldom end in anything but 0.
    return item.type != "ip" or (classify_address(item.value) == "public" and not item.value.endswith(".0"))
