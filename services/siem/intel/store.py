"""The SQL of imported intelligence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

from services.siem.intel.domain import Candidate, Entry, Vulnerability, network_in, status_of
from shared.contracts.common import Observable
from shared.contracts.intel import (
    IntelFormat,
    IntelIndicator,
    IntelName,
    IntelQuery,
    IntelReport,
    IntelSource,
    IntelVulnerability,
    VulnerabilityQuery,
)
from shared.observables import host_of
from shared.postgres import Connection, Database, Record

_CHUNK = 5000
#: What one candidate may meet: a host has many URLs, and every source has its own row.
_OF_ONE = 20


class _Detail(msgspec.Struct, omit_defaults=True):
    """The column `detail`; most of it is empty for most values, and then not written."""

    names: Sequence[IntelName] = ()
    techniques: Sequence[str] = ()
    tags: Sequence[str] = ()
    tlp: str = ""
    description: str = ""
    reference: str = ""
    requires: Sequence[Observable] = ()
    others: bool = False
    warnings: Sequence[str] = ()


_DETAIL = _Detail.__struct_fields__
_detail_of: Callable[[Entry], tuple[Any, ...]] = attrgetter(*_DETAIL)


@dataclass(frozen=True, slots=True)
class Row:
    """A stored value that the candidate at `index` meets. `benign`: it is on a list of benign values."""

    index: int
    benign: bool
    indicator: IntelIndicator


async def begin(connection: Connection, name: str, kind: IntelFormat, who: str, report: IntelReport) -> None:
    """Makes the source, or locks it until the end of the transaction: imports of one source come one after another."""
    await connection.execute(
        """INSERT INTO intel_sources (name, format, entries, imports, first_import, last_import, imported_by,
                                      last_report)
           VALUES ($1, $2, 0, 0, now(), now(), $3, $4)
           ON CONFLICT (name) DO UPDATE SET format = $2, imported_by = $3, last_import = now()""",
        name,
        kind,
        who,
        report,
    )


async def finish(connection: Connection, report: IntelReport) -> None:
    """Counts what the source holds now, and keeps the report."""
    await connection.execute(
        """UPDATE intel_sources SET imports = imports + 1, last_report = $2,
               entries = (SELECT count(*) FROM intel_indicators WHERE source = $1)
                       + (SELECT count(*) FROM intel_vulnerabilities WHERE source = $1)
           WHERE name = $1""",
        report.source,
        report,
    )


async def put_entries(connection: Connection, source: str, entries: Sequence[Entry], now: datetime) -> tuple[int, int]:
    """Stores values; how many are new and how many changed."""
    new = changed = 0
    for start in range(0, len(entries), _CHUNK):
        chunk = entries[start : start + _CHUNK]
        rows = await connection.fetch(
            """INSERT INTO intel_indicators AS known (source, imported_at, updated_at, type, value, benign, network,
                      host, confidence, actionable, revoked, valid_from, valid_until, detail)
               SELECT $1, $2, $2, n.a, n.b, n.c, n.d, n.e, n.f, n.g, n.h, n.i, n.j, n.k::jsonb
               FROM unnest($3::text[], $4::text[], $5::boolean[], $6::inet[], $7::text[], $8::smallint[],
                      $9::boolean[], $10::boolean[], $11::timestamptz[], $12::timestamptz[], $13::text[])
                      AS n (a, b, c, d, e, f, g, h, i, j, k)
               ON CONFLICT (type, value, source) DO UPDATE SET updated_at = excluded.updated_at,
                      benign = excluded.benign, confidence = excluded.confidence, actionable = excluded.actionable,
                      revoked = excluded.revoked, valid_from = excluded.valid_from,
                      valid_until = excluded.valid_until, detail = excluded.detail
               WHERE (known.benign, known.confidence, known.actionable, known.revoked, known.valid_from,
                      known.valid_until, known.detail)
                     IS DISTINCT FROM (excluded.benign, excluded.confidence, excluded.actionable, excluded.revoked,
                      excluded.valid_from, excluded.valid_until, excluded.detail)
               RETURNING (xmax = 0) AS new""",
            source,
            now,
            *_columns(chunk),
        )
        inserted = sum(row["new"] for row in rows)
        new, changed = new + inserted, changed + len(rows) - inserted
    return new, changed


def _columns(entries: Sequence[Entry]) -> tuple[list[Any], ...]:
    return (
        [entry.type for entry in entries],
        [entry.value for entry in entries],
        [entry.benign for entry in entries],
        [network_in(entry) for entry in entries],
        [host_of(entry.value) if entry.type == "url" and not entry.benign else None for entry in entries],
        [entry.confidence for entry in entries],
        [entry.actionable for entry in entries],
        [entry.revoked for entry in entries],
        [entry.valid_from for entry in entries],
        [entry.valid_until for entry in entries],
        [msgspec.json.encode(_Detail(*_detail_of(entry))).decode() for entry in entries],
    )


async def put_vulnerabilities(
    connection: Connection, source: str, found: Sequence[Vulnerability], now: datetime
) -> tuple[int, int]:
    """Stores vulnerabilities; how many are new and how many changed."""
    new = changed = 0
    for start in range(0, len(found), _CHUNK):
        chunk = found[start : start + _CHUNK]
        rows = await connection.fetch(
            """INSERT INTO intel_vulnerabilities AS known (source, updated_at, cve, vendor, product, name, description,
                      exploited, ransomware, added, due)
               SELECT $1, $2, n.* FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                      $8::boolean[], $9::boolean[], $10::date[], $11::date[]) AS n
               ON CONFLICT (cve, source) DO UPDATE SET updated_at = excluded.updated_at, vendor = excluded.vendor,
                      product = excluded.product, name = excluded.name, description = excluded.description,
                      exploited = excluded.exploited, ransomware = excluded.ransomware, added = excluded.added,
                      due = excluded.due
               WHERE (known.vendor, known.product, known.name, known.description, known.exploited, known.ransomware,
                      known.added, known.due)
                     IS DISTINCT FROM (excluded.vendor, excluded.product, excluded.name, excluded.description,
                      excluded.exploited, excluded.ransomware, excluded.added, excluded.due)
               RETURNING (xmax = 0) AS new""",
            source,
            now,
            *([getattr(item, name) for item in chunk] for name in Vulnerability.__struct_fields__),
        )
        inserted = sum(row["new"] for row in rows)
        new, changed = new + inserted, changed + len(rows) - inserted
    return new, changed


async def indicators(
    database: Database, query: IntelQuery, value: str | None, before: int | None, at: datetime
) -> list[tuple[int, IntelIndicator]]:
    """Up to one more than a page, newest first, each with its position. `value` is in its normal form."""
    rows = await database.fetch(
        """SELECT * FROM intel_indicators
           WHERE NOT benign AND ($1::text IS NULL OR value = $1) AND ($2::text IS NULL OR type = $2)
             AND ($3::text IS NULL OR source = $3) AND ($4::text IS NULL OR strpos(lower(value), lower($4)) > 0)
             AND ($5::bigint IS NULL OR position < $5)
           ORDER BY position DESC LIMIT $6""",
        value,
        query.type,
        query.source,
        query.q,
        before,
        query.limit + 1,
    )
    return [(row["position"], _indicator(row, at)) for row in rows]


async def vulnerabilities(
    database: Database, query: VulnerabilityQuery, cve: str | None, before: int | None
) -> list[tuple[int, IntelVulnerability]]:
    """Up to one more than a page, newest first, each with its position."""
    rows = await database.fetch(
        """SELECT * FROM intel_vulnerabilities
           WHERE ($1::text IS NULL OR cve = $1) AND ($2::text IS NULL OR source = $2)
             AND ($3::text IS NULL OR strpos(lower(concat_ws(' ', vendor, product, name)), lower($3)) > 0)
             AND ($4::bigint IS NULL OR position < $4)
           ORDER BY position DESC LIMIT $5""",
        cve,
        query.source,
        query.q,
        before,
        query.limit + 1,
    )
    return [(row["position"], _vulnerability(row)) for row in rows]


async def of_cves(database: Database, cves: Sequence[str]) -> list[IntelVulnerability]:
    """What every source says of these vulnerabilities."""
    rows = await database.fetch(
        "SELECT * FROM intel_vulnerabilities WHERE cve = ANY($1) ORDER BY cve, source LIMIT $2",
        list(cves),
        _OF_ONE * max(1, len(cves)),
    )
    return [_vulnerability(row) for row in rows]


async def values(database: Database, asked: Sequence[Candidate], at: datetime, limit: int) -> list[Row]:
    """The stored values that are candidates; `index` is the place of the candidate in `asked`."""
    rows = await database.fetch(
        """SELECT c.place, i.* FROM unnest($1::int[], $2::text[], $3::text[]) AS c (place, type, value)
           CROSS JOIN LATERAL (SELECT * FROM intel_indicators WHERE type = c.type AND value = c.value
                               ORDER BY source LIMIT $4) AS i
           ORDER BY c.place, i.source LIMIT $5""",
        list(range(len(asked))),
        [item.type for item in asked],
        [item.value for item in asked],
        _OF_ONE,
        limit,
    )
    return [_row(row, at) for row in rows]


async def networks(database: Database, asked: Sequence[tuple[int, str]], at: datetime, limit: int) -> list[Row]:
    """The stored networks that hold an address; `index` is the address's place in `asked`."""
    rows = await database.fetch(
        """SELECT c.place, i.* FROM unnest($1::int[], $2::inet[]) AS c (place, address)
           CROSS JOIN LATERAL (SELECT * FROM intel_indicators WHERE network IS NOT NULL AND network >>= c.address
                               ORDER BY masklen(network) DESC, source LIMIT $3) AS i
           ORDER BY c.place, i.value, i.source LIMIT $4""",
        list(range(len(asked))),
        [address for _, address in asked],
        _OF_ONE,
        limit,
    )
    return [_row(row, at) for row in rows]


async def urls_of_hosts(database: Database, asked: Sequence[Candidate], at: datetime, limit: int) -> list[Row]:
    """The stored URLs on these hosts; `index` is the place of the host in `asked`."""
    rows = await database.fetch(
        """SELECT c.place, i.* FROM unnest($1::int[], $2::text[]) AS c (place, host)
           CROSS JOIN LATERAL (SELECT * FROM intel_indicators WHERE host IS NOT NULL AND host = c.host
                               ORDER BY value, source LIMIT $3) AS i
           ORDER BY c.place, i.value, i.source LIMIT $4""",
        list(range(len(asked))),
        [item.value for item in asked],
        _OF_ONE,
        limit,
    )
    return [_row(row, at) for row in rows]


async def total(database: Database) -> int:
    """How many values all sources hold."""
    return int(await database.fetchval("SELECT coalesce(sum(entries), 0) FROM intel_sources"))


async def sources(database: Database, offset: int, limit: int) -> list[IntelSource]:
    """Up to `limit` sources by name, behind the first `offset`."""
    rows = await database.fetch("SELECT * FROM intel_sources ORDER BY name OFFSET $1 LIMIT $2", offset, limit)
    return [
        IntelSource(**{**dict(row.items()), "last_report": msgspec.convert(row["last_report"], IntelReport)})
        for row in rows
    ]


async def delete(connection: Connection, name: str) -> bool:
    """Forgets a source and all its rows; whether there was one."""
    found = await connection.execute("DELETE FROM intel_sources WHERE name = $1", name)
    # The rows have no foreign key, which would cost a tenth of each import. An import holds the source's row.
    await connection.execute("DELETE FROM intel_indicators WHERE source = $1", name)
    await connection.execute("DELETE FROM intel_vulnerabilities WHERE source = $1", name)
    return found > 0


def _row(row: Record, at: datetime) -> Row:
    return Row(row["place"], row["benign"], _indicator(row, at))


def _indicator(row: Record, at: datetime) -> IntelIndicator:
    detail = msgspec.convert(row["detail"], _Detail)
    return IntelIndicator(
        type=row["type"],
        value=row["value"],
        source=row["source"],
        status=status_of(revoked=row["revoked"], actionable=row["actionable"], until=row["valid_until"], at=at),
        confidence=row["confidence"],
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
        imported_at=row["imported_at"],
        updated_at=row["updated_at"],
        **{name: getattr(detail, name) for name in _DETAIL},
    )


def _vulnerability(row: Record) -> IntelVulnerability:
    return IntelVulnerability(**{name: row[name] for name in IntelVulnerability.__struct_fields__})
