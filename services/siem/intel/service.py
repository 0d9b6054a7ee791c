"""The use-cases of imported intelligence: import, list, look up, forget.

An import commits as a whole or not at all; reading it is done in a thread, since it may take seconds. What is looked up
is told with its state at the time that was asked for: what has expired or was revoked is never told as current.
"""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Sequence

import msgspec

from services.siem.intel import domain, store
from services.siem.intel.domain import MAX_ENTRIES, Candidate, Collected, TooManyEntriesError
from services.siem.intel.formats.recognise import READERS, format_of
from shared.clock import utc_now
from shared.contracts.common import Observable, Page, PageQuery
from shared.contracts.intel import (
    BenignMatch,
    IntelFormat,
    IntelImportQuery,
    IntelIndicator,
    IntelLookup,
    IntelMatch,
    IntelMatches,
    IntelQuery,
    IntelReport,
    IntelSource,
    IntelVia,
    IntelVulnerability,
    VulnerabilityQuery,
)
from shared.errors import (
    MALFORMED_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    VALIDATION,
    AuroraError,
    field_error,
)
from shared.invalid import problem_of
from shared.observables import cve_of, normalised, type_of
from shared.pages import decode_position, encode_position
from shared.postgres import Database

_MAX_TOLD = 2000
#: Imports that wait for the one that is read; each holds its body in memory.
_MAX_WAITING = 3
_RETRY_SECONDS = 10.0


class IntelService:
    """Intelligence of the siem's schema. One import is read at a time: it may take a gigabyte."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading = asyncio.Lock()
        self._waiting = 0

    async def import_(self, body: bytes, query: IntelImportQuery, who: str) -> IntelReport:
        """Takes in what a feed brings. Raises AURORA-4000 for what can't be read, 4130 for too many values, 4220 for
        JSON that is of no format known here, 4290 while others wait already."""
        if self._waiting > _MAX_WAITING:
            raise AuroraError(RATE_LIMITED, retry_after=_RETRY_SECONDS)
        self._waiting += 1
        try:
            async with self._reading:
                return await self._take(body, query, who)
        finally:
            self._waiting -= 1

    async def _take(self, body: bytes, query: IntelImportQuery, who: str) -> IntelReport:
        kind, collected = await asyncio.to_thread(_read, body, query)
        report = IntelReport(
            source=query.source,
            format=kind,
            imported=0,
            updated=0,
            unchanged=0,
            merged=collected.merged,
            skipped=collected.skipped,
            reasons=dict(collected.reasons),
            problems=collected.problems,
            left_out=dict(collected.left_out),
        )
        await self._store(report, collected, who)
        return report

    async def _store(self, report: IntelReport, collected: Collected, who: str) -> None:
        entries = sorted(collected.entries.values(), key=lambda entry: (entry.type, entry.value))
        found = list(collected.vulnerabilities.values())
        now = utc_now()
        async with self._database.transaction() as connection:
            await store.begin(connection, report.source, report.format, who, report)
            new, changed = await store.put_entries(connection, report.source, entries, now)
            more_new, more_changed = await store.put_vulnerabilities(connection, report.source, found, now)
            report.imported, report.updated = new + more_new, changed + more_changed
            report.unchanged = len(entries) + len(found) - report.imported - report.updated
            await store.finish(connection, report)

    async def indicators(self, query: IntelQuery) -> Page[IntelIndicator]:
        """A page of indicators, newest first."""
        value = None if query.value is None else _as_stored(query.value, query.type)
        before = decode_position(query.cursor)
        rows = await store.indicators(self._database, query, value, before, utc_now())
        more = len(rows) > query.limit
        shown = rows[: query.limit]
        return Page([item for _, item in shown], encode_position(shown[-1][0]) if more else None)

    async def vulnerabilities(self, query: VulnerabilityQuery) -> Page[IntelVulnerability]:
        """A page of vulnerabilities, newest first."""
        cve = None if query.cve is None else cve_of(query.cve) or query.cve
        rows = await store.vulnerabilities(self._database, query, cve, decode_position(query.cursor))
        more = len(rows) > query.limit
        shown = rows[: query.limit]
        return Page([item for _, item in shown], encode_position(shown[-1][0]) if more else None)

    async def sources(self, query: PageQuery) -> Page[IntelSource]:
        """A page of sources, by name."""
        offset = decode_position(query.cursor) or 0
        rows = await store.sources(self._database, offset, query.limit + 1)
        more = len(rows) > query.limit
        return Page(rows[: query.limit], encode_position(offset + query.limit) if more else None)

    async def forget(self, name: str) -> None:
        """Deletes a source and all that it brought. Raises AURORA-4040."""
        async with self._database.transaction() as connection:
            if "\x00" in name or not await store.delete(connection, name):
                raise AuroraError(NOT_FOUND, {"name": name})

    async def lookup(self, asked: IntelLookup) -> IntelMatches:
        """What is known of the observables."""
        at = asked.at or utc_now()
        observables = asked.observables
        wanted = list(dict.fromkeys(domain.candidates(observables)))
        cves = sorted({item.value for item in wanted if item.type == "cve"})
        wanted = [item for item in wanted if item.type != "cve"]
        hosts = [item for item in wanted if item.via == "exact" and item.type in ("domain", "ip")]
        inside = domain.addresses(wanted)
        limit = _MAX_TOLD + 1
        values, networks, urls, known, total = await asyncio.gather(
            store.values(self._database, wanted, at, limit),
            store.networks(self._database, inside, at, limit),
            store.urls_of_hosts(self._database, hosts, at, limit),
            store.of_cves(self._database, cves),
            store.total(self._database),
        )
        rows: list[tuple[int, IntelVia, store.Row]] = [
            *((wanted[row.index].index, wanted[row.index].via, row) for row in values),
            *((inside[row.index][0], "network", row) for row in networks),
            *((hosts[row.index].index, "host_of_url", row) for row in urls),
        ]
        return _told(observables, wanted, rows, known, total)


def _told(
    observables: Sequence[Observable],
    wanted: Iterable[Candidate],
    rows: Sequence[tuple[int, IntelVia, store.Row]],
    known: list[IntelVulnerability],
    total: int,
) -> IntelMatches:
    asked_for = {(item.type, item.value) for item in wanted if item.via in ("exact", "url_host", "url_prefix")}
    matches = [
        IntelMatch(
            observable=observables[index],
            via=via,
            complete=_complete(row.indicator, asked_for),
            indicator=row.indicator,
        )
        for index, via, row in rows
        if not row.benign
    ]
    benign = [
        BenignMatch(observable=observables[index], via=via, list=(row.indicator.tags or [row.indicator.source])[0])
        for index, via, row in rows
        if row.benign
    ]
    return IntelMatches(
        matches=matches[:_MAX_TOLD],
        benign=benign[:_MAX_TOLD],
        vulnerabilities=known[:_MAX_TOLD],
        indicators=total,
        truncated=max(len(matches), len(benign), len(known)) > _MAX_TOLD,
    )


def _complete(indicator: IntelIndicator, asked_for: set[tuple[str, str]]) -> bool:
    if indicator.others:
        return False
    return all((item.type, normalised(item.type, item.value)) in asked_for for item in indicator.requires)


def _as_stored(value: str, kind: str | None) -> str:
    kind = kind or type_of(value)
    return value if kind is None else normalised(kind, value) or value


def _read(body: bytes, query: IntelImportQuery) -> tuple[IntelFormat, Collected]:
    """The format and what was found. Raises AURORA-4000 naming the place, 4130, 4220 naming the field."""
    collected = Collected(query.confidence)
    kind = query.format
    try:
        body = _in_utf8(body)
        if not body.strip():
            raise field_error("body", "holds nothing")
        kind = kind or format_of(body)
        if kind is None:
            raise field_error("query.format", "the body is of no format known here; name one")
        READERS[kind](body, collected)
    except msgspec.ValidationError as error:
        raise AuroraError(VALIDATION, [problem_of(error, "body")]) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        where = {"format": kind or "json", "reason": _reason(error)}
        raise AuroraError(MALFORMED_REQUEST, where, message="The body can't be read") from error
    except TooManyEntriesError as error:
        raise AuroraError(PAYLOAD_TOO_LARGE, {"limit_values": MAX_ENTRIES}) from error
    return kind, collected


def _in_utf8(body: bytes) -> bytes:
    """Without the mark that editors of Windows put before it. Raises UnicodeDecodeError for what is no UTF-16, though
    marked as such."""
    if body.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return body.decode("utf-16").encode("utf-8", "replace")
    return body.removeprefix(BOM_UTF8)


def _reason(error: msgspec.DecodeError | RecursionError | UnicodeDecodeError) -> str:
    """Why, with the byte, and without a word of the body."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"it is no {error.encoding} at byte {error.start}"
    return str(error)
