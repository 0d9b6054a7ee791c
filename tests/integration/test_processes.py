"""Processes that parse, encode and evaluate beside siem: what they answer, and what becomes of it when one dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from services.siem.batch import Evaluation
from services.siem.detections.engine import CompiledRule, compile_rule
from services.siem.logs.parsers import Item
from services.siem.logs.preparation import PART_ITEMS, Body, Part, Request
from services.siem.logs.store import StoredRow
from services.siem.match import Found
from services.siem.processes import Processes
from shared.clock import new_id, utc_now
from shared.errors import INTERNAL, MALFORMED_REQUEST, UNAVAILABLE, AuroraError

RULE = """\
title: The word {word}
id: 5f1c86a0-0a4e-4a4c-8f6c-0d3c1f8f6e{number:02d}
level: low
logsource: {{product: linux}}
detection: {{keywords: [{word}], condition: keywords}}
"""


def rule(number: int, word: str) -> CompiledRule:
    return compile_rule(RULE.format(number=number, word=word))


def request() -> Request:
    return Request(new_id(), utc_now(), "test", None, {"traceparent": "a trace"})


def lines(count: int) -> Body:
    """Lines of a Linux log; every third has a needle."""
    words = ("NEEDLE", "hay", "häy")
    return Body(
        "\n".join(f"Jun 14 12:00:00 web01 app[7]: {words[n % 3]} {n}" for n in range(count)).encode(), "text/plain"
    )


@asynccontextmanager
async def processes(number: int = 2, *, index: bool = True) -> AsyncIterator[Processes]:
    running = Processes(number, index=index)
    task = asyncio.create_task(running.run())
    try:
        yield running
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest_asyncio.fixture(loop_scope="module")
async def beside() -> AsyncIterator[Processes]:
    async with processes() as running:
        yield running


async def prepared(running: Processes, content: Body | Sequence[Item]) -> list[tuple[Part, Evaluation]]:
    async with asyncio.timeout(60):
        return [answer async for answer in running.prepare(content, 1, request())]


async def found(evaluation: Evaluation) -> Found:
    async with asyncio.timeout(60):
        result = await evaluation
    assert result is not None
    return result


def children() -> list[int]:
    """The processes of this module that run now."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"services.siem.processing" in (entry / "cmdline").read_bytes():
                pids.append(int(entry.name))
        except OSError:
            continue
    return [
        pid for pid in pids if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1] == str(os.getpid())
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_request_comes_back_in_parts_in_order_with_a_row_for_each_event(beside: Processes) -> None:
    parts = [part for part, _ in await prepared(beside, lines(2 * PART_ITEMS + 5))]
    assert [len(part.rows) for part in parts] == [PART_ITEMS, PART_ITEMS, 5]
    assert [place for part in parts for place in part.ids] == list(range(2 * PART_ITEMS + 5))
    assert all(
        part.ids[place].encode() in row for part in parts for place, row in zip(part.ids, part.rows, strict=True)
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_accepted_is_held_against_the_rules_of_that_moment(beside: Processes) -> None:
    beside.add(rule(1, "needle"))
    [(part, evaluation)] = await prepared(beside, lines(30))
    result = await found(evaluation)
    matches = [match for match in result.matches if match.rule_id == rule(1, "needle").id]
    assert [match.log_id for match in matches] == [part.ids[place] for place in range(0, 30, 3)]
    assert matches[0].trace == {"traceparent": "a trace"}
    assert result.version == beside.version
    beside.remove(rule(1, "needle").id)
    [(_, evaluation)] = await prepared(beside, lines(30))
    later = await found(evaluation)
    assert later.version == beside.version > result.version
    assert [match for match in later.matches if match.rule_id == rule(1, "needle").id] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_refused_comes_back_with_its_reason(beside: Processes) -> None:
    [(part, _)] = await prepared(beside, [b"fine", b"", b"fine too"])
    assert list(part.ids) == [0, 2]
    assert part.problems == {1: ("empty", b"")}
    with pytest.raises(AuroraError) as refused:
        await prepared(beside, Body(b"{", "application/json"))
    assert refused.value.code is MALFORMED_REQUEST


async def test_a_process_that_was_killed_is_replaced_and_has_every_rule() -> None:
    async with processes(1) as running:
        running.add(rule(3, "needle"))
        [(_, evaluation)] = await prepared(running, lines(3))
        before = await found(evaluation)
        [pid] = children()
        asking = asyncio.create_task(prepared(running, lines(100_000)))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(AuroraError) as refused:
            await asking
        assert refused.value.code is UNAVAILABLE
        assert refused.value.retry_after
        [(_, evaluation)] = await prepared(running, lines(3))
        after = await found(evaluation)
        assert [match.rule_id for match in after.matches] == [match.rule_id for match in before.matches]
        assert children() != [pid]


async def test_what_a_killed_process_was_to_evaluate_is_to_be_read_again() -> None:
    async with processes(1) as running:
        job = running.prepare(lines(5 * PART_ITEMS), 1, request())
        _, evaluation = await anext(job)
        [pid] = children()
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            assert await evaluation is None


async def test_stored_events_that_break_a_parser_are_told_and_end_no_process() -> None:
    async with processes(1) as running:
        row = StoredRow("id", utc_now(), "receipt", 0, 0, utc_now(), "test", "a format of another version", "d", "raw")
        evaluation = await running.again([row])
        with pytest.raises(AuroraError) as broken:
            await found(evaluation)
        assert broken.value.code is INTERNAL
        assert len(await prepared(running, lines(1))) == 1


async def test_processes_end_with_whoever_keeps_them() -> None:
    async with processes(2) as running:
        await prepared(running, lines(1))
        assert len(children()) == 2
    assert children() == []
