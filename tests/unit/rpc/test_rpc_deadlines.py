"""Many time-outs on one timer behave as `asyncio.timeout` does."""

from __future__ import annotations

import asyncio

import pytest

from shared.rpc.deadlines import Deadlines

LONG = 30.0


async def blocked(deadlines: Deadlines, seconds: float) -> None:
    with deadlines.within(seconds):
        await asyncio.Event().wait()


async def test_a_block_beyond_its_time_raises_timeout_error() -> None:
    async with asyncio.timeout(LONG):
        with pytest.raises(TimeoutError):
            await blocked(Deadlines(), 0.01)


async def test_a_block_within_its_time_is_left_alone() -> None:
    deadlines = Deadlines()
    with deadlines.within(LONG) as deadline:
        await asyncio.sleep(0)
    assert not deadline.expired


async def test_a_shorter_deadline_that_comes_later_is_met_first() -> None:
    deadlines, ended = Deadlines(), []

    async def named(seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await blocked(deadlines, seconds)
        ended.append(seconds)

    async with asyncio.timeout(LONG):
        await asyncio.gather(named(0.15), named(0.05), named(0.1))
    assert ended == [0.05, 0.1, 0.15]


async def test_a_cancellation_from_outside_stays_one() -> None:
    task = asyncio.create_task(blocked(Deadlines(), LONG))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_task_is_usable_after_its_time_out() -> None:
    deadlines = Deadlines()
    async with asyncio.timeout(LONG):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await blocked(deadlines, 0.01)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_an_inner_deadline_leaves_the_outer_one_alone() -> None:
    deadlines = Deadlines()
    async with asyncio.timeout(LONG):
        with deadlines.within(LONG) as outer:
            with pytest.raises(TimeoutError), deadlines.within(0.01) as inner:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
    assert inner.expired
    assert not outer.expired


async def test_a_time_out_of_something_else_is_not_taken_for_ours() -> None:
    deadline = Deadlines().within(LONG)
    with pytest.raises(TimeoutError), deadline:
        raise TimeoutError
    assert not deadline.expired
