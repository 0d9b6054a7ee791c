"""The SQL of detection rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from services.siem.detections.engine.compiled import COMPILER_VERSION, CompiledRule, decode, encode
from services.siem.hit import Hit
from services.siem.match import Match
from shared.contracts.detections import DetectionRule, LogSource, RuleChanged, RuleQuery
from shared.contracts.rule_versions import RuleVersion
from shared.contracts.wire import encode as encode_json
from shared.postgres import Connection, Database, Record

Origin = Literal["builtin", "api", "import"]
_LOCK = 0x52554C45  # "RULE"
_COLUMNS = """id, title, description, level, status, product, category, service, tags, mitre_techniques, author, origin,
              problem, sigma, compiled, compiler_version, created_at, updated_at"""
_VALUES = "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17"


@dataclass(frozen=True, slots=True)
class Document:
    """A Sigma document and what it compiled to."""

    sigma: str
    rule: CompiledRule


@dataclass(frozen=True, slots=True)
class Known:
    """What an import has to know of a stored rule."""

    sigma: str
    compiler_version: int
    origin: Origin


@dataclass(frozen=True, slots=True)
class Stored:
    """A rule as it was compiled last."""

    sigma: str
    rule: CompiledRule
    origin: Origin


@dataclass(frozen=True, slots=True)
class Author:
    """Who brings a text, and why."""

    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """A rule as the engine needs it. `compiled` is stale when `compiler_version` isn't the engine's own."""

    id: str
    revision: int
    enabled: bool
    sigma: str
    compiled: bytes
    compiler_version: int


def _rule(row: Record) -> DetectionRule:
    return DetectionRule(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        level=row["level"],
        status=row["status"],
        enabled=row["enabled"],
        logsource=LogSource(row["product"], row["category"], row["service"]),
        tags=row["tags"],
        mitre_techniques=row["mitre_techniques"],
        author=row["author"],
        origin=row["origin"],
        problem=row["problem"],
        sigma=row["sigma"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        revision=row["revision"],
    )


def _parameters(document: Document, origin: Origin, now: datetime) -> tuple[Any, ...]:
    rule = document.rule
    return (
        rule.id,
        rule.title,
        rule.description,
        rule.level,
        rule.status,
        rule.product,
        rule.category,
        rule.service,
        rule.tags,
        rule.mitre_techniques,
        rule.author,
        origin,
        rule.problem,
        document.sigma,
        encode(rule),
        COMPILER_VERSION,
        now,
    )


async def lock(connection: Connection) -> None:
    """Makes writers of rules take turns, so that revisions become visible in their order."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext(current_schema()))", _LOCK)


async def insert(
    connection: Connection, document: Document, origin: Origin, author: Author, now: datetime, *, enabled: bool = True
) -> DetectionRule:
    """Stores a new rule. Raises UniqueViolation when its id is taken. Call `lock` first."""
    row = await connection.fetchrow(
        f"INSERT INTO rules ({_COLUMNS}, enabled) VALUES ({_VALUES}, $18) RETURNING *",  # noqa: S608 - constants of this file
        *_parameters(document, origin, now),
        enabled,
    )
    await _keep_versions(connection, [document.rule.id], author, now)
    return _rule(row)


async def upsert(
    connection: Connection, documents: Sequence[Document], origin: Origin, author: Author, now: datetime
) -> None:
    """Stores rules, over the text of those of the same id, which stay enabled or disabled. Call `lock` first."""
    await connection.executemany(
        f"""INSERT INTO rules ({_COLUMNS}) VALUES ({_VALUES})
            ON CONFLICT (id) DO UPDATE SET
              title = excluded.title, description = excluded.description, level = excluded.level,
              status = excluded.status, product = excluded.product, category = excluded.category,
              service = excluded.service, tags = excluded.tags, mitre_techniques = excluded.mitre_techniques,
              author = excluded.author, origin = excluded.origin, problem = excluded.problem, sigma = excluded.sigma,
              version = rules.version + (excluded.sigma <> rules.sigma)::int,
              compiled = excluded.compiled, compiler_version = excluded.compiler_version,
              updated_at = excluded.updated_at, revision = nextval('rule_revisions')""",  # noqa: S608
        [_parameters(document, origin, now) for document in documents],
    )
    await _keep_versions(connection, [document.rule.id for document in documents], author, now)


async def _keep_versions(connection: Connection, identifiers: Sequence[str], author: Author, now: datetime) -> None:
    """Notes the texts in force; one that was only compiled again is no new version."""
    await connection.execute(
        """INSERT INTO rule_versions (rule_id, version, sigma, origin, created_by, created_at, reason)
           SELECT id, version, sigma, origin, $2, $3, $4 FROM rules WHERE id = ANY($1) ON CONFLICT DO NOTHING""",
        list(identifiers),
        author.name,
        now,
        author.reason,
    )


async def set_enabled(connection: Connection, identifier: str, enabled: bool, now: datetime) -> None:
    """Takes a rule into service or out of it. Call `lock` first."""
    await connection.execute(
        """UPDATE rules SET enabled = $2, updated_at = $3, revision = nextval('rule_revisions')
           WHERE id = $1 AND enabled <> $2""",
        identifier,
        enabled,
        now,
    )


async def known(connection: Connection | Database, identifiers: Sequence[str]) -> dict[str, Known]:
    """Those that are stored, by id."""
    rows = await connection.fetch(
        "SELECT id, sigma, compiler_version, origin FROM rules WHERE id = ANY($1)", list(identifiers)
    )
    return {row["id"]: Known(row["sigma"], row["compiler_version"], row["origin"]) for row in rows}


async def mentioning(connection: Connection, word: str) -> list[Stored]:
    """The rules whose text has a word, if this version compiled them."""
    rows = await connection.fetch(
        "SELECT sigma, compiled, origin FROM rules WHERE strpos(sigma, $1) > 0 AND compiler_version = $2",
        word,
        COMPILER_VERSION,
    )
    return [Stored(row["sigma"], decode(row["compiled"]), row["origin"]) for row in rows]


async def last_revision(connection: Connection) -> int:
    """That of the rule that was changed last; 0 when there is none. Call `lock` first."""
    return int(await connection.fetchval("SELECT coalesce(max(revision), 0) FROM rules"))


async def told_since(connection: Connection, revision: int, author: Author) -> list[RuleChanged]:
    """The rules that were changed after `revision`, as the author of that left them."""
    rows = await connection.fetch(
        """SELECT id AS rule_id, title, level, created_at = updated_at AS created, enabled, version, revision, problem
           FROM rules WHERE revision > $1 ORDER BY revision""",
        revision,
    )
    return [RuleChanged(changed_by=author.name, reason=author.reason, **dict(row.items())) for row in rows]


async def find(database: Database | Connection, identifier: str) -> DetectionRule | None:
    """One rule by its Sigma id."""
    row = await database.fetchrow("SELECT * FROM rules WHERE id = $1", identifier)
    return None if row is None else _rule(row)


async def version(database: Database | Connection, identifier: str, number: int) -> RuleVersion | None:
    """One text of a rule."""
    row = await database.fetchrow("SELECT * FROM rule_versions WHERE rule_id = $1 AND version = $2", identifier, number)
    return None if row is None else RuleVersion(**dict(row.items()))


async def versions(database: Database, identifier: str, before: int | None, limit: int) -> list[RuleVersion]:
    """Up to `limit` texts of a rule, newest first."""
    rows = await database.fetch(
        """SELECT * FROM rule_versions WHERE rule_id = $1 AND ($2::bigint IS NULL OR version < $2)
           ORDER BY version DESC LIMIT $3""",
        identifier,
        before,
        limit,
    )
    return [RuleVersion(**dict(row.items())) for row in rows]


async def page(database: Database, query: RuleQuery, before: int | None) -> list[tuple[int, DetectionRule]]:
    """Up to `limit` + 1 rules, newest first, each with its position."""
    rows = await database.fetch(
        """SELECT * FROM rules
           WHERE ($1::bigint IS NULL OR position < $1)
             AND ($2::text IS NULL OR level = $2)
             AND ($3::boolean IS NULL OR enabled = $3)
             AND ($4::text IS NULL OR strpos(lower(title), lower($4)) > 0)
           ORDER BY position DESC LIMIT $5""",
        before,
        query.level,
        query.enabled,
        query.q,
        query.limit + 1,
    )
    return [(row["position"], _rule(row)) for row in rows]


async def changed_since(database: Database, revision: int) -> list[Changed]:
    """What changed after `revision`, in order."""
    rows = await database.fetch(
        """SELECT id, revision, enabled, sigma, compiled, compiler_version FROM rules
           WHERE revision > $1 ORDER BY revision""",
        revision,
    )
    return [Changed(**dict(row.items())) for row in rows]


async def count(database: Database) -> int:
    """How many rules there are."""
    return int(await database.fetchval("SELECT count(*) FROM rules"))


async def count_enabled(database: Database) -> int:
    """How many rules are on and can run."""
    return int(await database.fetchval("SELECT count(*) FROM rules WHERE enabled AND problem IS NULL"))


async def record_matches(
    connection: Connection, matches: Sequence[Match], now: datetime, run_id: UUID | None
) -> list[Match]:
    """Records matches; those that weren't there yet, in their order."""
    rows = await connection.fetch(
        """INSERT INTO matches (rule_id, log_id, timestamp, found_at, latency_ms, run_id)
           SELECT rule_id, log_id, timestamp, $5, extract(epoch FROM $5 - ingested_at) * 1000, $6
           FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[])
                AS new (rule_id, log_id, timestamp, ingested_at)
           ON CONFLICT DO NOTHING RETURNING rule_id, log_id""",
        [match.rule_id for match in matches],
        [match.log_id for match in matches],
        [match.timestamp for match in matches],
        [match.ingested_at for match in matches],
        now,
        run_id,
    )
    new = {(row["rule_id"], row["log_id"]) for row in rows}
    return [match for match in matches if (match.rule_id, match.log_id) in new]


async def record_hits(connection: Connection, hits: Sequence[Hit], now: datetime) -> set[tuple[str, str]]:
    """Records windows of correlations that fired; (rule id, log id) of those that weren't there yet."""
    rows = await connection.fetch(
        """INSERT INTO matches (rule_id, log_id, timestamp, found_at, latency_ms, suppression_id, run_id, group_values)
           SELECT rule_id, log_id, timestamp, $8, greatest(0, extract(epoch FROM $8 - known_at) * 1000),
                  suppression_id, run_id, group_values::jsonb
           FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::uuid[], $6::uuid[], $7::text[])
                AS new (rule_id, log_id, timestamp, known_at, suppression_id, run_id, group_values)
           ON CONFLICT DO NOTHING RETURNING rule_id, log_id""",
        [hit.rule_id for hit in hits],
        [hit.log_id for hit in hits],
        [hit.timestamp for hit in hits],
        [hit.known_at for hit in hits],
        [hit.suppression_id for hit in hits],
        [hit.run_id for hit in hits],
        [encode_json(hit.group).decode() for hit in hits],
        now,
    )
    return {(row["rule_id"], row["log_id"]) for row in rows}


async def assign_alerts(connection: Connection, alerts: Mapping[tuple[str, str], str | None]) -> None:
    """Notes on each match, by rule and log id, the alert that counts it."""
    await _assign(connection, "alert_id = new.value", alerts)


async def assign_suppressions(connection: Connection, suppressions: Mapping[tuple[str, str], UUID]) -> None:
    """Notes on each match, by rule and log id, the suppression that hid it."""
    await _assign(connection, "suppression_id = new.value::uuid", suppressions)


async def _assign(connection: Connection, assignment: str, values: Mapping[tuple[str, str], UUID | str | None]) -> None:
    if not values:
        return
    await connection.execute(
        f"""UPDATE matches SET {assignment}
            FROM unnest($1::text[], $2::text[], $3::text[]) AS new (rule_id, log_id, value)
            WHERE matches.rule_id = new.rule_id AND matches.log_id = new.log_id""",  # noqa: S608 - a constant of this file
        [rule_id for rule_id, _ in values],
        [log_id for _, log_id in values],
        [None if value is None else str(value) for value in values.values()],
    )
