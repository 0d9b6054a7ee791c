"""Small programmes made of bytes: a PE with sections and imports as a test wants them. None of them does anything."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

_ALIGN = 0x200
_READ, _WRITE, _EXECUTE, _CODE = 0x40000000, 0x80000000, 0x20000000, 0x20

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def dense(size: int, seed: int = 1) -> bytes:
    """Bytes as packed or encrypted ones are."""
    return random.Random(seed).randbytes(size)


def pe(
    *,
    code: bytes = b"\xc3" * 64,
    functions: Sequence[str] = (),
    writable_code: bool = False,
    more_sections: int = 0,
    extra: bytes = b"",
) -> bytes:
    """A 64-bit Windows programme: `code` in .text, the functions imported from KERNEL32.dll, `extra` after its end."""
    imports_at = 0x1000 + _up(len(code), 0x1000)
    imported = _imports(functions, imports_at)
    flags = _CODE | _READ | _EXECUTE | (_WRITE if writable_code else 0)
    sections = [(b".text", 0x1000, code, flags), (b".idata", imports_at, imported, _READ | _WRITE)]
    address = imports_at + _up(len(imported), 0x1000)
    for number in range(more_sections):
        sections.append((b".s%d" % number, address, b"", _READ))
        address += 0x1000
    headers_size = _up(0x40 + 24 + 240 + 40 * len(sections), _ALIGN)
    table, body, offset = b"", b"", headers_size
    for name, at, content, characteristics in sections:
        raw = content.ljust(_up(len(content), _ALIGN), b"\0")
        place = offset if raw else 0
        table += struct.pack(
            "<8sIIIIIIHHI", name[:8], max(len(content), 1), at, len(raw), place, 0, 0, 0, 0, characteristics
        )
        body += raw
        offset += len(raw)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(sections), 1_700_000_000, 0, 0, 240, 0x22)
    directories = [(0, 0)] * 16
    if functions:
        directories[1] = (imports_at, 40)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        0x20B, 14, 0, _up(len(code), _ALIGN), 0, 0, 0x1000, 0x1000,
        0x140000000, 0x1000, _ALIGN, 6, 0, 0, 0, 6, 0, 0,
        address, headers_size, 0, 3, 0x8160,
        0x100000, 0x1000, 0x100000, 0x1000, 0, 16,
    )  # fmt: skip
    optional += b"".join(struct.pack("<II", *entry) for entry in directories)
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + coff + optional + table
    return head.ljust(headers_size, b"\0") + body + extra


def _imports(functions: Sequence[str], base: int) -> bytes:
    """An import directory of one library: descriptor, names, and the two tables that point at them."""
    if not functions:
        return b"\0" * 16
    thunks_size = 8 * (len(functions) + 1)
    names_at = 40 + 2 * thunks_size
    names, thunks = b"KERNEL32.dll\0", b""
    for function in functions:
        thunks += struct.pack("<Q", base + names_at + len(names))
        names += b"\0\0" + function.encode() + b"\0"
    thunks += b"\0" * 8
    descriptor = struct.pack("<IIIII", base + 40, 0, 0, base + names_at, base + 40 + thunks_size)
    return descriptor + b"\0" * 20 + thunks + thunks + names


def _up(size: int, to: int) -> int:
    return (size + to - 1) // to * to
