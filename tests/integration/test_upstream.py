"""The pool of connections to a service, on real sockets, against services that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from shared.upstream import AnswerBroken, AnswerLate, Pool, Unreachable

PATIENCE = 10
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Behave = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One connection as the service sees it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head(self) -> bytes:
        """The next request's head."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def say(self, data: bytes) -> None:
        """Sends."""
        self.writer.write(data)
        await self.writer.drain()


@dataclass
class Service:
    """What came to pass at a service."""

    url: str = ""
    visits: list[Visit] = field(default_factory=list)


@asynccontextmanager
async def service(behave: Behave) -> AsyncIterator[Service]:
    """A service that does with each connection what `behave` does, and then closes it."""
    told = Service()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = Visit(len(told.visits), reader, writer)
        told.visits.append(here)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await behave(here)
        writer.close()

    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with asyncio.timeout(PATIENCE):
            yield told
    finally:
        server.close()
        for each in told.visits:
            each.writer.transport.abort()
        await server.wait_closed()


@asynccontextmanager
async def pool(url: str, **options: float) -> AsyncIterator[Pool]:
    made = Pool(url, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close()


async def ask(made: Pool, method: str = "GET", seconds: float = 5.0, **options: object) -> tuple[int, bytes]:
    async with await made.ask(method, "/x", {}, seconds=seconds, **options) as answer:  # type: ignore[arg-type]
        return answer.status, await answer.read()


async def always_ok(visit: Visit) -> None:
    while True:
        await visit.head()
        await visit.say(OK)


async def test_connections_are_kept_and_shared_one_request_at_a_time() -> None:
    async with service(always_ok) as there, pool(there.url) as made:
        for _ in range(5):
            assert await ask(made) == (200, b"ok")
        assert len(there.visits) == 1
        assert await asyncio.gather(*(ask(made) for _ in range(20))) == [(200, b"ok")] * 20
        assert 2 <= len(there.visits) <= 20


async def test_there_are_never_more_connections_than_the_limit() -> None:
    async with service(always_ok) as there, pool(there.url, limit=3) as made:
        assert await asyncio.gather(*(ask(made) for _ in range(30))) == [(200, b"ok")] * 30
        assert len(there.visits) == 3


async def silent(visit: Visit) -> None:
    await visit.reader.read()


async def test_who_gets_no_connection_in_time_is_told() -> None:
    async with service(silent) as there, pool(there.url, limit=1, connect_seconds=0.2) as made:
        first, second = await asyncio.gather(ask(made, seconds=1.0), ask(made), return_exceptions=True)
    assert (type(first), type(second)) == (AnswerLate, Unreachable)


async def test_a_service_that_isnt_there_is_unreachable() -> None:
    async with pool("http://127.0.0.1:9") as made:
        with pytest.raises(Unreachable):
            await ask(made)
    for wrong in ("", "siem:80", "ftp://siem/", "http://", "http://siem/?a"):
        with pytest.raises(ValueError, match="not the address"):
            Pool(wrong)


async def once_each(visit: Visit) -> None:
    """Answers once and closes at the next request, unanswered: what an idle connection is like that was just closed."""
    await visit.head()
    await visit.say(OK)
    await visit.head()


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_a_kept_connection_that_dies_unanswered_costs_a_second_try(method: str) -> None:
    async with service(once_each) as there, pool(there.url) as made:
        for _ in range(3):
            assert (await ask(made, body=b"b" if method == "PUT" else None))[0] == 200
        assert len(there.visits) == 3


async def test_a_write_is_never_sent_twice() -> None:
    async with service(once_each) as there, pool(there.url) as made:
        assert await ask(made, "POST", body=b"b") == (200, b"ok")
        with pytest.raises(AnswerBroken):
            await ask(made, "POST", body=b"b")
        assert len(there.visits) == 1


async def test_a_new_connection_that_dies_is_not_tried_again() -> None:
    async def dies(visit: Visit) -> None:
        await visit.head()

    async with service(dies) as there, pool(there.url) as made:
        with pytest.raises(AnswerBroken):
            await ask(made)
        assert len(there.visits) == 1


async def test_an_answer_that_began_is_not_asked_for_again() -> None:
    async def half(visit: Visit) -> None:
        await visit.head()
        await visit.say(OK)
        await visit.head()
        await visit.say(OK[:12])

    async with service(half) as there, pool(there.url) as made:
        assert await ask(made) == (200, b"ok")
        with pytest.raises(AnswerBroken):
            await ask(made)
        assert len(there.visits) == 1


async def test_connections_too_old_are_not_used_again() -> None:
    async with service(always_ok) as there, pool(there.url, keep_seconds=0.0) as made:
        for _ in range(3):
            assert await ask(made) == (200, b"ok")
        assert len(there.visits) == 3


async def test_a_body_read_in_part_ends_its_connection() -> None:
    async def long(visit: Visit) -> None:
        await visit.head()
        await visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123")
        await visit.reader.read()

    async with service(long) as there, pool(there.url) as made:
        for _ in range(2):
            async with await made.ask("GET", "/x", {}, seconds=5) as answer:
                assert await answer.piece() == b"123"
        assert len(there.visits) == 2


async def pieces_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_a_body_in_pieces_arrives_in_chunks_or_by_its_length() -> None:
    bodies: list[bytes] = []

    async def keep(visit: Visit) -> None:
        while True:
            head = await visit.head()
            end = b"0\r\n\r\n" if b"chunked" in head else b"world"
            bodies.append(await visit.reader.readuntil(end))
            await visit.say(OK)

    async with service(keep) as there, pool(there.url) as made:
        assert await ask(made, "POST", body=pieces_of(b"hello ", b"", b"world")) == (200, b"ok")
        assert await ask(made, "POST", body=pieces_of(b"hello ", b"world"), length=11) == (200, b"ok")
        assert len(there.visits) == 1
    assert bodies == [b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n", b"hello world"]


@pytest.mark.parametrize("pieces", [(b"12",), (b"1234", b"5")])
async def test_a_body_of_another_length_than_announced_is_never_taken_for_whole(pieces: tuple[bytes, ...]) -> None:
    async with service(silent) as there, pool(there.url) as made:
        with pytest.raises(AnswerBroken, match="its length"):
            await ask(made, "POST", body=pieces_of(*pieces), length=3)


async def test_a_body_that_fails_halfway_ends_the_request_with_its_own_error() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"1"
        raise LookupError("the client went away")

    taken: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(visit: Visit) -> None:
        await visit.head()
        try:
            taken.set_result(await visit.reader.read())
        except ConnectionError:
            taken.set_result(b"")

    async with service(take) as there, pool(there.url) as made:
        with pytest.raises(LookupError):
            await ask(made, "POST", body=failing())
        assert b"0\r\n\r\n" not in await taken


async def endless(seen: list[int]) -> AsyncIterator[bytes]:
    while True:
        seen.append(1)
        yield b"x" * 65536


@pytest.mark.parametrize("closes", [True, False])
async def test_an_answer_before_the_end_of_the_body_counts_and_ends_the_sending(closes: bool) -> None:
    async def refuse(visit: Visit) -> None:
        await visit.head()
        await visit.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno!")
        if not closes:
            await visit.reader.read()

    async with service(refuse) as there, pool(there.url) as made:
        assert await ask(made, "POST", body=endless([])) == (413, b"no!")
        assert await ask(made, "POST", body=endless([])) == (413, b"no!")
        assert len(there.visits) == 2


async def test_a_service_that_takes_nothing_holds_back_its_sender_and_is_late() -> None:
    async def deaf(visit: Visit) -> None:
        visit.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    seen: list[int] = []
    async with service(deaf) as there, pool(there.url) as made:
        with pytest.raises(AnswerLate):
            await ask(made, "POST", seconds=0.3, body=endless(seen))
    assert len(seen) < 500


async def test_a_service_that_says_nothing_is_late() -> None:
    async with service(silent) as there, pool(there.url) as made:
        with pytest.raises(AnswerLate):
            await ask(made, seconds=0.1)


async def test_a_caller_that_gives_up_leaves_nothing_behind() -> None:
    async with service(silent) as there, pool(there.url, limit=1) as made:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ask(made)
        assert len(there.visits) == 3


async def test_a_service_that_sends_more_than_one_answer_gets_no_second_request() -> None:
    async def smuggles(visit: Visit) -> None:
        await visit.head()
        await visit.say(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await visit.reader.read()

    async with service(smuggles) as there, pool(there.url) as made:
        for number in range(1, 4):
            assert await ask(made) == (200, b"ok")
            assert len(there.visits) == number
