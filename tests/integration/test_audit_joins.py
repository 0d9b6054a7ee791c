"""Audit records of one serial that come in several requests: one match and one alert, as if they had come in one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from shared.clock import new_id
from shared.contracts.alerts import Alert
from shared.contracts.coverage import GET_ATTACK_COVERAGE
from shared.contracts.detections import CREATE_RULE
from shared.postgres import Database
from tests.runs import alerts, call, evaluated, run_over_all
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder

RULE = """\
title: A process of which no record says all
id: {rule}
status: test
level: high
tags: [attack.t9998]
logsource: {{product: linux, category: process_creation}}
detection:
  selection:
    Image: /usr/bin/cat
    CommandLine|contains: '{marker}'
    CurrentDirectory: /home/bob
  ordinary:
    User: backup
  condition: selection and not ordinary
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; rules and events keep apart by their markers."""
    with data_folder() as folder:
        async with siem(servers, folder) as started:
            yield started


@pytest_asyncio.fixture(loop_scope="session")
async def database(running: Siem) -> AsyncIterator[Database]:
    """The siem's own tables."""
    database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"])
    yield database
    await database.close()


def records(marker: str) -> list[str]:
    """What the kernel says of one execution."""
    stamp = f"node=web09 type={{}} msg=audit(1763596800.125:{int(marker[-8:], 16)}):"
    call = "arch=c000003e syscall=59 success=yes exit=0 items=1 ppid=10 pid=11 uid=0 auid=0"
    return [
        f'{stamp.format("SYSCALL")} {call} comm="cat" exe="/usr/bin/cat" key="exec"',
        f'{stamp.format("EXECVE")} argc=2 a0="cat" a1="{marker}"',
        f'{stamp.format("CWD")} cwd="/home/bob"',
        f'{stamp.format("PATH")} item=0 name="/usr/bin/cat" inode=20 nametype=NORMAL',
    ]


def names() -> tuple[str, str]:
    """A rule's id, and a marker."""
    return new_id(), new_id().replace("-", "")


async def create(running: Siem, rule: str, marker: str) -> None:
    status, answer = await call(running, "POST", CREATE_RULE.path, {"sigma": RULE.format(rule=rule, marker=marker)})
    assert status == 201, answer


async def send(running: Siem, lines: list[str]) -> None:
    status, answer, _ = await running.ingest("\n".join(lines), content_type="text/plain", query={"source": "auditd"})
    assert status == 202, answer


async def looked_at(database: Database) -> None:
    """Returns when nothing waits for its siblings any more."""
    await evaluated(database)
    async with asyncio.timeout(20):
        while await database.fetchval("SELECT count(*) FROM apart_batches"):  # noqa: ASYNC110 - another process' table
            await asyncio.sleep(0.05)


async def alert_of(running: Siem, rule: str) -> Alert:
    async with asyncio.timeout(20):
        while not (found := await alerts(running, rule_id=rule)):  # noqa: ASYNC110 - another process raises it
            await asyncio.sleep(0.05)
    [alert] = found
    return alert


async def test_records_sent_one_by_one_are_matched_as_those_sent_together(running: Siem, database: Database) -> None:
    torn, whole = names(), names()
    for rule, marker in (torn, whole):
        await create(running, rule, marker)
    for line in reversed(records(torn[1])):
        await send(running, [line])
    await send(running, records(whole[1]))
    found = [await alert_of(running, rule) for rule, _ in (torn, whole)]
    await looked_at(database)
    assert [alert.count for alert in found] == [1, 1]
    assert found[0].entities == found[1].entities
    for rule, _ in (torn, whole):
        run = await run_over_all(running, rule)
        assert (run.matches, run.new_matches) == (1, 0), "the past must say what was said live"


async def test_a_rule_of_later_finds_records_that_came_one_by_one(running: Siem, database: Database) -> None:
    rule, marker = names()
    for line in records(marker):
        await send(running, [line])
    await looked_at(database)
    await create(running, rule, marker)
    run = await run_over_all(running, rule)
    assert (run.matches, run.new_matches, run.alerts) == (1, 1, 1)
    _, answer = await call(running, "GET", f"{GET_ATTACK_COVERAGE.path}?technique=T9998")
    missing = {found["rule_id"]: found["missing"] for found in answer["techniques"][0]["rules"]}
    assert missing[rule] == ["untested"], "its log source and its fields were seen"


async def test_the_second_look_comes_after_a_crash_too(running: Siem, database: Database) -> None:
    (first, one), (second, other) = names(), names()
    await create(running, first, one)
    await create(running, second, other)
    for line in records(one):
        await send(running, [line])
    await evaluated(database)
    assert await database.fetchval("SELECT count(*) FROM apart_batches"), "evaluated, and waiting for the second look"
    for line in records(other)[:-1]:
        await send(running, [line])
    await running.kill()
    await running.start()
    await send(running, records(other)[-1:])
    for rule in (first, second):
        assert (await alert_of(running, rule)).count == 1
