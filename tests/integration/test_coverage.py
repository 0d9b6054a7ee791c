"""The coverage ledger on a real Postgres: events that could not be evaluated, and what fills their holes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest_asyncio

from services.siem.alerts.service import AlertsService
from services.siem.coverage.service import CoverageService
from services.siem.detections.service import RulesService
from services.siem.match import Failure
from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.alerts import AlertQuery
from shared.outbox import Outbox
from shared.postgres import Database
from tests.roles import migrated
from tests.stack import Servers

MIGRATIONS = Path(__file__).parents[2] / "services" / "siem" / "migrations"
RULE = """\
title: A word
id: 5f1c86a0-0a4e-4a4c-8f6c-0d3c1f8f6e11
level: low
logsource: {product: linux}
detection: {selection: {word: needle}, condition: selection}
"""
RULE_ID = "5f1c86a0-0a4e-4a4c-8f6c-0d3c1f8f6e11"


@pytest_asyncio.fixture(loop_scope="session")
async def database(servers: Servers) -> AsyncIterator[Database]:
    async with migrated(servers, "siem", MIGRATIONS) as database:
        yield database


async def _completed_run(
    database: Database, ledger: CoverageService, since: datetime, until: datetime, failed: Sequence[datetime] = ()
) -> None:
    identifier = UUID(new_id())
    async with database.transaction() as connection:
        await connection.execute(
            """INSERT INTO runs (id, since, until, position, status, requested_by, created_at, rules, failed_times)
               VALUES ($1, $2, $3, $3, 'completed', 'test', $3, ARRAY[$4], coalesce(
                 (SELECT range_agg(tstzrange(moment, moment + interval '1 millisecond'))
                  FROM unnest($5::timestamptz[]) AS moment), '{}'))""",
            identifier,
            since,
            until,
            RULE_ID,
            list(failed),
        )
        await ledger.evaluated(connection, identifier)


async def test_an_event_that_no_rule_could_be_evaluated_over_is_a_hole_until_a_run_evaluates_it(
    database: Database, bus: Bus
) -> None:
    outbox = Outbox(database, bus, "siem")
    alerts = AlertsService(database, outbox)
    ledger = CoverageService(database, alerts, outbox)
    await RulesService(database).create(RULE)
    await database.execute("UPDATE coverage SET live_since = live_since - interval '1 hour'")
    moment = utc_now() - timedelta(minutes=30)
    async with database.transaction() as connection:
        await ledger.failed(connection, [Failure(new_id(), moment, "ZeroDivisionError")] * 2)
    assert (await ledger.tell_some(), await ledger.tell_some()) == (1, 0)
    [alert] = (await alerts.list_alerts(AlertQuery(source="coverage"))).items
    assert (alert.type, alert.status, alert.first_seen) == ("gap", "new", moment)
    [gap] = (await ledger.of_rule(RULE_ID)).gaps
    assert (gap.since, gap.until) == (moment, moment + timedelta(milliseconds=1))
    assert (gap.reason, gap.alert_id) == ("events not evaluated", alert.id)
    around = (moment - timedelta(minutes=1), moment + timedelta(minutes=1))
    await _completed_run(database, ledger, *around, failed=[moment])
    assert len((await ledger.of_rule(RULE_ID)).gaps) == 1
    await _completed_run(database, ledger, *around)
    covered = await ledger.of_rule(RULE_ID)
    assert (covered.gaps, len(covered.intervals)) == ([], 1)
    assert (await alerts.get(alert.id)).status == "resolved"


async def test_a_rule_that_ceases_to_be_served_is_covered_up_to_the_batches_that_wait(database: Database) -> None:
    await RulesService(database).create(RULE)
    await database.execute("UPDATE coverage SET live_since = live_since - interval '1 hour'")
    await database.execute(
        "INSERT INTO batches (owner, rows, created_at) VALUES ($1, 1, now() - interval '10 minutes')", UUID(new_id())
    )
    await database.execute("UPDATE rules SET enabled = false")
    row = await database.fetchrow("SELECT upper(covered) AS until, unserved_since, live_since FROM coverage")
    assert row is not None
    assert row["until"] == row["unserved_since"] <= datetime.now(UTC) - timedelta(minutes=10)
    assert row["live_since"] is None
