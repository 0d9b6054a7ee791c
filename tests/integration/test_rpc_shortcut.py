"""However the bytes of a connection are cut, and whatever stands between its messages: each is taken once, in order."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from shared.rpc import CallContext, Server, bind, serve
from shared.rpc.frames import apply_mask
from tests import rpc_kit as kit

CALM = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: More than is taken in one turn of the loop.
BURST = 1000


class Note(msgspec.Struct):
    """A number, and so much text that the message has the size that is wanted."""

    number: int
    padding: str = ""


NOTE = kit.method("note", Note, int)


@dataclass
class Recorder:
    """Notes the numbers in the order in which they come, and in which turn of the loop."""

    numbers: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    turn: int = 0

    async def note(self, params: Note, _context: CallContext) -> int:
        self.numbers.append(params.number)
        self.turns.append(self.turn)
        return params.number

    async def count_turns(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)


@dataclass
class Port:
    """A server on a loop of its own, since hypothesis calls plain functions."""

    loop: asyncio.Runner
    server: Server
    recorder: Recorder

    async def told(self, pieces: list[bytes], wanted: int) -> list[int]:
        """The numbers of the answers to what comes in those pieces, behind a good handshake."""
        self.recorder.numbers.clear()
        async with asyncio.timeout(kit.SECONDS), kit.raw(self.server) as socket:
            for piece in pieces:
                socket.transport.write(piece)
                await asyncio.sleep(0)
            return [json.loads(await socket.recv())["id"] for _ in range(wanted)]


@asynccontextmanager
async def recording() -> AsyncIterator[tuple[Server, Recorder]]:
    recorder = Recorder()
    server = await serve([bind(NOTE, recorder.note)], host=kit.HOST, port=0, authenticate=kit.authenticate)
    try:
        yield server, recorder
    finally:
        await server.close(grace=0)


@pytest.fixture(scope="module")
def port() -> Iterator[Port]:
    with asyncio.Runner() as loop:
        opened = recording()
        server, recorder = loop.run(opened.__aenter__())
        yield Port(loop, server, recorder)
        loop.run(opened.__aexit__(None, None, None))


def request(number: int, size: int = 0) -> bytes:
    """A request of about that many bytes."""
    params = {"number": number, "padding": "é" * (size // 2)}
    message = {"jsonrpc": "2.0", "method": "note", "params": params, "id": number}
    return json.dumps(message, ensure_ascii=False).encode()


def frames(message: bytes, cuts: list[int], *, ping: bool) -> bytes:
    """A text message in one frame or several, a ping before the last one."""
    edges = [0, *sorted({cut % len(message) for cut in cuts} - {0}), len(message)]
    parts = []
    for index, (begin, end) in enumerate(itertools.pairwise(edges)):
        last = end == len(message)
        if ping and last:
            parts.append(Frame(Opcode.PING, b"there?").serialize(mask=True))
        opcode = Opcode.CONT if index else Opcode.TEXT
        parts.append(Frame(opcode, message[begin:end], fin=last).serialize(mask=True))
    return b"".join(parts)


SIZES = st.sampled_from([0, 0, 0, 100, 60_000, 70_000, 200_000])
MESSAGES = st.lists(
    st.tuples(SIZES, st.lists(st.integers(0, 10**6), max_size=2), st.booleans()), min_size=1, max_size=8
)


@CALM
@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 10**6), max_size=12))
def test_each_message_is_taken_once_and_in_order_wherever_the_bytes_are_cut(
    port: Port, messages: list[tuple[int, list[int], bool]], cuts: list[int]
) -> None:
    data = b"".join(
        frames(request(number, size), parts, ping=ping) for number, (size, parts, ping) in enumerate(messages)
    )
    edges = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
    pieces = [data[begin:end] for begin, end in itertools.pairwise(edges)]
    told = port.loop.run(port.told(pieces, len(messages)))
    assert port.recorder.numbers == list(range(len(messages)))
    assert sorted(told) == list(range(len(messages)))


def test_single_bytes_are_messages_in_the_end(port: Port) -> None:
    data = b"".join(frames(request(number), [], ping=False) for number in range(3))
    told = port.loop.run(port.told([data[at : at + 1] for at in range(len(data))], 3))
    assert (told, port.recorder.numbers) == ([0, 1, 2], [0, 1, 2])


async def test_a_burst_is_answered_whole_and_lets_others_run_meanwhile() -> None:
    async with recording() as (server, recorder), kit.raw(server) as socket:
        counting = asyncio.create_task(recorder.count_turns())
        # In one write, so that the server reads much of it at once.
        socket.transport.write(b"".join(frames(request(number), [], ping=False) for number in range(BURST)))
        async with asyncio.timeout(kit.SECONDS):
            told = [json.loads(await socket.recv()) for _ in range(BURST)]
        counting.cancel()
    assert [reply["result"] for reply in told] == list(range(BURST))
    most = max(recorder.turns.count(turn) for turn in set(recorder.turns))
    assert most <= BURST // 4


async def test_frames_that_come_with_the_end_of_the_handshake_are_taken() -> None:
    async with recording() as (server, recorder):
        reader, writer = await asyncio.open_connection(kit.HOST, server.port)
        head = (
            f"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {kit.TOKEN}\r\n\r\n"
        )
        first, second, third = (frames(request(number), [], ping=False) for number in range(3))
        # Against the protocol, which wants the answer waited for: the first whole, of the second only half.
        writer.write(head.encode() + first + second[:30])
        async with asyncio.timeout(kit.SECONDS):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(second[30:] + third)
            told = b""
            while told.count(b'"result"') < 3:
                told += await reader.read(4096)
        writer.close()
    assert recorder.numbers == [0, 1, 2]


async def test_a_message_behind_a_closing_frame_is_not_taken() -> None:
    async with recording() as (server, recorder), kit.raw(server) as socket:
        closing = Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)
        before, behind = (frames(request(number), [], ping=False) for number in range(2))
        socket.transport.write(before + closing + behind)
        async with asyncio.timeout(kit.SECONDS):
            assert json.loads(await socket.recv())["id"] == 0
            await socket.wait_closed()
    assert recorder.numbers == [0]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(Opcode.TEXT, request(1)).serialize(mask=False), 1002),
        (b"\xc1" + Frame(Opcode.TEXT, request(1)).serialize(mask=True)[1:], 1002),
        (Frame(Opcode.TEXT, b'{"a": "\xff"}').serialize(mask=True), 1007),
        (Frame(Opcode.TEXT, b"[", fin=False).serialize(mask=True) + frames(request(1), [], ping=False), 1002),
        (b"\x81\xff" + (2**40).to_bytes(8) + b"\x00" * 4, 1009),
    ],
    ids=["not masked", "a reserved bit", "not UTF-8", "within another", "far too long"],
)
async def test_what_breaks_the_protocol_ends_the_connection_as_the_library_ends_it(frame: bytes, code: int) -> None:
    async with recording() as (server, recorder), kit.raw(server) as socket:
        socket.transport.write(frames(request(0), [], ping=False) + frame + frames(request(2), [], ping=False))
        async with asyncio.timeout(kit.SECONDS):
            assert json.loads(await socket.recv())["id"] == 0
            await socket.wait_closed()
    assert (socket.close_code, recorder.numbers) == (code, [0])


async def test_a_frame_without_a_mask_is_not_taken_even_if_what_stands_before_it_would_do_as_one() -> None:
    async with recording() as (server, recorder), kit.raw(server) as socket:
        before, message = frames(request(0), [], ping=False), request(1)
        head = bytes((0x81, len(message)))
        socket.transport.write(before + head + apply_mask(message, before[-2:] + head))
        async with asyncio.timeout(kit.SECONDS):
            assert json.loads(await socket.recv())["id"] == 0
            await socket.wait_closed()
    assert (socket.close_code, recorder.numbers) == (1002, [0])


async def test_our_own_client_takes_answers_of_any_size() -> None:
    sizes: list[Any] = [0, 125, 126, 65_535, 65_536, 300_000]
    async with kit.serving(kit.Agent()) as server, kit.peer_of(server) as peer:
        calls = (peer.call(kit.TEXT, kit.Size(size), timeout=kit.SECONDS) for size in sizes * 3)
        assert [len(text) for text in await asyncio.gather(*calls)] == sizes * 3
