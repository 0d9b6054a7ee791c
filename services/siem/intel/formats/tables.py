"""CSV by the names of its columns, and plain lists of values. Pure.

Which column is what follows from its header, in a comment too (as abuse.ch writes it). Without a header each line's
first value that has the shape of an observable is taken.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from services.siem.intel.domain import Collected, Entry, joined, text
from services.siem.intel.formats.times import moment
from shared.contracts.intel import IntelName
from shared.observables import type_of

_MAX_COLUMNS = 100
_MAX_LINE = 64 * 1024
#: After so many quotes that aren't closed, quotes mean nothing any more.
_MAX_UNCLOSED = 20
_COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(
        ("value", "indicator", "ioc", "ioc_value", "observable", "indicator_value", "artifact", "pattern"), "value"
    ),
    **dict.fromkeys(("type", "ioc_type", "indicator_type", "observable_type", "kind"), "type"),
    **dict.fromkeys(("ip", "ip_address", "dst_ip", "src_ip", "ipv4", "ipv6", "c2_ip"), "ip"),
    **dict.fromkeys(("domain", "hostname", "fqdn", "host"), "domain"),
    **dict.fromkeys(("url", "uri"), "url"),
    **dict.fromkeys(("hash", "md5", "md5_hash", "sha1", "sha1_hash", "sha256", "sha256_hash", "sha512"), "hash"),
    **dict.fromkeys(("email", "e-mail", "email_address"), "email"),
    **dict.fromkeys(("cve", "cve_id", "vulnerability"), "cve"),
    **dict.fromkeys(("confidence", "confidence_level", "score"), "confidence"),
    **dict.fromkeys(("malware", "malware_printable", "malware_family", "family", "signature"), "malware"),
    **dict.fromkeys(("actor", "threat_actor", "group", "adversary"), "actor"),
    **dict.fromkeys(("campaign",), "campaign"),
    **dict.fromkeys(("description", "comment", "notes", "threat_type", "title"), "description"),
    **dict.fromkeys(("reference", "source_url", "link", "references"), "reference"),
    **dict.fromkeys(("tags", "labels", "tag"), "tags"),
    **dict.fromkeys(("tlp",), "tlp"),
    **dict.fromkeys(("technique", "techniques", "mitre", "mitre_technique", "attack"), "techniques"),
    **dict.fromkeys(("first_seen", "first_seen_utc", "valid_from", "dateadded", "date_added", "created"), "from"),
    **dict.fromkeys(("valid_until", "expires", "expiration", "expiry", "expires_at"), "until"),
    **dict.fromkeys(("revoked", "deleted"), "revoked"),
}
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("ip", "ipv4", "ipv6", "ipv4-addr", "ipv6-addr", "ip-src", "ip-dst", "ip:port", "cidr"), "ip"),
    **dict.fromkeys(("domain", "hostname", "fqdn", "domain-name", "host"), "domain"),
    **dict.fromkeys(("url", "uri"), "url"),
    **dict.fromkeys(("hash", "md5", "sha1", "sha-1", "sha256", "sha-256", "sha512", "sha-512", "filehash"), "hash"),
    **dict.fromkeys(
        ("md5_hash", "sha1_hash", "sha256_hash", "filehash-md5", "filehash-sha1", "filehash-sha256"), "hash"
    ),
    **dict.fromkeys(("email", "email-addr", "e-mail"), "email"),
    **dict.fromkeys(("cve", "vulnerability"), "cve"),
    **dict.fromkeys(("file", "filename"), "file"),
    **dict.fromkeys(("registry", "regkey"), "registry"),
    **dict.fromkeys(("mutex",), "mutex"),
    **dict.fromkeys(("user-agent", "user_agent"), "user_agent"),
}
#: Columns that hold a value of their own type.
_TYPED = ("ip", "domain", "url", "hash", "email", "cve")
_WORDS = {"low": 25, "medium": 50, "high": 75, "certain": 100}


def read_csv(body: bytes, collected: Collected) -> None:
    """Rows under a header. Without a header that names a column of values, a plain list."""
    header: list[str] | None = None
    for number, cells in _rows(body):
        if not cells:
            collected.skip(f"line {number}", "a row that can't be read")
            continue
        if header is None:
            header = columns_of(cells)
            if header is not None:
                continue
            header = []
        if header:
            _row(dict(zip(header, cells, strict=False)), f"line {number}", collected)
        elif not cells[0].startswith("#"):
            _listed(cells, f"line {number}", collected)


def read_text(body: bytes, collected: Collected) -> None:
    """One value a line; what follows a space or a # is not read."""
    for number, line in enumerate(body.decode("utf-8-sig", "replace").splitlines(), start=1):
        value = line.partition("#")[0].strip()
        if value:
            _listed([value, *value.split()[:1]], f"line {number}", collected)


def columns_of(cells: Sequence[str]) -> list[str] | None:
    """What each column is, when one of them holds values; None for a row that is no header."""
    named = [_COLUMNS.get(cell.strip().strip('#" ').lower().replace(" ", "_"), "") for cell in cells]
    return named if "value" in named or any(name in _TYPED for name in named) else None


class _Form(csv.excel):
    """How a table is written."""

    skipinitialspace = True

    def __init__(self, delimiter: str, quoting: Any) -> None:
        self.delimiter = delimiter
        self.quoting = quoting
        super().__init__()


def _rows(body: bytes) -> Iterator[tuple[int, list[str]]]:
    """Each row with its line, without cells where it can't be read; of comments those that are a header."""
    written = body.decode("utf-8-sig", "replace").replace("\x00", "")
    lines = [line[:_MAX_LINE] for line in written.splitlines(keepends=True)]
    begin, delimiter = 0, _delimiter(lines)
    for quoting in (*(csv.QUOTE_MINIMAL,) * _MAX_UNCLOSED, csv.QUOTE_NONE):
        begin = yield from _until_unclosed(lines, begin, _Form(delimiter, quoting))


def _until_unclosed(lines: Sequence[str], begin: int, form: _Form) -> Generator[tuple[int, list[str]], None, int]:
    """The rows from a line on, until one has a quote that isn't closed: it would swallow all that follows, so it can't
    be read, and what is behind its line is read anew. Returns where that begins."""
    reader = csv.reader(lines[begin:], form)
    read = begin
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:  # a field beyond the limit of the module
            cells = []
        at = begin + reader.line_num
        if cells is None:
            return at
        if at > read + 1 and (not cells or _swallowed(lines[read:at], form.delimiter)):
            yield read + 1, []
            return read + 1
        read = at
        if not cells and lines[at - 1].strip():
            yield at, []
        elif any(cells) and (not cells[0].startswith("#") or columns_of(cells[:_MAX_COLUMNS]) is not None):
            yield at, cells[:_MAX_COLUMNS]


def _swallowed(lines: Sequence[str], delimiter: str) -> bool:
    """Whether a row of several lines has an odd quote, or rows in it: with as many cells, one of them an observable."""
    if sum(line.count('"') for line in lines) % 2 == 1:
        return True
    cells = (line.split(delimiter) for line in lines[1:])
    width = lines[0].count(delimiter) + 1
    return any(type_of(cell.strip(' "')) for row in cells if len(row) == width for cell in row)


def _delimiter(lines: Sequence[str]) -> str:
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    return max((",", ";", "\t", "|"), key=first.count)


def _listed(cells: Sequence[str], place: str, collected: Collected) -> None:
    for cell in cells:
        kind = type_of(cell) or type_of(cell.rpartition(":")[0])
        if kind is not None:
            value = cell if type_of(cell) is not None else cell.rpartition(":")[0]
            collected.add(Entry(type=kind, value=value), place)
            return
    collected.skip(place, "no value that has the shape of an indicator")


def _row(row: Mapping[str, str], place: str, collected: Collected) -> None:
    common = _common(row)
    values = [(kind, row[kind]) for kind in _TYPED if row.get(kind, "").strip()]
    if row.get("value", "").strip():
        values.append((_TYPES.get(row.get("type", "").strip().lower(), ""), row["value"]))
    if not values:
        collected.skip(place, "a row without a value")
    for kind, value in values:
        found = kind or type_of(value)
        if found is None:
            collected.skip(place, "a value whose type is not known")
        else:
            with_port = found == "ip" and value.count(":") == 1
            bare = value.partition(":")[0] if with_port else value
            collected.add(msgspec.structs.replace(common, type=found, value=bare), place)


def _common(row: Mapping[str, str]) -> Entry:
    names = [
        IntelName(kind, text(row[column], 120))
        for column, kind in (("malware", "malware"), ("actor", "threat-actor"), ("campaign", "campaign"))
        if row.get(column, "").strip()
    ]
    return Entry(
        type="",
        value="",
        confidence=_percent(row.get("confidence", "")),
        names=joined(names),
        techniques=joined(part.strip()[:12] for part in _split(row.get("techniques", ""))),
        tags=joined(text(tag, 120) for tag in _split(row.get("tags", ""))),
        tlp=text(row.get("tlp", "").lower().removeprefix("tlp:"), 20),
        description=text(row.get("description", "")),
        reference=text(row.get("reference", ""), 300),
        valid_from=moment(row.get("from")),
        valid_until=moment(row.get("until")),
        revoked=row.get("revoked", "").strip().lower() in ("1", "true", "yes"),
    )


def _percent(written: str) -> int | None:
    """Percent; a part of one, and a word."""
    written = written.strip().rstrip("%").lower()
    if written in _WORDS:
        return _WORDS[written]
    try:
        number = float(written)
    except ValueError:
        return None
    if not 0 <= number <= 100:
        return None
    return round(number * 100) if 0 < number < 1 else round(number)


def _split(written: str) -> list[str]:
    return [part for part in written.replace(";", ",").replace("|", ",").split(",") if part.strip()]
