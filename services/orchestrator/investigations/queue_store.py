"""The SQL of the queue: the lease by which one process works on an investigation, its rounds, and its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from services.orchestrator.investigations.domain import AGEING, LAST_LOOKS, MAX_ROUNDS, Case
from services.orchestrator.investigations.looks import Held, next_look, ordered
from services.orchestrator.investigations.merging import Outcome
from services.orchestrator.investigations.subject import Subject
from shared.contracts.investigations import InvestigationStatus
from shared.postgres import Connection, Database, Record

#: The usual length is that of so many that ended lately.
_RECENT = 50


@dataclass(frozen=True, slots=True)
class Claimed:
    """An investigation that this process works on now."""

    id: str
    reason: str
    requested_by: str
    traceparent: str | None


async def claim(database: Database, owner: str, now: datetime, lease_seconds: float) -> Claimed | None:
    """Takes the one that is first in the queue, of those that wait or whose worker is gone."""
    async with database.transaction() as connection:
        row = await connection.fetchrow(
            """UPDATE investigations SET status = 'running', lease_owner = $1, lease_until = $3, claimed_at = $2
               WHERE id = (SELECT id FROM investigations
                           WHERE parked_at IS NULL
                             AND (status = 'queued' OR (status = 'running' AND lease_until < $2))
                           ORDER BY due_at, position LIMIT 1 FOR UPDATE SKIP LOCKED)
               RETURNING *""",
            owner,
            now,
            now + timedelta(seconds=lease_seconds),
        )
    if row is None:
        return None
    return Claimed(row["id"], row["reason"], row["requested_by"], row["traceparent"])


async def renew(
    database: Database, owner: str, identifiers: Collection[str], now: datetime, lease_seconds: float
) -> set[str]:
    """Keeps what this process works on; those that it must let go: parked, cancelled, or taken by another one."""
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE investigations SET lease_until = $3 WHERE lease_owner = $1 AND id = ANY($2) AND status = 'running'",
            owner,
            list(identifiers),
            now + timedelta(seconds=lease_seconds),
        )
        rows = await connection.fetch(
            """SELECT id FROM investigations
               WHERE id = ANY($2) AND lease_owner IS DISTINCT FROM $1
                 AND status IN ('queued', 'running', 'cancelled')""",
            owner,
            list(identifiers),
        )
    return {row["id"] for row in rows}


async def give_back(database: Database, owner: str) -> None:
    """At an orderly stop: whoever is there next may take them at once."""
    await database.execute(
        "UPDATE investigations SET status = 'queued', lease_owner = NULL WHERE lease_owner = $1 AND status = 'running'",
        owner,
    )


async def continue_due(database: Database, now: datetime) -> int:
    """Queues those that go on by themselves, since an alert of theirs was seen again; how many."""
    return await database.execute(
        """UPDATE investigations SET status = 'queued', completed_at = NULL, continue_at = NULL,
                  due_at = $1::timestamptz - priority * $2::interval
           WHERE continue_at <= $1 AND completed_at IS NOT NULL AND status <> 'cancelled'""",
        now,
        AGEING,
    )


async def held(connection: Connection, identifier: str, owner: str) -> Record | None:
    """The row, locked until the transaction ends; None when it isn't this worker's any more."""
    return await connection.fetchrow(
        "SELECT * FROM investigations WHERE id = $1 AND lease_owner = $2 AND status = 'running' FOR UPDATE",
        identifier,
        owner,
    )


async def has_new_alerts(connection: Connection, identifier: str) -> bool:
    """Whether alerts have joined that no round was about."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM investigation_alerts WHERE investigation_id = $1 AND round IS NULL)",
            identifier,
        )
    )


async def open_round(connection: Connection, row: Record, *, anew: bool) -> Case | None:
    """Begins the next round of a held row; None when there is nothing left to look at. `anew` is one after an end:
    alerts that were seen again since are looked at again, and where nothing waits, all are."""
    number, identifier = row["round"] + 1, row["id"]
    if anew:
        await connection.execute(
            "UPDATE investigation_alerts SET round = NULL, refired = false WHERE investigation_id = $1 AND refired",
            identifier,
        )
    known = await _held_alerts(connection, identifier)
    chosen = next_look(known, last=number >= MAX_ROUNDS)
    if not chosen and anew:
        chosen = next_look([replace(alert, round=None) for alert in known], last=number >= MAX_ROUNDS)
    if not chosen or (number > MAX_ROUNDS + LAST_LOOKS and all(alert.round for alert in known)):
        return None
    await connection.execute(
        """UPDATE investigation_alerts
           SET round = $2, refired = false, asked_count = coalesce((subject->>'count')::bigint, 1)
           WHERE investigation_id = $1 AND alert_id = ANY($3)""",
        identifier,
        number,
        chosen,
    )
    await connection.execute(
        "UPDATE investigations SET round = $2, round_open = true WHERE id = $1", identifier, number
    )
    return await case_of(connection, row, number)


async def case_of(connection: Connection, row: Record, number: int) -> Case:
    """What a round is about."""
    known = await _held_alerts(connection, row["id"])
    return Case(
        id=row["id"],
        round=number,
        subjects=ordered([alert.subject for alert in known if alert.round == number]),
        others=ordered([alert.subject for alert in known if alert.round != number]),
        chosen=row["agents"],
    )


async def _held_alerts(connection: Connection, identifier: str) -> list[Held]:
    rows = await connection.fetch(
        "SELECT subject, round FROM investigation_alerts WHERE investigation_id = $1", identifier
    )
    return [Held(msgspec.convert(item["subject"], Subject), item["round"]) for item in rows]


async def note_verdict(
    database: Database, identifier: str, owner: str, outcome: Outcome, now: datetime, *, first: bool
) -> bool:
    """Writes the verdict so far; False when the investigation isn't this worker's any more."""
    return bool(
        await database.execute(
            """UPDATE investigations SET severity = coalesce($3, severity), confidence = coalesce($4, confidence),
                      verdict = coalesce($5, verdict), summary = CASE WHEN $5::text IS NULL THEN summary ELSE $6 END,
                      mitre_techniques = CASE WHEN $5::text IS NULL THEN mitre_techniques ELSE $7 END,
                      first_verdict_at = CASE WHEN $9 AND $5::text IS NOT NULL THEN coalesce(first_verdict_at, $8)
                                              ELSE first_verdict_at END
               WHERE id = $1 AND lease_owner = $2 AND status = 'running'""",
            identifier,
            owner,
            outcome.severity,
            outcome.confidence,
            outcome.verdict,
            outcome.summary,
            outcome.mitre_techniques,
            now,
            first,
        )
    )


async def complete(
    connection: Connection,
    identifier: str,
    status: InvestigationStatus,
    outcome: Outcome,
    now: datetime,
    pause: timedelta,
) -> Record:
    """Writes the end of a held row. Where an alert was seen again meanwhile it goes on by itself after `pause`, which
    each further round doubles."""
    return await connection.fetchrow(
        """UPDATE investigations SET status = $2, severity = $3, confidence = $4, verdict = $5, mitre_techniques = $6,
                  iocs = $7, summary = $8, findings = $9, citations = $10, ruled_out = $11, not_checked = $12,
                  contradictions = $13, plan = $14, report = $15, completed_at = $16::timestamptz,
                  first_verdict_at = coalesce(first_verdict_at, $16),
                  worked_seconds = extract(epoch FROM $16::timestamptz - claimed_at),
                  continue_at = CASE WHEN round < $18 AND EXISTS (SELECT 1 FROM investigation_alerts
                                                                  WHERE investigation_id = $1 AND refired)
                                     THEN $16::timestamptz + $17::interval * power(2, round - 1) END,
                  round_open = false, lease_owner = NULL, lease_until = NULL
           WHERE id = $1 RETURNING *""",
        identifier,
        status,
        outcome.severity,
        outcome.confidence,
        outcome.verdict,
        outcome.mitre_techniques,
        outcome.iocs,
        outcome.summary,
        outcome.findings,
        outcome.citations,
        outcome.ruled_out,
        outcome.not_checked,
        outcome.contradictions,
        outcome.plan,
        outcome.report,
        now,
        pause,
        MAX_ROUNDS,
    )


async def fail(connection: Connection, identifier: str, outcome: Outcome, now: datetime) -> Record:
    """Writes the end of a held row that came to no verdict; what an earlier round found stays."""
    return await connection.fetchrow(
        """UPDATE investigations SET status = 'failed', summary = $2, not_checked = $3, completed_at = $4,
                  round_open = false, lease_owner = NULL, lease_until = NULL
           WHERE id = $1 RETURNING *""",
        identifier,
        outcome.summary,
        outcome.not_checked,
        now,
    )


async def places(database: Database, identifiers: Sequence[str]) -> Mapping[str, int]:
    """The places in the queue, from 1, of those that wait in it."""
    rows = await database.fetch(
        """SELECT id, place FROM (
               SELECT id, row_number() OVER (ORDER BY due_at, position) AS place FROM investigations
               WHERE status = 'queued' AND parked_at IS NULL) AS waiting
           WHERE id = ANY($1)""",
        list(identifiers),
    )
    return {row["id"]: row["place"] for row in rows}


async def pace(database: Database) -> tuple[int, float | None]:
    """How many are worked on, and the seconds that one takes in the middle of those that ended lately, if any did."""
    row = await database.fetchrow(
        """SELECT (SELECT count(*) FROM investigations WHERE status = 'running') AS busy,
                  (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY worked_seconds) FROM (
                       SELECT worked_seconds FROM investigations WHERE worked_seconds IS NOT NULL
                       ORDER BY completed_at DESC NULLS LAST LIMIT $1) AS lately) AS usual""",
        _RECENT,
    )
    return (0, None) if row is None else (row["busy"], row["usual"])
