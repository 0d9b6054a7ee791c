"""Cancellation, deadlines, lost connections and handoffs that run once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from shared.contracts.constants import ErrorCode
from shared.errors import CONFLICT, DEADLINE_EXCEEDED, INVALID_CREDENTIALS, UNAVAILABLE, AuroraError
from shared.rpc import Peer, PeerLimits, RpcLimits
from tests import rpc_kit as kit
from tests.rpc_kit import SECONDS, Agent, address, ask, handoff, peer_of, raw, receive, serving

QUICK = PeerLimits(connect_seconds=0.2)


async def refused(work: Any) -> ErrorCode:
    """The code of the AuroraError that `work` ends with."""
    with pytest.raises(AuroraError) as caught:
        async with asyncio.timeout(SECONDS):
            await work
    return caught.value.code


async def test_a_caller_that_is_cancelled_cancels_the_handler() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as peer:
        call = asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), timeout=SECONDS))
        await agent.until("a")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await agent.until_cancelled("a")


async def test_a_call_that_runs_out_of_time_cancels_the_handler() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as peer:
        assert await refused(peer.call(kit.WAIT, kit.Wait("a"), timeout=0.1)) is DEADLINE_EXCEEDED
        await agent.until_cancelled("a")
        assert await peer.call(kit.SUM, kit.Numbers([1]), timeout=SECONDS) == 1


async def test_a_cancelled_request_is_answered_once() -> None:
    agent = Agent()
    async with serving(agent) as server, raw(server) as socket:
        await socket.send('{"jsonrpc": "2.0", "method": "wait", "params": {"gate": "a"}, "id": "x"}')
        await agent.until("a")
        reply = await ask(socket, '{"jsonrpc": "2.0", "method": "rpc.cancel", "params": {"id": "x"}}')
        assert reply == {"jsonrpc": "2.0", "error": {"code": -32010, "message": "Request cancelled"}, "id": "x"}
        assert await kit.is_silent(socket)


async def test_a_cancel_that_follows_at_once_still_answers_the_request() -> None:
    agent = Agent()
    cancel = {"jsonrpc": "2.0", "method": "rpc.cancel", "params": {"id": 1}}
    request = {"jsonrpc": "2.0", "method": "wait", "params": {"gate": "a"}, "id": 1}
    async with serving(agent) as server, raw(server) as socket:
        replies = await ask(socket, [request, {**cancel, "id": 2}, cancel])
        assert [(reply["id"], reply.get("result")) for reply in replies] == [(1, None), (2, {"cancelled": True})]
        assert replies[0]["error"]["code"] == -32010
        await agent.until_cancelled("a")


async def test_cancelling_what_does_not_run_says_so() -> None:
    async with serving(Agent()) as server, raw(server) as socket:
        reply = await ask(socket, '{"jsonrpc": "2.0", "method": "rpc.cancel", "params": {"id": 9}, "id": 1}')
        unnamed = await ask(socket, '{"jsonrpc": "2.0", "method": "rpc.cancel", "id": 1}')
    assert reply["result"] == {"cancelled": False}
    assert unnamed["error"]["code"] == -32602


async def test_a_bare_request_ends_with_its_connection() -> None:
    agent = Agent()
    async with serving(agent) as server:
        async with raw(server) as socket:
            await socket.send('{"jsonrpc": "2.0", "method": "wait", "params": {"gate": "a"}, "id": 1}')
            await agent.until("a")
        await agent.until_cancelled("a")


async def test_a_request_without_a_deadline_ends_at_the_servers() -> None:
    agent = Agent()
    async with serving(agent, RpcLimits(call_seconds=0.05)) as server, peer_of(server) as peer:
        assert await refused(peer.call(kit.WAIT, kit.Wait("a"), timeout=SECONDS)) is DEADLINE_EXCEEDED
    assert agent.cancelled == ["a"]


async def test_a_handoff_ends_at_its_deadline() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as peer:
        work = peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(seconds=0.1), timeout=SECONDS)
        assert await refused(work) is DEADLINE_EXCEEDED
        await agent.until_cancelled("a")


async def test_a_handoff_that_is_late_is_not_begun() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as peer:
        work = peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(seconds=-1), timeout=SECONDS)
        assert await refused(work) is DEADLINE_EXCEEDED
    assert agent.runs == {}


async def test_a_handler_sees_the_caller_the_handoff_and_the_trace() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with serving(Agent()) as server, peer_of(server) as peer:
        seen = await peer.call(kit.WHO, kit.Empty(), handoff=handoff("h-1", traceparent=trace), timeout=SECONDS)
        bare = await peer.call(kit.WHO, kit.Empty(), timeout=SECONDS)
    expected = {"handoff": "h-1", "request_id": "h-1", "traceparent": trace, "principal": "service:orchestrator"}
    assert seen == expected
    assert bare == {"handoff": None, "request_id": 1, "traceparent": None, "principal": "service:orchestrator"}


async def test_a_handoff_asked_again_while_it_runs_is_run_once() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as first, peer_of(server) as second:
        calls = [
            asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS))
            for peer in (first, second)
        ]
        await agent.until("a")
        # Both requests are in when a later one of the same connection is answered.
        assert await second.call(kit.SUM, kit.Numbers([]), timeout=SECONDS) == 0
        await agent.open("a")
        assert await asyncio.gather(*calls) == [1, 1]
    assert agent.runs == {"a": 1}


async def test_a_handoff_asked_again_when_it_is_done_gets_the_kept_reply() -> None:
    agent = Agent()
    await agent.open("a")
    async with serving(agent) as server:
        for _ in range(3):
            async with peer_of(server) as peer:
                assert await peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS) == 1
    assert agent.runs == {"a": 1}


async def test_a_handoff_survives_its_connection() -> None:
    agent = Agent()
    async with serving(agent) as server:
        meta = msgspec.to_builtins(handoff())
        request = {"jsonrpc": "2.0", "method": "wait", "params": {"gate": "a", "_meta": meta}, "id": "r"}
        async with raw(server) as socket:
            await socket.send(json.dumps(request))
            await agent.until("a")
        await agent.open("a")
        async with raw(server) as socket:
            assert await ask(socket, request) == {"jsonrpc": "2.0", "result": 1, "id": "r"}
    assert agent.runs == {"a": 1}
    assert agent.cancelled == []


async def test_another_request_under_the_same_key_is_a_conflict() -> None:
    agent = Agent()
    await agent.open("a")
    await agent.open("b")
    async with serving(agent) as server, peer_of(server) as peer:
        await peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS)
        assert await refused(peer.call(kit.WAIT, kit.Wait("b"), handoff=handoff(), timeout=SECONDS)) is CONFLICT
    assert agent.runs == {"a": 1}


async def test_nobody_gets_the_reply_kept_for_another() -> None:
    agent = Agent()
    await agent.open("a")
    async with serving(agent) as server, peer_of(server) as ours, peer_of(server, token="another") as theirs:
        assert await ours.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS) == 1
        assert await theirs.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS) == 2


async def test_a_cancelled_handoff_may_be_tried_again() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as peer:
        work = peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=0.1)
        assert await refused(work) is DEADLINE_EXCEEDED
        await agent.until_cancelled("a")
        await agent.open("a")
        assert await peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS) == 2


async def test_one_who_cancels_does_not_take_the_handoff_from_others() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as first, peer_of(server) as second:
        kept = asyncio.create_task(first.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS))
        await agent.until("a")
        late = second.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=0.1)
        assert await refused(late) is DEADLINE_EXCEEDED
        # The cancel is in when a later request of that connection is answered.
        assert await second.call(kit.SUM, kit.Numbers([]), timeout=SECONDS) == 0
        await agent.open("a")
        assert await kept == 1
    assert agent.cancelled == []


async def test_a_handoff_is_sent_again_to_an_agent_that_came_back() -> None:
    agent = Agent()
    async with asyncio.timeout(SECONDS):
        async with serving(agent) as server:
            port = server.port
            peer = peer_of(server)
            await agent.open("warm")
            assert await peer.call(kit.WAIT, kit.Wait("warm"), timeout=SECONDS) == 1
        await agent.open("a")
        call = asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS))
        async with serving(agent, port=port):
            assert await call == 1
        await peer.close()


async def test_a_lost_connection_is_made_again_and_the_handoff_runs_once() -> None:
    agent = Agent()
    async with serving(agent) as server:
        wire = kit.Cutting(server.port)
        proxy = await asyncio.start_server(wire.handle, kit.HOST, 0)
        url = f"ws://{kit.HOST}:{proxy.sockets[0].getsockname()[1]}/"
        async with proxy, Peer(url, lambda: kit.TOKEN) as peer:
            call = asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS))
            await agent.until("a")
            wire.cut()
            assert await peer.call(kit.SUM, kit.Numbers([2]), handoff=handoff("other"), timeout=SECONDS) == 2
            await agent.open("a")
            assert await call == 1
            bare = asyncio.create_task(peer.call(kit.WAIT, kit.Wait("b"), timeout=SECONDS))
            await agent.until("b")
            wire.cut()
            assert await refused(bare) is UNAVAILABLE
        assert wire.connections >= 2
    assert agent.runs == {"a": 1, "b": 1}


async def test_without_an_agent_a_call_is_unavailable() -> None:
    async with serving(Agent()) as server:
        url = address(server)
    async with Peer(url, lambda: kit.TOKEN, QUICK) as peer:
        assert await refused(peer.call(kit.SUM, kit.Numbers(), timeout=SECONDS)) is UNAVAILABLE
        assert await refused(peer.notify(kit.SUM, kit.Numbers(), timeout=SECONDS)) is UNAVAILABLE


async def test_a_token_that_is_refused_is_not_tried_again() -> None:
    async with serving(Agent()) as server, peer_of(server, token="wrong") as peer:
        assert await refused(peer.call(kit.SUM, kit.Numbers(), timeout=SECONDS)) is INVALID_CREDENTIALS


async def test_closing_a_peer_wakes_every_waiter() -> None:
    agent = Agent()
    async with serving(agent) as server:
        peer = peer_of(server, PeerLimits(max_in_flight=3))
        calls = [
            asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), timeout=SECONDS, handoff=meta))
            for meta in (None, None, handoff(), None, handoff("waits-for-a-place"))
        ]
        await agent.until("a", runs=3)
        await peer.close()
        assert {await refused(call) for call in calls} == {UNAVAILABLE}
        assert await refused(peer.call(kit.SUM, kit.Numbers(), timeout=SECONDS)) is UNAVAILABLE


async def test_closing_a_peer_wakes_who_waits_for_the_connection() -> None:
    peer = Peer(f"ws://{kit.HOST}:1/", lambda: kit.TOKEN, PeerLimits(connect_seconds=60))
    call = asyncio.create_task(peer.call(kit.SUM, kit.Numbers(), timeout=SECONDS))
    await asyncio.wait([call], timeout=0.05)
    await peer.close()
    assert await refused(call) is UNAVAILABLE


async def test_closing_a_server_lets_running_calls_finish() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server, QUICK) as peer:
        call = asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), timeout=SECONDS))
        await agent.until("a")
        closing = asyncio.create_task(server.close(grace=SECONDS))
        assert await refused(peer.call(kit.SUM, kit.Numbers(), timeout=SECONDS)) is UNAVAILABLE
        await agent.open("a")
        assert await call == 1
        await closing


async def test_closing_a_server_refuses_what_does_not_finish() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server, PeerLimits(connect_seconds=0.2, resends=0)) as peer:
        calls = [
            asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), timeout=SECONDS, handoff=meta))
            for meta in (None, handoff())
        ]
        await agent.until("a", runs=2)
        await server.close(grace=0)
        assert {await refused(call) for call in calls} == {UNAVAILABLE}
    assert agent.cancelled == ["a", "a"]


async def test_a_notification_runs_and_a_peer_waits_for_no_answer() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as peer:
        await peer.notify(kit.NOTIFY_HELLO, kit.Empty(), timeout=SECONDS)
        async with asyncio.timeout(SECONDS), agent.changed:
            await agent.changed.wait_for(lambda: agent.hellos == 1)


async def test_a_peer_waits_for_a_handoff_only_once() -> None:
    agent = Agent()
    async with serving(agent) as server, peer_of(server) as peer:
        call = asyncio.create_task(peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS))
        await agent.until("a")
        assert await refused(peer.call(kit.WAIT, kit.Wait("a"), handoff=handoff(), timeout=SECONDS)) is CONFLICT
        await agent.open("a")
        assert await call == 1


async def test_a_lone_reply_that_nobody_waits_for_is_dropped() -> None:
    agent = Agent()
    async with serving(agent) as server, raw(server) as socket:
        # What a late or foreign reply looks like from the server's side: a message that is no request.
        assert (await ask(socket, '{"jsonrpc": "2.0", "result": 5, "id": 1}'))["error"]["code"] == -32600
        await socket.send('{"jsonrpc": "2.0", "method": "get_data", "id": 1}')
        assert (await receive(socket))["id"] == 1
