"""What a connection makes of the bytes that a service sends, however they are cut and whatever they are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.upstream.connection import Connection
from shared.upstream.message import AnswerBroken, AnswerLate

PATIENCE = 5


class Wire(asyncio.Transport):
    """The other end is the test: it sees what was written and hands over what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class Told:
    """One exchange as its caller saw it."""

    status: int
    headers: dict[str, str]
    body: bytes
    reusable: bool


@dataclass
class Line:
    """A connection and its wire."""

    wire: Wire = field(default_factory=Wire)
    connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = Connection(lambda _connection: None)
        self.connection.connection_made(self.wire)

    async def ask(self, pieces: Sequence[bytes], method: str = "GET", *, then_close: bool = False) -> Told:
        """The answer that the pieces make, each in its own turn of the loop."""

        async def arrive() -> None:
            for piece in pieces:
                if self.wire.closed:
                    break
                self.connection.data_received(piece)
                await asyncio.sleep(0)
            if then_close:
                self.connection.connection_lost(None)

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(arrive(), name="arrive")
            try:
                answer = await self.connection.exchange(method, b"...", b"", None, 1.0)
                body = await answer.read()
                return Told(answer.status, answer.headers, body, self.connection.reusable)
            except AnswerBroken as error:
                failure = error
        raise failure


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Empty:\r\nContent-Length: 11\r\n\r\nhello world"
CHUNKS = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nVary: A\r\nVary: B\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("whole", [LENGTH, CHUNKS])
async def test_an_answer_is_the_same_wherever_it_is_cut(whole: bytes) -> None:
    expected = await Line().ask([whole])
    assert (expected.body, expected.reusable) == (b"hello world", True)
    assert await Line().ask([whole[at : at + 1] for at in range(len(whole))]) == expected
    for cut in range(1, len(whole)):
        assert await Line().ask([whole[:cut], whole[cut:]]) == expected


async def test_interim_answers_pass_by_and_repeated_headers_are_joined() -> None:
    told = await Line().ask([CHUNKS])
    assert (told.status, told.headers["vary"]) == (201, "A, B")


async def test_a_connection_serves_one_answer_after_the_other() -> None:
    line = Line()
    for _ in range(3):
        assert (await line.ask([LENGTH])).body == b"hello world"
        assert (await line.ask([CHUNKS])).status == 201
    assert (await line.ask([LENGTH.partition(b"hello")[0]], "HEAD")).body == b""
    assert (await line.ask([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"])).reusable
    assert (await line.ask([b"HTTP/1.1 204 No Content\r\n\r\n"])).reusable
    assert (await line.ask([LENGTH])).body == b"hello world"


@pytest.mark.parametrize(
    "whole",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_the_service_ends_is_not_used_again(whole: bytes) -> None:
    told = await Line().ask([whole])
    assert (told.body, told.reusable) == (b"ok", False)


@pytest.mark.parametrize(
    "extra", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", b"\r\nHTTP/1.1 200 OK\r\nX: ", b"garbage"]
)
@pytest.mark.parametrize("whole", [LENGTH, CHUNKS])
async def test_whatever_follows_an_answer_ends_the_connection(whole: bytes, extra: bytes) -> None:
    for pieces in ([whole + extra], [whole, extra]):
        line = Line()
        told = await line.ask(pieces)
        assert told.body == b"hello world"
        if not line.wire.closed:
            # Read with the last piece still to come: it comes before the next request.
            line.connection.data_received(extra)
        assert line.wire.closed
        assert not line.connection.reusable


async def test_a_body_after_the_answer_to_head_ends_the_connection() -> None:
    line = Line()
    assert (await line.ask([LENGTH], "HEAD")).body == b""
    assert line.wire.closed


async def test_bytes_before_any_request_end_the_connection() -> None:
    line = Line()
    line.connection.data_received(LENGTH)
    assert line.wire.closed
    with pytest.raises(AnswerBroken):
        await line.ask([])


BROKEN = {
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "a huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nok",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "no end": b"HTTP/1.1 200 OK\r\n\r\nok",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "a folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a bare line feed": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a null": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "a bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a signed chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a huge chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n",
    "a chunk too long": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "a trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "another version": b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "another language": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
    "an endless head": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 129 + b"Content-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_answer_is_refused_however_it_is_cut(name: str) -> None:
    whole = BROKEN[name]
    step = max(1, len(whole) // 500)
    for pieces in ([whole], [whole[at : at + step] for at in range(0, len(whole), step)]):
        line = Line()
        with pytest.raises(AnswerBroken):
            await line.ask(pieces)
        assert line.wire.closed


@pytest.mark.parametrize("whole", [LENGTH, CHUNKS])
async def test_an_answer_that_breaks_off_is_never_taken_for_whole(whole: bytes) -> None:
    for cut in range(len(whole)):
        with pytest.raises(AnswerBroken) as broken:
            await Line().ask([whole[:cut]], then_close=True)
        assert broken.value.untouched is (cut == 0)


async def test_an_answer_that_came_whole_before_the_end_is_an_answer() -> None:
    line = Line()
    assert (await line.ask([LENGTH], then_close=True)).body == b"hello world"
    assert not line.connection.reusable


async def test_silence_is_late_before_the_head_and_within_the_body() -> None:
    line = Line()
    with pytest.raises(AnswerLate):
        await line.connection.exchange("GET", b"...", b"", None, 0.01)
    assert line.wire.closed
    line = Line()

    async def head() -> None:
        line.connection.data_received(LENGTH[:-5])

    async with asyncio.TaskGroup() as group:
        group.create_task(head(), name="head")
        answer = await line.connection.exchange("GET", b"...", b"", None, 0.01)
    assert await answer.piece() == b"hello "
    with pytest.raises(AnswerLate):
        await answer.piece()


async def test_a_service_is_held_back_while_nobody_reads() -> None:
    line = Line()

    async def arrive() -> None:
        line.connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(5):
            line.connection.data_received(b"x" * 100_000)

    async with asyncio.TaskGroup() as group:
        group.create_task(arrive(), name="arrive")
        answer = await line.connection.exchange("GET", b"...", b"", None, 1.0)
    assert not line.wire.reading
    for _ in range(5):
        await answer.piece()
    assert line.wire.reading


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_garbage_is_refused_or_late_and_nothing_else(pieces: list[bytes], after_a_head: bool) -> None:
    head = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] if after_a_head else []

    async def run() -> None:
        with suppress(AnswerBroken):
            await Line().ask([*head, *pieces], then_close=True)
            # What ends an answer may be among the pieces: hypothesis tries constants that it finds in the code.
            assert b"\r\n\r\n" in b"".join(pieces)

    asyncio.run(run())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.lists(st.integers(1, 400), max_size=12))
def test_every_body_arrives_as_it_was_sent(chunks: list[bytes], cuts: list[int]) -> None:
    body = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(whole[at : at + cut])
        at += cut
    pieces.append(whole[at:])

    async def run() -> Told:
        return await Line().ask([piece for piece in pieces if piece])

    told = asyncio.run(run())
    assert (told.body, told.reusable) == (b"".join(chunks), True)
