"""Several instances of an agent: calls are spread, a handoff stays where it is, and moves only when that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from shared.contracts.agents import Handoff
from shared.errors import DEADLINE_EXCEEDED, UNAVAILABLE, AuroraError
from shared.rpc import Fleet, PeerLimits, Server
from tests import rpc_kit as kit
from tests.rpc_kit import SECONDS, Agent, handoff, serving

NAME = "triage"
QUICK = PeerLimits(connect_seconds=0.3)


@dataclass
class Instance:
    """One of several: what it saw, and where it is reached. `kill` ends it as kill -9 would: no word, no port."""

    agent: Agent
    server: Server
    url: str
    wire: kit.Cutting
    proxy: asyncio.Server

    def kill(self) -> None:
        self.proxy.close()
        self.wire.cut()


class Watched:
    """A fleet with some instances of one agent, that is told who is there."""

    def __init__(self, fleet: Fleet, instances: list[Instance]) -> None:
        self.fleet = fleet
        self.instances = instances

    def there(self, *instances: Instance) -> None:
        self.fleet.follow({NAME: [instance.url for instance in instances]} if instances else {})

    def made(self, identifier: str, *, seconds: float = 60.0) -> Handoff:
        return msgspec.structs.replace(handoff(identifier, seconds=seconds), address=self.fleet.place(NAME))

    def at(self, made: Handoff) -> tuple[Instance, Instance]:
        """The instance that it was made for, and the other one."""
        first, second = self.instances
        return (first, second) if made.address == first.url else (second, first)

    async def wait(self, made: Handoff) -> int:
        return await self.fleet.call(NAME, kit.WAIT, kit.Wait("a"), handoff=made, timeout=SECONDS)


@asynccontextmanager
async def doubled(limits: PeerLimits = QUICK) -> AsyncIterator[Watched]:
    async with AsyncExitStack() as stack:
        instances = []
        for _ in range(2):
            agent = Agent()
            server = await stack.enter_async_context(serving(agent))
            wire = kit.Cutting(server.port)
            proxy = await stack.enter_async_context(await asyncio.start_server(wire.handle, kit.HOST, 0))
            url = f"ws://{kit.HOST}:{proxy.sockets[0].getsockname()[1]}"
            instances.append(Instance(agent, server, url, wire, proxy))
        fleet = Fleet(lambda _agent: kit.TOKEN, {}, limits)
        stack.push_async_callback(fleet.close)
        watched = Watched(fleet, instances)
        watched.there(*instances)
        yield watched


async def test_calls_are_spread_over_the_instances() -> None:
    async with doubled() as watched:
        calls = [asyncio.create_task(watched.wait(watched.made(f"h-{number}"))) for number in range(6)]
        for instance in watched.instances:
            await instance.agent.until("a", runs=3)
        for instance in watched.instances:
            await instance.agent.open("a")
        await asyncio.gather(*calls)
        assert [instance.agent.runs["a"] for instance in watched.instances] == [3, 3]


async def test_the_instance_with_fewer_calls_under_way_is_chosen() -> None:
    async with doubled() as watched:
        busy = watched.made("busy")
        call = asyncio.create_task(watched.wait(busy))
        here, other = watched.at(busy)
        await here.agent.until("a")
        for number in range(3):
            made = watched.made(f"h-{number}")
            await watched.fleet.call(NAME, kit.SUM, kit.Numbers([]), handoff=made, timeout=SECONDS)
            assert made.address == other.url
        await here.agent.open("a")
        await call


async def test_a_handoff_of_an_instance_that_is_gone_is_done_by_another() -> None:
    async with doubled() as watched:
        made = watched.made("h-1")
        here, other = watched.at(made)
        call = asyncio.create_task(watched.wait(made))
        await here.agent.until("a")
        here.kill()
        watched.there(other)
        await other.agent.until("a")
        await other.agent.open("a")
        async with asyncio.timeout(SECONDS):
            assert await call == 1


async def test_a_handoff_asked_again_goes_to_the_instance_that_did_it() -> None:
    async with doubled() as watched:
        made = watched.made("h-1")
        here, other = watched.at(made)
        await here.agent.open("a")
        assert await watched.wait(made) == 1
        # The caller starts anew: it knows nothing of the first time but the handoff.
        fleet = Fleet(lambda _agent: kit.TOKEN, {}, QUICK)
        fleet.follow({NAME: [other.url, here.url]})
        try:
            again = await fleet.call(NAME, kit.WAIT, kit.Wait("a"), handoff=made, timeout=SECONDS)
        finally:
            await fleet.close()
        assert (again, here.agent.runs, other.agent.runs) == (1, {"a": 1}, {})


async def test_an_instance_that_leaves_may_finish_what_it_has() -> None:
    async with doubled() as watched:
        made = watched.made("h-1")
        here, other = watched.at(made)
        call = asyncio.create_task(watched.wait(made))
        await here.agent.until("a")
        watched.there(other)
        closing = asyncio.create_task(here.server.close(grace=SECONDS))
        late = watched.made("h-2")
        assert late.address == other.url
        await here.agent.open("a")
        async with asyncio.timeout(SECONDS):
            assert await call == 1
            await closing
        assert other.agent.runs == {}


async def test_while_its_instance_lives_a_handoff_is_not_done_by_another() -> None:
    async with doubled(PeerLimits(connect_seconds=0.1, resends=0)) as watched:
        made = watched.made("h-1")
        here, other = watched.at(made)
        here.kill()
        # Nobody says that it is gone: it may only be away for a moment.
        with pytest.raises(AuroraError) as caught:
            await watched.wait(made)
        assert caught.value.code is UNAVAILABLE
        assert other.agent.runs == {}


async def test_a_call_that_nobody_takes_ends_in_time() -> None:
    async with doubled(PeerLimits(connect_seconds=60)) as watched:
        made = watched.made("h-1", seconds=0.2)
        here, _ = watched.at(made)
        here.kill()
        with pytest.raises(AuroraError) as caught:
            await watched.fleet.call(NAME, kit.WAIT, kit.Wait("a"), handoff=made, timeout=0.2)
        assert caught.value.code is DEADLINE_EXCEEDED


async def test_when_all_are_gone_a_waiting_call_is_unavailable_at_once() -> None:
    async with doubled(PeerLimits(connect_seconds=60)) as watched:
        made = watched.made("h-1")
        here, _ = watched.at(made)
        here.kill()
        call = asyncio.create_task(watched.wait(made))
        await asyncio.wait([call], timeout=0.05)
        watched.there()
        with pytest.raises(AuroraError) as caught:
            async with asyncio.timeout(SECONDS):
                await call
        assert caught.value.code is UNAVAILABLE


async def test_a_cancelled_call_cancels_the_handler_on_its_instance() -> None:
    async with doubled() as watched:
        made = watched.made("h-1")
        here, _ = watched.at(made)
        call = asyncio.create_task(watched.wait(made))
        await here.agent.until("a")
        call.cancel()
        await here.agent.until_cancelled("a")


async def test_fixed_addresses_serve_until_an_agent_says_where_it_is() -> None:
    now = 100.0
    fleet = Fleet(lambda _agent: kit.TOKEN, {NAME: "ws://127.0.0.1:1/"}, clock=lambda: now)
    assert fleet.places(NAME) == ["ws://127.0.0.1:1"]
    fleet.follow({NAME: ["ws://127.0.0.1:2"], "threat_intel": ["ws://127.0.0.1:3"]})
    assert fleet.places(NAME) == ["ws://127.0.0.1:2"]
    assert fleet.names() == ["threat_intel", "triage"]
    fleet.follow({})
    # It may only be starting again, where it always did; later it is known to be gone.
    assert fleet.places(NAME) == ["ws://127.0.0.1:1"]
    now += 31
    assert (fleet.has(NAME), fleet.has("threat_intel"), fleet.place(NAME)) == (False, False, None)
    fleet.follow({NAME: ["ws://127.0.0.1:2"]})
    assert fleet.has(NAME)
