"""Questions that go together: each gets its own answer, one refusal is everyone's, nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import UNAVAILABLE, AuroraError
from shared.tally import Tally


class Store:
    """Answers with the square, one round trip at a time, each when it is let go."""

    def __init__(self) -> None:
        self.trips: list[list[int]] = []
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def ask(self, questions: Sequence[int]) -> Sequence[int]:
        self.trips.append(list(questions))
        self.asked.set()
        await self.go.wait()
        if -1 in questions:
            raise AuroraError(UNAVAILABLE)
        if -2 in questions:
            raise RuntimeError("a bug")
        return [question**2 for question in questions]


async def test_what_comes_meanwhile_goes_together_and_each_gets_its_own_answer() -> None:
    store = Store()
    tally = Tally("store", store.ask)
    first = asyncio.create_task(tally.ask(1))
    async with asyncio.timeout(5):
        await store.asked.wait()
        later = [asyncio.create_task(tally.ask(number)) for number in range(2, 300)]
        await asyncio.sleep(0)
        store.go.set()
        assert [await first, *(await asyncio.gather(*later))] == [number**2 for number in range(1, 300)]
    assert [len(trip) for trip in store.trips] == [1, 128, 128, 42]
    await tally.close()


async def test_a_refusal_is_everyones_and_the_next_is_asked_anew() -> None:
    store = Store()
    store.go.set()
    tally = Tally("store", store.ask)
    answers = await asyncio.gather(tally.ask(-1), tally.ask(2), return_exceptions=True)
    assert [answer.code for answer in answers if isinstance(answer, AuroraError)] == [UNAVAILABLE, UNAVAILABLE]
    assert await tally.ask(3) == 9


async def test_who_left_doesnt_keep_the_others_from_their_answers() -> None:
    store = Store()
    tally = Tally("store", store.ask)
    leaving, staying = asyncio.create_task(tally.ask(2)), asyncio.create_task(tally.ask(3))
    async with asyncio.timeout(5):
        await store.asked.wait()
        leaving.cancel()
        store.go.set()
        assert await staying == 9
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_nobody_waits_for_an_answer_that_cant_come() -> None:
    store = Store()
    store.go.set()
    tally = Tally("store", store.ask)
    asking = asyncio.create_task(tally.ask(-2))
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert await tally.ask(4) == 16


async def test_too_many_waiting_are_refused() -> None:
    store = Store()
    tally = Tally("store", store.ask)
    waiting = [asyncio.create_task(tally.ask(number)) for number in range(20_000, 30_200)]
    done, pending = await asyncio.wait(waiting, timeout=0.5)
    assert {task.exception().code for task in done} == {UNAVAILABLE}  # type: ignore[union-attr]
    assert 10_000 <= len(pending) < 10_200
    store.go.set()
    await asyncio.gather(*pending)
