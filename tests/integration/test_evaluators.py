"""Rules evaluated in processes beside this one: the same matches, and nothing lost when such a process dies."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from services.siem.batch import StoredEvent
from services.siem.detections.engine import CompiledRule, compile_rule
from services.siem.detections.evaluators import Beside, Evaluator, Here
from services.siem.event import Event, View

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)
RULE = """\
title: The word {word}
id: 5f1c86a0-0a4e-4a4c-8f6c-0d3c1f8f6e{number:02d}
level: low
logsource: {{product: linux}}
detection: {{selection: {{word|contains: {word}}}, condition: selection}}
"""


def rule(number: int, word: str) -> CompiledRule:
    return compile_rule(RULE.format(number=number, word=word))


def events(count: int) -> list[StoredEvent]:
    """Every third has a needle, in its second view, and every value is of some awkward kind."""
    stored = []
    for number in range(count):
        odd = ["\ud800", 2**80, None, [1.5, True], "ſ"][number % 5]
        views = [
            View(None, None, (), {"odd": odd}),
            View("linux", None, ("sshd",), {"word": "a NEEDLE" if number % 3 == 0 else "hay", "odd": odd}),
        ]
        stored.append(StoredEvent(f"log-{number}", NOW, "test", Event(NOW, "test", "message", {}, views)))
    return stored


def children() -> Iterator[multiprocessing.process.BaseProcess]:
    yield from multiprocessing.active_children()


@pytest_asyncio.fixture(loop_scope="module")
async def beside() -> AsyncIterator[Beside]:
    evaluator = Beside(2, index=True)
    async with asyncio.timeout(60):
        await evaluator.start()
    yield evaluator
    await evaluator.close()


async def found(evaluator: Evaluator, stored: list[StoredEvent]) -> list[tuple[str, str, object]]:
    async with asyncio.timeout(60):
        matches, failures = await evaluator.evaluate(stored)
    assert failures == []
    return [(match.rule_id, match.log_id, match.fields.get("odd")) for match in matches]


@pytest.mark.asyncio(loop_scope="module")
async def test_processes_find_what_this_process_finds_in_the_same_order(beside: Beside) -> None:
    here, stored = Here(index=True), events(2_000)
    for evaluator in (here, beside):
        evaluator.add(rule(1, "needle"))
        evaluator.add(rule(2, "a n"))
    expected = await found(here, stored)
    assert len(expected) == 2 * 667
    assert await found(beside, stored) == expected
    beside.remove(rule(2, "a n").id)
    assert await found(beside, stored) == [match for match in expected if match[0] == rule(1, "needle").id]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_process_that_was_killed_is_replaced_and_has_every_rule(beside: Beside) -> None:
    stored = events(300)
    beside.add(rule(3, "needle"))
    before = await found(beside, stored)
    for child in children():
        child.kill()
        child.join(10)
    assert [match for match in await found(beside, stored) if match[0] == rule(3, "needle").id]
    assert await found(beside, stored) == before


@pytest.mark.asyncio(loop_scope="module")
async def test_an_empty_batch_is_evaluated_at_once(beside: Beside) -> None:
    assert await beside.evaluate([]) == ([], [])
