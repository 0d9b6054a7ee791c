"""A small agent for the JSON-RPC tests: methods, a server on a free port, and a raw WebSocket to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from shared.contracts.agents import Handoff
from shared.contracts.constants import METHODS, Method
from shared.errors import ALERT_NOT_FOUND, AUTHENTICATION_REQUIRED, INVALID_CREDENTIALS, TOKEN_EXPIRED, AuroraError
from shared.identity import Principal, service_principal
from shared.rpc import Binding, CallContext, Peer, PeerLimits, RpcLimits, Server, bind, serve

P = TypeVar("P")
R = TypeVar("R")

HOST = "127.0.0.1"
TOKEN = "a-token"
SECONDS = 10.0


def method(name: str, params: type[P], returns: type[R]) -> Method[P, R]:
    """A method of the tests' own, kept out of the product's table."""
    declared = Method(name, params, returns)
    del METHODS[name]
    return declared


class Empty(msgspec.Struct):
    """No params."""


class Subtract(msgspec.Struct, forbid_unknown_fields=True):
    """The specification's example."""

    minuend: int
    subtrahend: int


class Numbers(msgspec.Struct):
    """Params of `sum` and `get`."""

    values: list[int] = []


class Wait(msgspec.Struct):
    """Waits at the gate of that name."""

    gate: str


class Size(msgspec.Struct):
    """Asks for so many characters."""

    characters: int


SUBTRACT = method("subtract", Subtract, int)
SUM = method("sum", Numbers, int)
NOTIFY_HELLO = method("notify_hello", Empty, int)
GET_DATA = method("get_data", Empty, list[Any])
WAIT = method("wait", Wait, int)
FAIL = method("fail", Empty, int)
REFUSE = method("refuse", Empty, int)
STUTTER = method("stutter", Size, int)
TEXT = method("text", Size, str)
WHO = method("who", Empty, dict[str, Any])
UNKNOWN = method("foobar", Empty, int)


class Agent:
    """The handlers, and what they saw. `wait` counts its runs and blocks until its gate is opened."""

    def __init__(self) -> None:
        self.runs: dict[str, int] = {}
        self.cancelled: list[str] = []
        self.hellos = 0
        self.changed = asyncio.Condition()
        self._open: set[str] = set()

    def bindings(self) -> list[Binding[Any, Any]]:
        """One binding per method."""
        return [
            bind(SUBTRACT, self.subtract),
            bind(SUM, self.sum),
            bind(NOTIFY_HELLO, self.hello),
            bind(GET_DATA, self.get_data),
            bind(WAIT, self.wait),
            bind(FAIL, self.fail),
            bind(REFUSE, self.refuse),
            bind(STUTTER, self.stutter),
            bind(TEXT, self.text),
            bind(WHO, self.who),
        ]

    async def subtract(self, params: Subtract, _context: CallContext) -> int:
        return params.minuend - params.subtrahend

    async def sum(self, params: Numbers, _context: CallContext) -> int:
        return sum(params.values)

    async def hello(self, _params: Empty, _context: CallContext) -> int:
        async with self.changed:
            self.hellos += 1
            self.changed.notify_all()
        return self.hellos

    async def get_data(self, _params: Empty, _context: CallContext) -> list[Any]:
        return ["hello", 5]

    async def wait(self, params: Wait, _context: CallContext) -> int:
        async with self.changed:
            run = self.runs[params.gate] = self.runs.get(params.gate, 0) + 1
            self.changed.notify_all()
            try:
                await self.changed.wait_for(lambda: params.gate in self._open)
            except asyncio.CancelledError:
                self.cancelled.append(params.gate)
                self.changed.notify_all()
                raise
        return run

    async def fail(self, _params: Empty, _context: CallContext) -> int:
        raise KeyError("the password is swordfish")

    async def refuse(self, _params: Empty, _context: CallContext) -> int:
        raise AuroraError(ALERT_NOT_FOUND, {"alert_id": "ALRT-2026-000001"})

    async def stutter(self, params: Size, _context: CallContext) -> int:
        # Without a size: a detail that isn't text, as a file name may be.
        raise AuroraError(ALERT_NOT_FOUND, "x" * params.characters or "\udcff")

    async def text(self, params: Size, _context: CallContext) -> str:
        return "x" * params.characters

    async def who(self, _params: Empty, context: CallContext) -> dict[str, Any]:
        return {
            "principal": context.principal.id,
            "handoff": context.handoff and context.handoff.handoff_id,
            "request_id": context.request_id,
            "traceparent": context.traceparent,
        }

    async def open(self, gate: str) -> None:
        """Lets every `wait` at the gate return."""
        async with self.changed:
            self._open.add(gate)
            self.changed.notify_all()

    async def until(self, gate: str, runs: int = 1) -> None:
        """Until `wait` has begun that often."""
        async with asyncio.timeout(SECONDS), self.changed:
            await self.changed.wait_for(lambda: self.runs.get(gate, 0) >= runs)

    async def until_cancelled(self, gate: str) -> None:
        """Until a `wait` was cancelled."""
        async with asyncio.timeout(SECONDS), self.changed:
            await self.changed.wait_for(lambda: gate in self.cancelled)


class Cutting:
    """Forwards one TCP connection after another to a server, and cuts the open ones on demand."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(HOST, self._port)
        self._writers += [writer, far_writer]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._copy(reader, far_writer), name="up")
            group.create_task(self._copy(far_reader, writer), name="down")

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


def authenticate(token: str) -> Principal:
    """Who a token of the tests stands for."""
    if token == "expired":
        raise AuroraError(TOKEN_EXPIRED)
    if token == "broken":
        raise RuntimeError("the key store is on fire")
    if token not in (TOKEN, "another"):
        raise AuroraError(INVALID_CREDENTIALS if token else AUTHENTICATION_REQUIRED)
    return service_principal("orchestrator" if token == TOKEN else "gateway")


@asynccontextmanager
async def serving(
    agent: Agent, limits: RpcLimits | None = None, port: int = 0, **options: Any
) -> AsyncIterator[Server]:
    """The agent on a free port."""
    server = await serve(agent.bindings(), host=HOST, port=port, authenticate=authenticate, limits=limits, **options)
    try:
        yield server
    finally:
        async with asyncio.timeout(SECONDS):
            await server.close(grace=0)


def address(server: Server) -> str:
    """Where it listens."""
    return f"ws://{HOST}:{server.port}/"


def peer_of(server: Server, limits: PeerLimits | None = None, token: str = TOKEN) -> Peer:
    """Our own client."""
    return Peer(address(server), lambda: token, limits)


@asynccontextmanager
async def raw(server: Server, token: str = TOKEN) -> AsyncIterator[ClientConnection]:
    """A plain WebSocket, as a client from elsewhere opens it."""
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(address(server), additional_headers=headers, proxy=None) as socket:
        yield socket


async def receive(socket: ClientConnection) -> Any:
    """The next message as objects."""
    async with asyncio.timeout(SECONDS):
        return json.loads(await socket.recv())


async def ask(socket: ClientConnection, message: Any) -> Any:
    """Sends objects, or text as it is, and returns the next message."""
    await socket.send(message if isinstance(message, str) else json.dumps(message))
    return await receive(socket)


async def is_silent(socket: ClientConnection) -> bool:
    """Whether everything sent so far was answered with nothing: the next answer is the one to a last request."""
    reply = await ask(socket, {"jsonrpc": "2.0", "method": "sum", "params": {}, "id": "last"})
    return bool(reply == {"jsonrpc": "2.0", "result": 0, "id": "last"})


def handoff(handoff_id: str = "handoff-1", *, seconds: float = 60.0, traceparent: str | None = None) -> Handoff:
    """A handoff with that much time left."""
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return Handoff(handoff_id=handoff_id, from_="orchestrator", to="triage", deadline=deadline, traceparent=traceparent)
