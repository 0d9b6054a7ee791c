"""Many stored rows are held against rules in processes beside this one, with the matches of this one."""

from __future__ import annotations

import multiprocessing
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from services.siem.detections.engine import CompiledRule, Engine, compile_rule
from services.siem.evaluate import evaluate_rows
from services.siem.logs.store import StoredRow
from services.siem.past_engine import PastEngine

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROWS = 2_500
PROCESSES = 1


def rule(identifier: str, text: str) -> CompiledRule:
    return compile_rule(
        f"""\
title: T
id: {identifier}
level: low
logsource: {{product: linux}}
detection:
  keywords: ['{text}']
  condition: keywords
"""
    )


RULES = [
    rule("3e5b7f9a-10c5-4c2e-9d7f-000000000001", "7 port"),
    rule("3e5b7f9a-10c5-4c2e-9d7f-000000000002", "port 22"),
]


def row(number: int) -> StoredRow:
    raw = f"Nov 22 10:00:00 web01 sshd[{number}]: Connection closed by 192.0.2.{number % 250} port {number}"
    moment = NOW + timedelta(milliseconds=number)
    return StoredRow(f"{number:08}", moment, "r", 0, number, NOW, "test", "", "linux.auth", raw)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def engine() -> AsyncIterator[PastEngine]:
    engine = PastEngine(RULES, processes=PROCESSES)
    yield engine
    await engine.close()


async def places(engine: PastEngine, rows: list[StoredRow]) -> list[tuple[str, str]]:
    matches, failures = await engine.evaluate(rows)
    assert failures == []
    return [(match.rule_id, match.log_id) for match in matches]


async def test_processes_find_what_this_one_finds_also_after_they_were_killed(engine: PastEngine) -> None:
    rows = [row(number) for number in range(ROWS)]
    expected, _ = await evaluate_rows(rows, Engine(RULES))
    pairs = [(match.rule_id, match.log_id) for match in expected]
    assert {rule_id for rule_id, _ in pairs} == {rule.id for rule in RULES}
    assert await places(engine, rows) == pairs
    children = multiprocessing.active_children()
    assert len(children) == PROCESSES
    for child in children:
        child.kill()
        child.join()
    assert await places(engine, rows) == pairs
    engine.remove(RULES[0].id)
    assert await places(engine, rows) == [pair for pair in pairs if pair[0] == RULES[1].id]
    assert len(engine) == 1


async def test_a_few_rows_start_no_process() -> None:
    before = multiprocessing.active_children()
    engine = PastEngine(RULES, processes=PROCESSES)
    assert len(await places(engine, [row(7), row(8)])) == 1
    assert multiprocessing.active_children() == before
    await engine.close()
