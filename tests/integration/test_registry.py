"""Agents that come, move, double and go, on real NATS and in real processes: who calls them follows within 3 s."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
import pytest_asyncio
from aiohttp import ClientSession
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.agent_cards import AgentCard, Registration
from shared.contracts.agents import DESCRIBE, Nothing
from shared.identity import Signer
from shared.keyring import SigningKey, new_private_key, service_jwk
from shared.registry import BUCKET, SILENT_SECONDS, Directory, announce
from shared.rpc import Fleet, PeerLimits
from tests import rpc_kit as kit
from tests import stack
from tests.gateway import process
from tests.stack import AGENTS_USER, OTHER_USER, Servers

#: The promise, and room for a machine that is busy with other tests.
FOLLOWED_SECONDS = 3.0
MARGIN_SECONDS = 5.0
AGENT = "triage"


@dataclass
class Follower:
    """Somebody who calls agents: what it knows, and how it learns of it."""

    signer: Signer
    fleet: Fleet
    directory: Directory
    changed: asyncio.Condition
    environment: dict[str, str]
    folder: Path

    async def knows(self, count: int) -> list[str]:
        """Returns the addresses once so many instances of the agent are known."""
        async with asyncio.timeout(FOLLOWED_SECONDS + MARGIN_SECONDS), self.changed:
            await self.changed.wait_for(lambda: len(self.fleet.places(AGENT)) == count)
        return self.fleet.places(AGENT)

    async def asks(self) -> str:
        """What the agent says it is called."""
        made = msgspec.structs.replace(kit.handoff(new_id()), address=self.fleet.place(AGENT))
        answer = await self.fleet.call(AGENT, DESCRIBE, Nothing(), handoff=made, timeout=kit.SECONDS)
        return answer.agent

    async def fuzzes(self, url: str) -> None:
        """Sends the agent frames that are near to requests, or nothing like one."""
        chance = random.Random(20261122)
        token = {"Authorization": f"Bearer {self.signer.own_token(f'agent:{AGENT}')}"}
        for _ in range(10):
            async with asyncio.timeout(kit.SECONDS), connect(url, additional_headers=token, proxy=None) as socket:
                reading = asyncio.create_task(read(socket))
                # A binary frame closes the connection, which ends this round.
                with suppress(ConnectionClosed):
                    for _ in range(60):
                        await socket.send(fuzzed(chance))
                await socket.close()
                await reading

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Any]:
        """A real process of agents that serves this one on a free port."""
        async with process(self.environment, self.folder / f"{new_id()}.log", "agents") as (_, child):
            yield child


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_servers() -> AsyncIterator[Servers]:
    """Of their own: one test restarts NATS, and the registry of another would be heard."""
    with stack.data_folder() as folder:
        async with stack.embedded_servers(folder) as running:
            yield running


@asynccontextmanager
async def connected(servers: Servers, user: str) -> AsyncIterator[Bus]:
    password = servers.password_file_of(user).read_text(encoding="utf-8").strip()
    bus = await Bus.connect(servers.nats_url, user=user, password=password, name=f"test-{user}")
    try:
        yield bus
    finally:
        await bus.close()


@pytest_asyncio.fixture(loop_scope="session")
async def follower(own_servers: Servers, tmp_path: Path) -> AsyncIterator[Follower]:
    for name in ("orchestrator", "agents"):
        (tmp_path / f"{name}.key").write_text(new_private_key(), encoding="utf-8")
    jwks = [service_jwk(name, (tmp_path / f"{name}.key").read_text()) for name in ("orchestrator", "agents")]
    (tmp_path / "identity.jwks").write_bytes(msgspec.json.encode({"keys": jwks}))
    signer = Signer("orchestrator", SigningKey(tmp_path / "orchestrator.key"))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AURORA_")},
        "AURORA_NATS_URL": own_servers.nats_url,
        "AURORA_NATS_USER": AGENTS_USER,
        "AURORA_NATS_PASSWORD_FILE": str(own_servers.password_file_of(AGENTS_USER)),
        "AURORA_IDENTITY_KEY_FILE": str(tmp_path / "agents.key"),
        "AURORA_IDENTITY_JWKS_FILE": str(tmp_path / "identity.jwks"),
        "AURORA_AGENT_URLS": f'{{"{AGENT}": "ws://127.0.0.1:0"}}',
        "AURORA_HTTP_PORT": "0",
    }
    changed = asyncio.Condition()
    fleet = Fleet(lambda agent: signer.own_token(f"agent:{agent}"), {}, PeerLimits(connect_seconds=1.0))
    told: set[asyncio.Task[None]] = set()

    async def tell() -> None:
        async with changed:
            changed.notify_all()

    def follow(there: Any) -> None:
        fleet.follow(there)
        told.add(asyncio.create_task(tell()))

    directory = Directory(follow)
    async with connected(own_servers, OTHER_USER) as bus:
        following = asyncio.create_task(directory.follow(bus))
        yield Follower(signer, fleet, directory, changed, environment, tmp_path)
        following.cancel()
        await asyncio.wait([following])
        await fleet.close()
        if told:
            await asyncio.wait(told)


async def test_an_agent_that_starts_is_called_bears_any_frame_and_is_gone_when_it_stops(follower: Follower) -> None:
    assert not follower.fleet.has(AGENT)
    async with follower.agent() as child:
        (url,) = await follower.knows(1)
        assert await follower.asks() == AGENT
        (registration,) = follower.directory.registrations
        async with (
            ClientSession() as http,
            http.get(f"{url.replace('ws', 'http', 1)}/.well-known/agent-card.json") as got,
        ):
            card = msgspec.json.decode(await got.read(), type=AgentCard)
            assert got.headers["ETag"] == f'"{registration.agents[0].card_digest}"'
        assert (card.name, card.supported_interfaces[0].url) == (AGENT, url)
        await follower.fuzzes(url)
        assert await follower.asks() == AGENT
        assert child.returncode is None
        child.terminate()
        # It says so itself, and doesn't wait to be missed.
        async with asyncio.timeout(SILENT_SECONDS), follower.changed:
            await follower.changed.wait_for(lambda: not follower.fleet.has(AGENT))


async def test_an_agent_may_double_move_and_die_and_is_called_throughout(follower: Follower) -> None:
    async with AsyncExitStack() as stack:
        first, second = await asyncio.gather(*(stack.enter_async_context(follower.agent()) for _ in range(2)))
        both = await follower.knows(2)
        first.terminate()
        assert {await follower.asks() for _ in range(20)} == {AGENT}
        (left,) = await follower.knows(1)
        assert left in both
        await stack.enter_async_context(follower.agent())
        now = await follower.knows(2)
        began = asyncio.get_running_loop().time()
        second.kill()
        (last,) = await follower.knows(1)
        assert asyncio.get_running_loop().time() - began < FOLLOWED_SECONDS + MARGIN_SECONDS
        assert last in now
        assert last != left
        assert await follower.asks() == AGENT


async def test_agents_stay_known_while_nats_is_away_and_are_heard_again_after_it(
    follower: Follower, own_servers: Servers
) -> None:
    async with follower.agent() as child:
        (url,) = await follower.knows(1)
        server = own_servers.processes["nats"]
        before = server.pid
        assert before is not None
        os.kill(before, 9)
        await stack.until(lambda: server.pid not in (None, before), "NATS comes back")
        assert await follower.asks() == AGENT
        assert await follower.knows(1) == [url]
        child.kill()
        await follower.knows(0)


def fuzzed(chance: random.Random) -> str | bytes:
    """A frame near to a request of `analyze_threat`, or nothing like one."""
    meta = {"handoff_id": new_id(), "from": "orchestrator", "to": AGENT, "deadline": "2099-01-01T00:00:00Z"}
    params = {"alert_id": "ALRT-2026-000001", "iocs": [{"type": "ip", "value": "192.0.2.1"}], "_meta": meta}
    whole = {"jsonrpc": "2.0", "method": "describe", "params": params, "id": 1}
    strange: list[Any] = [None, True, -1, 1e300, "x" * 5000, [], {}, [[]] * 50, {"id": {}}, "\x00\u202e"]
    for _ in range(chance.randint(0, 3)):
        place: Any = chance.choice([whole, params, meta])
        name = chance.choice([*place, "rpc.cancel", ""])
        place[name] = chance.choice(strange)
    text = msgspec.json.encode(whole if chance.random() < 0.8 else [whole] * chance.randint(0, 120)).decode()
    for _ in range(chance.choice([0, 0, 1, 5])):
        at = chance.randrange(len(text))
        text = (
            text[:at] + chance.choice(["", "[" * 500, "\u0000", '"', "}", "\x7f"]) + text[at + chance.randint(0, 9) :]
        )
    return text.encode() if chance.random() < 0.02 else text


async def read(socket: ClientConnection) -> None:
    """Takes whatever comes, until the end."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()


async def test_only_agents_tell_where_agents_are(own_servers: Servers) -> None:
    refused = asyncio.Event()

    async def on_error(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            refused.set()

    password = own_servers.password_file_of(OTHER_USER).read_text(encoding="utf-8").strip()
    liar = await nats.connect(own_servers.nats_url, user=OTHER_USER, password=password, error_cb=on_error)
    try:
        await liar.publish(f"$KV.{BUCKET}.liar", b"{}")
        await liar.flush()
        async with asyncio.timeout(kit.SECONDS):
            await refused.wait()
    finally:
        await liar.close()


async def test_the_bucket_shows_who_is_there_and_forgets_who_is_not(own_servers: Servers) -> None:
    entry = Registration(new_id(), "1", utc_now(), [])
    directory = Directory(lambda _there: heard.set())
    heard = asyncio.Event()
    async with connected(own_servers, AGENTS_USER) as bus:
        following = asyncio.create_task(directory.follow(bus))
        telling = asyncio.create_task(announce(bus, entry))
        async with asyncio.timeout(kit.SECONDS):
            await heard.wait()
        kept, _ = await bus.value(BUCKET, entry.instance)
        assert msgspec.json.decode(kept, type=Registration).instance == entry.instance
        for task in (following, telling):
            task.cancel()
        await asyncio.wait([following])
        with pytest.raises(asyncio.CancelledError):
            await telling
        assert await bus.value(BUCKET, entry.instance) == (b"", 0)
