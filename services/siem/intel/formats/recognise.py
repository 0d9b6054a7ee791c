"""Which format an import has, by its first keys or its header, and the reader of each. Pure."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping

import msgspec

from services.siem.intel.domain import Collected
from services.siem.intel.formats import kev, misp, stix, tables, warninglist
from shared.contracts.intel import IntelFormat

READERS: Mapping[IntelFormat, Callable[[bytes, Collected], None]] = {
    "stix": stix.read,
    "misp": misp.read,
    "csv": tables.read_csv,
    "text": tables.read_text,
    "kev": kev.read,
    "warninglist": warninglist.read,
}
_SPACE = b"\xef\xbb\xbf \t\r\n"
_ABSENT = msgspec.Raw()
#: Text has no U+0000, programmes and archives have some soon.
_HEAD = 4096


class _Keys(msgspec.Struct):
    """Keys that tell the formats apart; their values aren't decoded."""

    type: msgspec.Raw = _ABSENT
    objects: msgspec.Raw = _ABSENT
    event: msgspec.Raw = msgspec.field(default=_ABSENT, name="Event")
    attribute: msgspec.Raw = msgspec.field(default=_ABSENT, name="Attribute")
    response: msgspec.Raw = _ABSENT
    vulnerabilities: msgspec.Raw = _ABSENT
    values: msgspec.Raw = msgspec.field(default=_ABSENT, name="list")


def format_of(body: bytes) -> IntelFormat | None:
    """The format; None for JSON that is none of them, for what is no text, and for a page: a download that ended at a
    sign-in or an error. Raises msgspec.DecodeError for what is no JSON but begins so."""
    first = body.lstrip(_SPACE)[:1]
    if first == b"{":
        return _of_object(msgspec.json.decode(body.lstrip(_SPACE), type=_Keys))
    if first == b"[":
        items = msgspec.json.decode(body.lstrip(_SPACE), type=list[_Keys])
        return _of_object(items[0]) if items else None
    if first == b"<" or b"\x00" in body[:_HEAD]:
        return None
    return _of_table(body)


def _of_object(keys: _Keys) -> IntelFormat | None:
    if bytes(keys.event) or bytes(keys.response) or bytes(keys.attribute):
        return "misp"
    if bytes(keys.vulnerabilities):
        return "kev"
    if bytes(keys.values):
        return "warninglist"
    return "stix" if bytes(keys.type) or bytes(keys.objects) else None


def _of_table(body: bytes) -> IntelFormat:
    for line in body.lstrip(_SPACE)[: 64 * 1024].decode("utf-8", "replace").splitlines():
        if not line.strip():
            continue
        delimiter = max((",", ";", "\t", "|"), key=line.count)
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
        if cells[0].strip('" ') == "cveID":
            return "kev"
        if tables.columns_of(cells) is not None:
            return "csv"
        if not line.startswith("#"):
            return "csv" if len(cells) > 1 else "text"
    return "text"
