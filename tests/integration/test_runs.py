"""Runs over the past and the coverage ledger through siem's API: the past is matched as the present, and once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest_asyncio

from shared.clickhouse import Embedded
from shared.clock import new_id
from shared.contracts.coverage import GET_ATTACK_COVERAGE, AttackCoverage
from shared.contracts.detections import CREATE_RULE, IMPORT_RULES
from shared.contracts.runs import GET_RUN, LIST_RULE_RUNS, RUN_ALL_RULES, RUN_RULE, Run
from shared.contracts.wire import decode
from shared.postgres import Database
from tests.outside_rules import MEDIA_TYPES, members
from tests.runs import (
    EARLIER,
    SINCE,
    alerts,
    call,
    coverage,
    create,
    ended,
    evaluated,
    execution,
    run_over_all,
    send_samples,
    serve,
    start,
    told_gap,
)
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; rules and events keep apart by their ids."""
    with data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def database(running: Siem) -> AsyncIterator[Database]:
    """The siem's own tables."""
    database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"])
    yield database
    await database.close()


async def test_a_rule_is_run_over_events_from_before_it_and_raises_their_alerts_once(
    running: Siem, database: Database
) -> None:
    identifier, marker = new_id(), f"marker{new_id()[-12:]}"
    for _ in range(2):
        await running.ingest(execution(marker.upper()), content_type="text/plain")
    await evaluated(database)
    await create(running, identifier, marker)
    run = await run_over_all(running, identifier)
    assert (run.status, run.rule_id, run.matches, run.new_matches, run.alerts) == ("completed", identifier, 2, 2, 1)
    assert (run.progress, run.failures, run.error, run.requested_by) == (1.0, 0, None, "test")
    [alert] = await alerts(running, rule_id=identifier)
    assert (alert.count, alert.entities["host"]) == (2, "web09")
    again = await run_over_all(running, identifier)
    assert (again.matches, again.new_matches, again.alerts) == (2, 0, 0)
    [alert] = await alerts(running, rule_id=identifier)
    assert alert.count == 2
    _, listed = await call(running, "GET", LIST_RULE_RUNS.path.format(rule_id=identifier) + "?limit=1")
    assert [item["id"] for item in listed["items"]] == [again.id]
    assert listed["next_cursor"] is not None


async def test_what_was_matched_live_is_no_news_to_a_run_and_the_prefilter_spares_the_rest(
    running: Siem, database: Database
) -> None:
    identifier, marker = new_id(), f"marker{new_id()[-12:]}"
    await create(running, identifier, marker)
    await running.ingest(execution(marker), content_type="text/plain")
    await running.ingest(execution("another"), content_type="text/plain")
    await evaluated(database)
    run = await run_over_all(running, identifier)
    assert (run.matches, run.new_matches) == (1, 0)
    stored = await running.search("", limit=200)
    assert run.events_read < len(stored)
    [alert] = await alerts(running, rule_id=identifier)
    assert alert.count == 1


async def test_all_rules_over_the_samples_find_what_they_found_live(running: Siem, database: Database) -> None:
    await send_samples(running, database)
    live = await own_matches(database)
    assert len({rule_id for rule_id, _ in live}) > 5
    counts = {alert.id: alert.count for alert in await alerts(running, limit=200)}
    assert (await ended(running, await start(running, RUN_ALL_RULES.path))).status == "completed"
    assert await own_matches(database) == live
    await database.execute("DELETE FROM matches")
    run = await ended(running, await start(running, RUN_ALL_RULES.path))
    assert await own_matches(database) == live
    assert run.new_matches >= len(live)
    assert {alert.id for alert in await alerts(running, limit=200)} >= set(counts)


async def own_matches(database: Database) -> set[tuple[str, str]]:
    """Matches of Aurora's own rules: those of other tests may be newer than the events that they match."""
    rows = await database.fetch(
        "SELECT rule_id, log_id FROM matches JOIN rules ON id = rule_id WHERE origin = 'builtin'"
    )
    return {(row["rule_id"], row["log_id"]) for row in rows}


async def test_each_rule_alone_finds_through_its_prefilter_what_it_found_live(
    running: Siem, database: Database
) -> None:
    await send_samples(running, database)
    live = await own_matches(database)
    rules = sorted({rule_id for rule_id, _ in live})
    assert len(rules) > 5
    await database.execute("DELETE FROM matches")
    for rule_id in rules:
        assert (await run_over_all(running, rule_id)).status == "completed"
    assert await own_matches(database) == live


async def test_a_run_is_refused_for_a_rule_that_is_unknown_or_disabled_and_for_no_range(
    running: Siem, database: Database
) -> None:
    identifier = new_id()
    await create(running, identifier, "refused-marker")
    path = RUN_RULE.path.format(rule_id=identifier)
    for body in ({"since": "2999-01-01T00:00:00Z"}, {"since": SINCE, "until": SINCE}, {"since": "2026-01-01T00:00:00"}):
        status, answer = await call(running, "POST", path, body)
        assert (status, answer["error"]["code"]) == (422, "AURORA-4220"), answer
    await serve(database, identifier, False)
    status, answer = await call(running, "POST", path, {"since": SINCE})
    assert (status, answer["error"]["detail"]["enabled"]) == (409, False)
    status, _ = await call(running, "POST", RUN_RULE.path.format(rule_id=new_id()), {"since": SINCE})
    assert status == 404
    for unknown in (new_id(), "no-id"):
        assert (await call(running, "GET", GET_RUN.path.format(run_id=unknown)))[0] == 404
        assert (await call(running, "POST", f"/api/v1/detections/runs/{unknown}/cancel"))[0] == 404


async def test_a_run_is_cancelled_once_and_one_that_ended_is_not(running: Siem) -> None:
    runs = [await start(running, RUN_ALL_RULES.path) for _ in range(3)]
    status, answer = await call(running, "POST", f"/api/v1/detections/runs/{runs[-1].id}/cancel")
    assert (status, answer["status"]) == (200, "cancelled")
    assert answer["finished_at"] is not None
    status, answer = await call(running, "POST", f"/api/v1/detections/runs/{runs[-1].id}/cancel")
    assert (status, answer["error"]["detail"]) == (409, {"status": "cancelled"})
    for run in runs[:2]:
        assert (await ended(running, run)).status == "completed"


async def test_a_rule_is_covered_live_since_it_was_created_and_where_a_run_was(running: Siem) -> None:
    identifier = new_id()
    await create(running, identifier, "covered-marker")
    ledger = await coverage(running, identifier)
    assert ledger.live_since is not None
    assert ledger.gaps == []
    until = datetime.now(UTC) - timedelta(hours=1)
    run = await start(running, RUN_RULE.path.format(rule_id=identifier), until=until.isoformat())
    run = await ended(running, run)
    ledger = await coverage(running, identifier)
    first, last = ledger.intervals
    assert (first.since, first.until) == (run.since, run.until)
    assert (last.since, last.until) == (ledger.live_since, ledger.watermark)
    [gap] = ledger.gaps
    assert (gap.since, gap.until, gap.reason) == (run.until, ledger.live_since, "not served")


async def test_a_gap_raises_an_alert_when_it_ends_and_a_run_over_it_fills_it(running: Siem, database: Database) -> None:
    identifier, marker = new_id(), f"marker{new_id()[-12:]}"
    await create(running, identifier, marker)
    await serve(database, identifier, False)
    await running.ingest(execution(marker, datetime.now(UTC)), content_type="text/plain")
    await evaluated(database)
    growing = (await coverage(running, identifier)).gaps
    assert [gap.alert_id for gap in growing] == [None]
    await serve(database, identifier, True)
    gap = await told_gap(running, identifier)
    [alert] = [item for item in await alerts(running, source="coverage") if item.id == gap.alert_id]
    assert (alert.type, alert.severity, alert.status) == ("gap", "medium", "new")
    assert alert.source_ref is not None
    assert alert.source_ref.startswith(f"{identifier}:")
    span = {"since": gap.since.isoformat(), "until": gap.until.isoformat()}
    run = await ended(running, await start(running, RUN_RULE.path.format(rule_id=identifier), **span))
    assert (run.since, run.until, run.new_matches) == (gap.since, gap.until, 1)
    assert [alert.count for alert in await alerts(running, rule_id=identifier)] == [1]
    ledger = await coverage(running, identifier)
    assert ledger.gaps == []
    assert len(ledger.intervals) == 1
    [alert] = [item for item in await alerts(running, source="coverage") if item.id == gap.alert_id]
    assert alert.status == "resolved"


async def test_a_run_goes_on_behind_what_it_had_done_when_the_process_is_killed(
    running: Siem, database: Database
) -> None:
    identifier, marker = new_id(), f"marker{new_id()[-12:]}"
    await running.ingest(execution(marker), content_type="text/plain")
    await evaluated(database)
    await create(running, identifier, marker)
    await running.kill()
    moment = EARLIER - timedelta(days=1)
    # Whoever is alone with the engine waits for no lease.
    lease = timedelta(hours=1) if isinstance(running.place(), Embedded) else timedelta(seconds=1)
    await database.execute(
        """INSERT INTO runs (id, rule_id, since, until, position, status, requested_by, created_at, started_at, rules,
                             events_read, owner, lease_until)
           VALUES (gen_random_uuid(), $1, '2020-01-01Z', now(), $2, 'running', 'test', now(), now(), ARRAY[$1], 1000,
                   gen_random_uuid(), now() + $3::interval)""",
        identifier,
        moment,
        lease,
    )
    await running.start()
    _, listed = await call(running, "GET", LIST_RULE_RUNS.path.format(rule_id=identifier))
    run = await ended(running, decode(orjson.dumps(listed["items"][0]), Run))
    assert (run.status, run.events_read, run.new_matches) == ("completed", 1001, 1)


async def test_a_technique_counts_where_a_tested_rule_has_a_source_and_fields_to_look_at(
    running: Siem, database: Database
) -> None:
    await running.ingest(execution("anything"), content_type="text/plain")
    await evaluated(database)

    def tagged(source: str, field: str, tests: str = "") -> str:
        return f"""\
title: A rule of a technique
id: {new_id()}
status: test
level: low
tags: [attack.t9999.001]
logsource: {source}
detection: {{selection: {{{field}: echo}}, condition: selection}}
{tests}"""

    linux = "{product: linux, category: process_creation}"
    event = orjson.dumps(execution("echo")).decode()
    given = {
        "counts": tagged(linux, "CommandLine|contains", f"tests: {{match: [{event}]}}"),
        "untested": tagged(linux, "CommandLine|contains"),
        "unseen": tagged("{product: macos}", "CommandLine|contains"),
        "empty": tagged(linux, "NoSuchField"),
        "disabled": tagged(linux, "CommandLine|contains"),
    }
    names = {}
    for name, text in given.items():
        status, answer = await call(running, "POST", CREATE_RULE.path, {"sigma": text})
        assert status == 201, answer
        names[answer["id"]] = name
        if name == "disabled":
            await serve(database, answer["id"], False)
    await running.ingest(execution("refresh"), content_type="text/plain")
    await evaluated(database)
    status, answer = await call(running, "GET", f"{GET_ATTACK_COVERAGE.path}?technique=T9999")
    assert status == 200, answer
    report = decode(orjson.dumps(answer), AttackCoverage)
    [technique] = report.techniques
    assert (technique.id, technique.counts, technique.enabled_rules, technique.counting_rules) == (
        "T9999.001",
        True,
        4,
        1,
    )
    assert report.counting == 1
    assert {names[rule.rule_id]: rule.missing for rule in technique.rules} == {
        "counts": [],
        "untested": ["untested"],
        "unseen": ["log source not seen in the last 7 days", "untested"],
        "empty": ["fields not populated: nosuchfield", "untested"],
        "disabled": ["not enabled"],
    }
    status, answer = await call(running, "GET", GET_ATTACK_COVERAGE.path)
    whole = decode(orjson.dumps(answer), AttackCoverage)
    assert len(whole.techniques) > 10
    assert {rule.rule_id for item in whole.techniques for rule in item.rules} > set(names)


async def test_a_correlation_is_run_by_the_rules_that_feed_it(running: Siem, database: Database) -> None:
    base, identifier, marker = new_id(), new_id(), f"marker{new_id()[-12:]}"
    await create(running, base, marker)
    for second in range(3):
        moment = EARLIER + timedelta(seconds=second)
        await running.ingest(execution(marker, moment), content_type="text/plain")
    await evaluated(database)
    correlation = f"""\
title: Three of {marker}
id: {identifier}
status: test
level: high
correlation:
  type: event_count
  rules: ["{base}"]
  group-by: [host.name]
  timespan: 1m
  condition: {{gte: 3}}
"""
    status, answer = await call(running, "POST", CREATE_RULE.path, {"sigma": correlation})
    assert status == 201, answer
    run = await run_over_all(running, identifier)
    assert (run.status, run.matches, run.new_matches) == ("completed", 3, 0)
    assert [alert.title for alert in await alerts(running, rule_id=identifier)] == [f"Three of {marker}"]
    assert len((await coverage(running, identifier)).intervals) == 1


async def test_the_attacks_that_sigmahq_recorded_are_found_in_the_past_as_they_were_live(
    running: Siem, database: Database
) -> None:
    sets = list(members("sigma-regression-dev.tar.xz", *MEDIA_TYPES))
    wanted = {path.stem for path, _ in sets}
    texts = [content.decode() for _, content in members("sigma-rules.tar.xz", ".yml")]
    chosen = [text for text in texts if any(f"id: {one}" in text for one in wanted)]
    headers = {**running.headers(), "Content-Type": "application/yaml"}
    body = "\n---\n".join(chosen).encode()
    async with running.http().post(running.url + IMPORT_RULES.path, data=body, headers=headers) as response:
        assert response.status == 200
    for path, content in sets:
        status, answer, _ = await running.ingest(content, content_type=MEDIA_TYPES[path.suffix])
        assert status == 202, answer
    await evaluated(database)

    async def matches() -> set[tuple[str, str]]:
        rows = await database.fetch("SELECT rule_id, log_id FROM matches WHERE rule_id = ANY($1)", sorted(wanted))
        return {(row["rule_id"], row["log_id"]) for row in rows}

    live = await matches()
    assert len({rule_id for rule_id, _ in live}) > 100
    await database.execute("DELETE FROM matches WHERE rule_id = ANY($1)", sorted(wanted))
    assert (await ended(running, await start(running, RUN_ALL_RULES.path))).status == "completed"
    assert await matches() == live
    await database.execute("DELETE FROM matches WHERE rule_id = ANY($1)", sorted(wanted))
    matched = sorted({rule_id for rule_id, _ in live})
    for first in range(0, len(matched), 50):
        some = matched[first : first + 50]
        runs = [await start(running, RUN_RULE.path.format(rule_id=rule_id)) for rule_id in some]
        for run in runs:
            assert (await ended(running, run)).status == "completed"
    assert await matches() == live
