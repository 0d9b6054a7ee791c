"""Imported intelligence: indicators, vulnerabilities and benign values, and how observables are looked up in them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.common import Observable, Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.contracts.logs import SourceName
from shared.errors import (
    MALFORMED_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION,
)

#: stix: a 2.1 bundle; misp: events of MISP; csv: columns by their names; text: one value a line; kev: CISA's catalogue
#: (JSON or CSV); warninglist: benign values as MISP's lists have them.
IntelFormat = Literal["stix", "misp", "csv", "text", "kev", "warninglist"]
IntelKind = Literal["indicator", "vulnerability", "benign"]
#: current: in force and meant for detection; context: named by its source, but not meant for detection.
IntelStatus = Literal["current", "expired", "revoked", "context"]
#: How a stored value was met: the very value, a domain above it, a network around it, the host of a URL that was asked
#: for, the host of a stored URL, or a URL with a star above it.
IntelVia = Literal["exact", "parent_domain", "network", "url_host", "host_of_url", "url_prefix"]
Percent = Annotated[int, Meta(ge=0, le=100)]
MAX_LOOKUP = 1000


class IntelName(msgspec.Struct, frozen=True):
    """What an indicator points to; `kind` is malware, tool, threat-actor, campaign, vulnerability or event."""

    kind: str
    name: str


class IntelIndicator(msgspec.Struct, kw_only=True):
    """One value as one source has it. A revoked or expired one is kept as such. `confidence` is the source's own in
    percent, null when it says none. `requires` are the observables that its pattern wants to be seen with it; `others`
    says that it wants something more that can't be looked up. `warnings` are the benign lists that its source found it
    on. An `ip` may be a network."""

    type: str
    value: str
    source: str
    status: IntelStatus
    confidence: int | None
    names: list[IntelName]
    techniques: list[str]
    tags: list[str]
    tlp: str
    description: str
    reference: str
    valid_from: datetime | None
    valid_until: datetime | None
    requires: list[Observable]
    others: bool
    warnings: list[str]
    imported_at: datetime
    updated_at: datetime


class IntelVulnerability(msgspec.Struct, kw_only=True):
    """A vulnerability as one source has it. `exploited`: known to be used by attackers; `ransomware`: by extortionists.
    `due` is the day until which the source wants it mended."""

    cve: str
    source: str
    vendor: str
    product: str
    name: str
    description: str
    exploited: bool
    ransomware: bool
    added: date | None
    due: date | None
    updated_at: datetime


class IntelImportQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`source` names where it comes from; what the same source brought before is updated, nothing is removed. Without
    `format` it is recognised. `confidence` (percent) holds for entries that say none."""

    source: SourceName = "default"
    format: IntelFormat | None = None
    confidence: Percent | None = None


class IntelProblem(msgspec.Struct, frozen=True):
    """An entry that brought nothing: where it stands (an object's id, a line, a place) and why."""

    place: str
    message: str


class IntelReport(msgspec.Struct, kw_only=True):
    """What became of an import. Every value read is imported (new), updated, unchanged, or `merged` into another of the
    same import; an entry that brought no value is `skipped`, counted by its reason; the first 200 are named. `left_out`
    counts the parts of patterns that aren't looked up, by their names."""

    source: str
    format: IntelFormat
    imported: int
    updated: int
    unchanged: int
    merged: int
    skipped: int
    reasons: dict[str, int]
    problems: list[IntelProblem]
    left_out: dict[str, int] = {}


class IntelQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters; all given ones must hold. `value` is normalised as imports are; `q` is a part of the value."""

    value: Annotated[str, Meta(max_length=2048)] | None = None
    type: Annotated[str, Meta(max_length=64)] | None = None
    source: SourceName | None = None
    q: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class VulnerabilityQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters; all given ones must hold. `q` is a part of the vendor, product or name."""

    cve: Annotated[str, Meta(max_length=32)] | None = None
    source: SourceName | None = None
    q: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class IntelLookup(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Observables of any type; `cve` finds vulnerabilities. What had expired at `at` (now, when left out) is told as
    expired."""

    observables: Annotated[list[Observable], Meta(max_length=MAX_LOOKUP)]
    at: Annotated[datetime, Meta(tz=True)] | None = None


class IntelMatch(msgspec.Struct, kw_only=True):
    """A stored indicator that an observable meets. `complete`: all that its pattern requires was asked for too."""

    observable: Observable
    via: IntelVia
    complete: bool
    indicator: IntelIndicator


class BenignMatch(msgspec.Struct, kw_only=True):
    """An observable that is on an imported list of benign values."""

    observable: Observable
    via: IntelVia
    list: str


class IntelMatches(msgspec.Struct, kw_only=True):
    """What is known of the observables. `indicators` counts what is stored in all, so that no match on an empty store
    isn't read as a clean bill; `truncated` when there was more than is told (2,000 of each)."""

    matches: list[IntelMatch]
    benign: list[BenignMatch]
    vulnerabilities: list[IntelVulnerability]
    indicators: int
    truncated: bool


class IntelSource(msgspec.Struct, kw_only=True):
    """Where intelligence comes from, and its last import."""

    name: str
    format: IntelFormat
    entries: int
    imports: int
    first_import: datetime
    last_import: datetime
    imported_by: str
    last_report: IntelReport


_TAG = "SIEM / Detection"
_PATH = "/api/v1/intel"

IMPORT_INTEL = Endpoint(
    "POST",
    _PATH + "/import",
    SIEM_WRITE,
    service="siem",
    summary="Import indicators, vulnerabilities or benign values",
    query=IntelImportQuery,
    body=bytes,
    returns=IntelReport,
    errors=(
        MALFORMED_REQUEST,
        VALIDATION,
        RATE_LIMITED,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        UNAVAILABLE,
    ),
    tag=_TAG,
    consumes=("application/json", "text/csv", "text/plain", "application/octet-stream"),
    max_body=64 * 1024 * 1024,
    timeout_seconds=300.0,
)
LIST_INDICATORS = Endpoint(
    "GET",
    _PATH + "/indicators",
    SIEM_READ,
    service="siem",
    summary="List imported indicators, newest first",
    query=IntelQuery,
    returns=Page[IntelIndicator],
    errors=(VALIDATION,),
    tag=_TAG,
)
LIST_VULNERABILITIES = Endpoint(
    "GET",
    _PATH + "/vulnerabilities",
    SIEM_READ,
    service="siem",
    summary="List imported vulnerabilities, newest first",
    query=VulnerabilityQuery,
    returns=Page[IntelVulnerability],
    errors=(VALIDATION,),
    tag=_TAG,
)
LOOKUP_INTEL = Endpoint(
    "POST",
    _PATH + "/lookup",
    SIEM_READ,
    service="siem",
    summary="Look many observables up at once",
    body=IntelLookup,
    returns=IntelMatches,
    errors=(VALIDATION,),
    tag=_TAG,
    max_body=8 * 1024 * 1024,
)
LIST_INTEL_SOURCES = Endpoint(
    "GET",
    _PATH + "/sources",
    SIEM_READ,
    service="siem",
    summary="List the sources of intelligence, by name",
    query=PageQuery,
    returns=Page[IntelSource],
    errors=(VALIDATION,),
    tag=_TAG,
)
DELETE_INTEL_SOURCE = Endpoint(
    "DELETE",
    _PATH + "/sources/{name}",
    SIEM_WRITE,
    service="siem",
    summary="Forget a source and all that it brought",
    status=204,
    errors=(NOT_FOUND,),
    tag=_TAG,
)
