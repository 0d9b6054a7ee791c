"""What is begun at once is a task like any other as soon as it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

import pytest

from shared.rpc.eager import Eager

T = TypeVar("T")
LONG = 30.0
_mark: ContextVar[str] = ContextVar("mark", default="outside")


async def in_a_callback(function: Callable[[], T]) -> T:
    """What a function returns that the loop calls with no task running, as it does when data comes."""
    told: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def call() -> None:
        try:
            told.set_result(function())
        except BaseException as error:  # noqa: BLE001 - handed on to who waits
            told.set_exception(error)

    asyncio.get_running_loop().call_soon(call)
    return await told


async def begun(eager: Eager, work: Coroutine[Any, Any, T]) -> T | asyncio.Task[T]:
    """What `begin` says where it begins in place."""
    # The parked task takes its first step before anything else does.
    await asyncio.sleep(0)
    return await in_a_callback(lambda: eager.begin(work, "work"))


async def task_of(eager: Eager, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """The task of work that waits."""
    task = await begun(eager, work)
    assert isinstance(task, asyncio.Task)
    return task


async def test_what_never_waits_is_done_at_once_and_has_a_task_meanwhile() -> None:
    async def work() -> str:
        task = asyncio.current_task()
        assert task is not None
        assert not task.done()
        return "done"

    eager = Eager()
    assert [await begun(eager, work()) for _ in range(3)] == ["done"] * 3
    eager.close()


async def test_it_raises_what_the_work_raises_before_it_waits() -> None:
    async def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await begun(Eager(), work())


async def test_what_waits_goes_on_in_the_task_it_began_in() -> None:
    gate, seen = asyncio.Event(), []

    async def work() -> str:
        seen.append(asyncio.current_task())
        await gate.wait()
        seen.append(asyncio.current_task())
        await asyncio.sleep(0)
        seen.append(asyncio.current_task())
        return "done"

    task = await task_of(Eager(), work())
    assert (task.done(), task.get_name()) == (False, "work")
    gate.set()
    assert await task == "done"
    assert seen == [task] * 3


async def test_an_exception_after_waiting_is_the_tasks() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    task = await task_of(Eager(), work())
    with pytest.raises(KeyError):
        await task


async def test_a_failure_of_what_it_waits_for_reaches_it() -> None:
    waits_for: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await waits_for
        except KeyError:
            return "caught"
        return "missed"

    task = await task_of(Eager(), work())
    waits_for.set_exception(KeyError("x"))
    assert await task == "caught"


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_cancelling_ends_what_it_waits_for_and_is_seen_by_the_work(turns: int) -> None:
    seen = []

    async def inner() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("inner")
            raise

    async def work() -> None:
        try:
            await asyncio.create_task(inner())
        except asyncio.CancelledError:
            seen.append("work")
            raise

    eager = Eager()
    await asyncio.sleep(0)

    def begin() -> asyncio.Task[None]:
        task = eager.begin(work(), "work")
        assert isinstance(task, asyncio.Task)
        if turns == 0:
            task.cancel()
        return task

    task = await in_a_callback(begin)
    for _ in range(turns):
        await asyncio.sleep(0)
    if turns:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["inner", "work"]


async def test_a_cancellation_may_be_survived() -> None:
    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        await asyncio.sleep(0)
        return "alive"

    task = await task_of(Eager(), work())
    task.cancel()
    assert await task == "alive"
    assert not task.cancelled()


async def test_a_time_out_that_began_at_once_ends_what_waits() -> None:
    async def work() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    async with asyncio.timeout(LONG):
        assert await (await task_of(Eager(), work())) == "late"


async def test_a_task_group_works_across_the_first_wait() -> None:
    async def part(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def work() -> list[int]:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(part(number)) for number in range(3)]
        return [one.result() for one in parts]

    assert await (await task_of(Eager(), work())) == [0, 1, 2]


async def test_several_may_wait_for_the_same() -> None:
    waits_for: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        return await waits_for

    eager = Eager()
    first, second = [await task_of(eager, work()) for _ in range(2)]

    def together() -> list[str | asyncio.Task[str]]:
        # A task of asyncio that begins to wait before the parked one carries the other on.
        return [asyncio.get_running_loop().create_task(work()), *(eager.begin(work(), "more") for _ in range(2))]

    more = await in_a_callback(together)
    await asyncio.sleep(0)
    waits_for.set_result("here")
    tasks = [first, second, *(task for task in more if isinstance(task, asyncio.Task))]
    assert await asyncio.gather(*tasks) == ["here"] * 5


async def test_each_has_context_variables_of_its_own() -> None:
    async def work(name: str) -> str:
        _mark.set(name)
        await asyncio.sleep(0)
        return _mark.get()

    async def quick(name: str) -> str:
        before = _mark.get()
        _mark.set(name)
        return before

    eager = Eager()
    task = await task_of(eager, work("first"))
    assert [await begun(eager, quick(name)) for name in "ab"] == ["outside", "outside"]
    assert await task == "first"
    assert _mark.get() == "outside"


async def test_called_by_a_task_it_begins_in_the_next_turn() -> None:
    seen = []

    async def work() -> None:
        seen.append(asyncio.current_task())

    eager = Eager()
    await asyncio.sleep(0)
    task = eager.begin(work(), "work")
    assert (isinstance(task, asyncio.Task), seen) == (True, [])
    assert isinstance(task, asyncio.Task)
    await task
    assert seen == [task]


async def test_work_that_asks_for_its_own_end_ends_no_other() -> None:
    async def work() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "done"

    async def waits() -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return "never"

    async def other() -> str:
        await asyncio.sleep(0)
        return "other"

    eager = Eager()
    assert await begun(eager, work()) == "done"
    assert await (await task_of(eager, other())) == "other"
    with pytest.raises(asyncio.CancelledError):
        await (await task_of(eager, waits()))
    assert await (await task_of(eager, other())) == "other"


async def test_closed_it_still_begins_as_tasks_do() -> None:
    async def work() -> str:
        return "done"

    eager = Eager()
    await asyncio.sleep(0)
    eager.close()
    assert await (await task_of(eager, work())) == "done"
