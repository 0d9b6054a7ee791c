"""The ledger: one run for one key, and kept replies bounded by count, bytes and age."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from shared.errors import CONFLICT, AuroraError
from shared.rpc.ledger import Entry, Ledger, Reply
from shared.rpc.limits import RpcLimits


class Work:
    """Counts its runs; each answers with its number."""

    def __init__(self, size: int = 0, keep: bool = True) -> None:
        self.runs = 0
        self._padding = b" " * size
        self._keep = keep

    async def __call__(self) -> Reply:
        self.runs += 1
        return Reply(str(self.runs).encode() + self._padding, self._keep)


async def answer(ledger: Ledger, key: str, work: Work, digest: int = 0) -> bytes:
    entry = ledger.enter(key, digest, lambda: asyncio.create_task(work()))
    if isinstance(entry, Reply):
        return entry.body.strip()
    reply = await entry.task
    ledger.leave(key, entry, give_up=False)
    return reply.body.strip()


def running(ledger: Ledger, key: str, work: Callable[[], Coroutine[Any, Any, Reply]]) -> Entry:
    entry = ledger.enter(key, 0, lambda: asyncio.create_task(work()))
    assert isinstance(entry, Entry)
    return entry


async def test_a_kept_reply_is_given_again() -> None:
    ledger, work = Ledger(RpcLimits()), Work()
    assert [await answer(ledger, "a", work) for _ in range(3)] == [b"1"] * 3
    assert await answer(ledger, "b", work) == b"2"


async def test_a_reply_that_a_retry_may_better_is_not_kept() -> None:
    ledger, work = Ledger(RpcLimits()), Work(keep=False)
    assert [await answer(ledger, "a", work) for _ in range(2)] == [b"1", b"2"]


async def test_kept_replies_are_forgotten_by_count() -> None:
    ledger, work = Ledger(RpcLimits(kept_replies=2)), Work()
    assert [await answer(ledger, key, work) for key in "abc"] == [b"1", b"2", b"3"]
    assert [await answer(ledger, key, work) for key in "cba"] == [b"3", b"2", b"4"]


async def test_kept_replies_are_forgotten_by_bytes() -> None:
    ledger, work = Ledger(RpcLimits(kept_bytes=250)), Work(size=100)
    assert [await answer(ledger, key, work) for key in "abc"] == [b"1", b"2", b"3"]
    assert [await answer(ledger, key, work) for key in "cba"] == [b"3", b"2", b"4"]


async def test_kept_replies_are_forgotten_by_age() -> None:
    now = 0.0
    ledger, work = Ledger(RpcLimits(kept_seconds=10), clock=lambda: now), Work()
    assert await answer(ledger, "a", work) == b"1"
    now = 9.0
    assert await answer(ledger, "a", work) == b"1"
    now = 10.0
    assert await answer(ledger, "a", work) == b"2"


async def test_a_key_stands_for_one_request_only() -> None:
    ledger, work = Ledger(RpcLimits()), Work()
    await answer(ledger, "a", work, 1)
    with pytest.raises(AuroraError) as refused:
        ledger.enter("a", 2, lambda: asyncio.create_task(work()))
    assert refused.value.code is CONFLICT


async def test_work_is_stopped_when_the_last_one_gives_it_up() -> None:
    ledger, gate = Ledger(RpcLimits()), asyncio.Event()

    async def blocked() -> Reply:
        await gate.wait()
        return Reply(b"done")

    first, second = (running(ledger, "a", blocked) for _ in range(2))
    assert first is second
    ledger.leave("a", first, give_up=True)
    assert not first.task.cancelling()
    ledger.leave("a", second, give_up=True)
    again = running(ledger, "a", blocked)
    assert again.task is not first.task
    await asyncio.wait([first.task])
    assert first.task.cancelled()
    gate.set()
    assert (await again.task).body == b"done"
    await asyncio.wait([again.task])


async def test_who_merely_leaves_lets_the_work_go_on() -> None:
    ledger, gate = Ledger(RpcLimits()), asyncio.Event()

    async def blocked() -> Reply:
        await gate.wait()
        return Reply(b"done")

    entry = running(ledger, "a", blocked)
    ledger.leave("a", entry, give_up=False)
    gate.set()
    assert (await entry.task).body == b"done"
    assert ledger.tasks == set()
