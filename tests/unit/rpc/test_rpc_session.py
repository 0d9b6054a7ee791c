"""A connection's requests, without a socket: what is answered when nobody's handler can."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from shared.identity import service_principal
from shared.rpc import RpcLimits, bind
from shared.rpc.ledger import Ledger, Reply
from shared.rpc.methods import Call, registry
from shared.rpc.runner import Runner
from shared.rpc.session import Session
from shared.rpc.transport import Socket
from tests import rpc_kit as kit

REQUEST = json.dumps({"jsonrpc": "2.0", "method": "wait", "params": {"gate": "a"}, "id": 7})


class OneMessage:
    """A socket that brings one message, ends when it is answered, and keeps what was sent."""

    def __init__(self, message: str) -> None:
        self._messages = [message]
        self._answered = asyncio.Event()
        self.sent: list[Any] = []

    def take_by(self, _take: object) -> None:
        """Hands over nothing past the queue."""

    async def receive(self) -> str | None:
        if self._messages:
            return self._messages.pop()
        await self._answered.wait()
        return None

    def post(self, message: bytes, *, alone: bool = False) -> bool:
        self.sent.append((json.loads(message), alone))
        self._answered.set()
        return True


class OutOfTime(Runner):
    """Its calls' time is up before their first step."""

    def begin(self, call: Call) -> Reply | asyncio.Task[Reply]:
        begun = super().begin(call)
        if not isinstance(begun, Reply):
            begun.cancel()
        return begun


async def test_a_request_whose_time_is_up_before_it_begins_is_told_so() -> None:
    agent, limits, socket = kit.Agent(), RpcLimits(), OneMessage(REQUEST)
    runner, table = OutOfTime(limits.max_frame), registry([bind(kit.WAIT, agent.wait)])
    principal = service_principal("orchestrator")
    async with asyncio.timeout(kit.SECONDS):
        await Session(cast(Socket, socket), principal, limits, table, runner, Ledger(limits)).run()
    runner.close()
    ((reply, _alone),) = socket.sent
    assert (reply["id"], reply["error"]["data"]["code"]) == (7, "AURORA-5040")
    assert agent.runs == {}
