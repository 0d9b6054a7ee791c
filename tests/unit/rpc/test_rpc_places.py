"""Places: so many at a time, in order, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from shared.rpc.places import Places


async def entered(places: Places) -> None:
    if not places.take():
        await places.wait()


async def queued(places: Places, number: int) -> list[asyncio.Task[None]]:
    """So many who wait, in order."""
    waiting = [asyncio.create_task(entered(places)) for _ in range(number)]
    await asyncio.sleep(0)
    return waiting


async def test_no_more_than_so_many_are_inside() -> None:
    places = Places(2)
    assert [places.take() for _ in range(3)] == [True, True, False]
    places.leave()
    assert [places.take() for _ in range(2)] == [True, False]


async def test_who_waits_longest_is_next_and_nobody_overtakes() -> None:
    places = Places(1)
    assert places.take()
    first, second = await queued(places, 2)
    places.leave()
    assert not places.take()
    await first
    assert not second.done()
    places.leave()
    await second
    places.leave()
    assert places.take()


async def test_who_stops_waiting_takes_no_place() -> None:
    places = Places(1)
    assert places.take()
    first, second = await queued(places, 2)
    first.cancel()
    await asyncio.wait([first])
    places.leave()
    await second
    assert first.cancelled()


async def test_a_place_that_comes_together_with_a_cancellation_goes_to_the_next() -> None:
    places = Places(1)
    assert places.take()
    first, second = await queued(places, 2)
    places.leave()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    places.leave()
    assert places.take()
