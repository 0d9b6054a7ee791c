"""What imports bring together and how observables are held against it. Pure: knows no format and no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from ipaddress import ip_address
from typing import Any

import msgspec

from shared.contracts.common import Observable
from shared.contracts.intel import IntelName, IntelProblem, IntelStatus, IntelVia
from shared.observables import domains_above, host_of, normalised

#: Values of one import. A feed that is larger comes in parts.
MAX_ENTRIES = 500_000
_MAX_PROBLEMS = 200
_MAX_REASONS = 50
_MAX_LIST = 20
_TEXT = 1000
_SHORT = 200
#: Folders of a URL that are asked for, from its host downwards.
_MAX_FOLDERS = 16


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One value that an import brings. The fields are those of IntelIndicator; `actionable` false is context."""

    type: str
    value: str
    benign: bool = False
    confidence: int | None = None
    names: tuple[IntelName, ...] = ()
    techniques: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    tlp: str = ""
    description: str = ""
    reference: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    revoked: bool = False
    actionable: bool = True
    requires: tuple[Observable, ...] = ()
    others: bool = False
    warnings: tuple[str, ...] = ()


class Vulnerability(msgspec.Struct, frozen=True, kw_only=True):
    """One vulnerability that an import brings."""

    cve: str
    vendor: str = ""
    product: str = ""
    name: str = ""
    description: str = ""
    exploited: bool = False
    ransomware: bool = False
    added: date | None = None
    due: date | None = None


class TooManyEntriesError(Exception):
    """An import brings more than MAX_ENTRIES values."""


class Collected:
    """What an import has brought so far: each value once, and what brought none with the reason."""

    def __init__(self, confidence: int | None = None) -> None:
        self._confidence = confidence
        self.entries: dict[tuple[str, str], Entry] = {}
        self.vulnerabilities: dict[str, Vulnerability] = {}
        self.merged = 0
        self.skipped = 0
        self.reasons: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.problems: list[IntelProblem] = []

    def add(self, entry: Entry, place: str) -> bool:
        """Takes a value in its normal form; False, and skipped, when it isn't of its type. Raises
        TooManyEntriesError."""
        value = normalised(entry.type, entry.value)
        if value is None:
            self.skip(place, f"not a value of type {entry.type[:40]}")
            return False
        if entry.type == "cve":
            self.add_vulnerability(Vulnerability(cve=value, description=entry.description))
            return True
        confidence = self._confidence if entry.confidence is None else entry.confidence
        if value != entry.value or confidence != entry.confidence:
            entry = msgspec.structs.replace(entry, value=value, confidence=confidence)
        key = (entry.type, value)
        known = self.entries.get(key)
        if known is not None:
            self.merged += 1
            entry = together(known, entry)
        elif len(self.entries) >= MAX_ENTRIES:
            raise TooManyEntriesError
        self.entries[key] = entry
        return True

    def add_vulnerability(self, found: Vulnerability) -> None:
        """Takes a vulnerability whose id is in its normal form. Raises TooManyEntriesError."""
        known = self.vulnerabilities.get(found.cve)
        if known is None and len(self.vulnerabilities) >= MAX_ENTRIES:
            raise TooManyEntriesError
        if known is not None:
            self.merged += 1
            found = known if known.exploited and not found.exploited else found
        self.vulnerabilities[found.cve] = found

    def skip(self, place: str, reason: str) -> None:
        """Counts what brought nothing; the first of them are named."""
        self.skipped += 1
        _count(self.reasons, reason, "other reasons")
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(IntelProblem(text(place, _SHORT), reason))

    def leave_out(self, parts: Iterable[str]) -> None:
        """Counts parts of entries that aren't looked up, by their names."""
        for part in parts:
            _count(self.left_out, part, "other parts")


def _count(counts: Counter[str], name: str, rest: str) -> None:
    counts[name if name in counts or len(counts) < _MAX_REASONS else rest] += 1


def together(one: Entry, other: Entry) -> Entry:
    """Two entries of one value as one. What is in force wins over what was revoked, what stands alone over what needs
    more to be seen."""
    if one.revoked != other.revoked:
        return other if one.revoked else one
    if bool(one.requires or one.others) != bool(other.requires or other.others):
        return other if one.requires or one.others else one
    first, last = (one, other) if one.actionable >= other.actionable else (other, one)
    endless = one.valid_until is None or other.valid_until is None
    return msgspec.structs.replace(
        first,
        confidence=max((c for c in (one.confidence, other.confidence) if c is not None), default=None),
        names=joined(first.names, last.names),
        techniques=joined(first.techniques, last.techniques),
        tags=joined(first.tags, last.tags),
        warnings=joined(first.warnings, last.warnings),
        tlp=first.tlp or last.tlp,
        description=first.description or last.description,
        reference=first.reference or last.reference,
        valid_from=min((t for t in (one.valid_from, other.valid_from) if t is not None), default=None),
        valid_until=None if endless else max(t for t in (one.valid_until, other.valid_until) if t is not None),
    )


def joined(*lists: Iterable[Any]) -> tuple[Any, ...]:
    """Every item once, at most 20."""
    if not any(lists):
        return ()
    return tuple(dict.fromkeys(item for items in lists for item in items))[:_MAX_LIST]


def text(value: object, limit: int = _TEXT) -> str:
    """A text of a feed on one line, bounded, without the character that the store can't hold."""
    return " ".join(str(value).replace("\x00", "").split())[:limit] if value else ""


def status_of(*, revoked: bool, actionable: bool, until: datetime | None, at: datetime) -> IntelStatus:
    """How a stored value stands at a time."""
    if revoked:
        return "revoked"
    if until is not None and until <= at:
        return "expired"
    return "current" if actionable else "context"


class Candidate(msgspec.Struct, frozen=True):
    """A stored value that the observable at `index` of the question would meet, and how."""

    index: int
    type: str
    value: str
    via: IntelVia


def candidates(observables: Sequence[Observable]) -> Iterator[Candidate]:
    """What to look for: the values themselves, the domains above them, the hosts of URLs."""
    for index, asked in enumerate(observables):
        value = normalised(asked.type, asked.value)
        if value is None:
            continue
        yield Candidate(index, asked.type, value, "exact")
        if asked.type == "domain":
            yield from (Candidate(index, "domain", above, "parent_domain") for above in domains_above(value))
        elif asked.type == "url":
            yield from _of_url(index, value)
        elif asked.type == "email":
            yield Candidate(index, "domain", value.rpartition("@")[2], "parent_domain")


def _of_url(index: int, url: str) -> Iterator[Candidate]:
    bare = url.partition("?")[0]
    if bare != url:
        yield Candidate(index, "url", bare, "exact")
    yield from (Candidate(index, "url", f"{folder}*", "url_prefix") for folder in _folders(bare))
    host = host_of(url)
    if host is None:
        return
    yield Candidate(index, "ip" if is_address(host) else "domain", host, "url_host")
    for above in domains_above(host):
        yield Candidate(index, "domain", above, "url_host")


def _folders(url: str) -> Iterator[str]:
    """`http://a/`, `http://a/b/` of `http://a/b/c`: what everything under it is kept by, with a star."""
    place = url.find("/", url.find("://") + 3)
    for _ in range(_MAX_FOLDERS):
        if place < 0:
            return
        yield url[: place + 1]
        place = url.find("/", place + 1)


def network_in(entry: Entry) -> str | None:
    """The network that an entry is, so that addresses in it meet it; None for one address and for other types."""
    return entry.value if entry.type == "ip" and "/" in entry.value else None


def is_address(host: str) -> bool:
    """Whether a normalised host is an address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def addresses(found: Iterable[Candidate]) -> list[tuple[int, str]]:
    """The addresses among candidates, each with the index of its observable: networks may hold them."""
    return [(item.index, item.value) for item in found if item.type == "ip" and is_address(item.value)]
