"""Gives each tab-separated Zeek line of a request its header, without which it has no meaning on its own.

Owns the header's lines. Refuses to know what a field means (zeek.py).
"""

import re
from collections.abc import Iterable, Iterator

from shared.errors import PAYLOAD_TOO_LARGE, AuroraError

MARK = b"#fields\t"
_FIELDS = re.compile(rb"#fields\t([\w.\[\]-]{1,64}(?:\t[\w.\[\]-]{1,64}){1,199})")
_PATH = re.compile(rb"#path\t([\w.-]{1,64})")
_LONGEST = 4096
#: Lines with their headers may be this many times the body; a header is about as long as a line.
_GROWTH = 12
_NOT_RECORDS = (b"#separator ", b"#set_separator\t", b"#empty_field\t", b"#unset_field\t", b"#path\t", b"#open\t",
                b"#close\t", MARK, b"#types\t")  # fmt: skip


def with_headers(lines: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The lines that are records: those that fit the `#fields` above them with `#path` and `#fields` before them; the
    header's own lines are no items. `size` is the body's in bytes. Raises AuroraError: payload too large."""
    header, columns, path = b"", 0, b"unknown"
    room = _GROWTH * size
    for line in lines:
        if line.startswith(_NOT_RECORDS):
            if (named := _PATH.fullmatch(line)) is not None:
                path, header = named[1], b""
            elif len(line) < _LONGEST and _FIELDS.fullmatch(line):
                header, columns = b"#path\t" + path + b"\n" + line + b"\n", line.count(b"\t")
        elif header and line.count(b"\t") + 1 == columns:
            room -= len(header) + len(line)
            if room < 0:
                raise AuroraError(PAYLOAD_TOO_LARGE, {"max_growth": _GROWTH})
            yield header + line
        else:
            yield line
