"""The one file that imports clickhouse-connect: the engine in this process, or a server behind a URL.

The driver is synchronous, so each client lives in a thread of its own, a lane. Writes and reads have separate lanes:
a slow search never holds an insert back. Reads run under a time and a memory limit. Times come back aware, in UTC.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error

from shared.errors import CLICKHOUSE_UNAVAILABLE, AuroraError
from shared.log import get_logger

T = TypeVar("T")
Parameters = Mapping[str, Any]

#: The database of the in-process engine; its default one can't hold every kind of view.
DATABASE = "aurora"
# Two inserts run in parallel in the engine, more only queue inside it.
_WRITERS = 2
_READERS = 3
_READ_MEMORY_BYTES = 1024**3
_WRITE_SECONDS = 60
_LANE_WAIT_SECONDS = 15
_RETRY_SECONDS = 2
_CANCELLED = 394
_LIMITS: dict[int, Literal["time", "memory"]] = {159: "time", 160: "time", 241: "memory"}
_ONLY = re.compile(r"-- Only (?P<alone>in this process, )?where: (?P<select>.+)")
_log = get_logger("clickhouse")


class LimitExceededError(Exception):
    """A read ran into its limit; asking for less can help, asking again can't."""

    def __init__(self, limit: Literal["time", "memory"]) -> None:
        self.limit = limit
        super().__init__(limit)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The engine in this process, with its data under `path`. One process at a time may open a path."""

    path: Path

    def client(self, settings: Mapping[str, Any], seconds: float) -> Client:
        """A client of its own; the first in a process starts the engine (about a second)."""
        del seconds  # nothing is sent anywhere
        return clickhouse_connect.get_client(
            interface="chdb", path=str(self.path), database=DATABASE, settings=dict(settings), tz_mode="aware"
        )

    def prepare(self) -> None:
        """Makes the database."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        client = clickhouse_connect.get_client(interface="chdb", path=str(self.path))
        try:
            client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class Server:
    """A ClickHouse server at `url` (http or https, with the database as its path)."""

    url: str
    user: str | None = None
    password: str | None = None

    def client(self, settings: Mapping[str, Any], seconds: float) -> Client:
        """A client of its own. Raises the driver's error when no server answers."""
        return clickhouse_connect.get_client(
            dsn=self.url,
            username=self.user,
            password=self.password or "",
            settings=dict(settings),
            connect_timeout=5,
            send_receive_timeout=int(seconds) + 5,
            query_retries=0,
            autogenerate_session_id=False,
            # Long lists of values don't fit into the address, least of all through a proxy.
            form_encode_query_params=True,
            tz_mode="aware",
        )

    def prepare(self) -> None:
        """The database of a server is its operator's."""


class _Lane:
    """One thread and its client, which is made on first use."""

    def __init__(self, name: str, make: Callable[[], Client]) -> None:
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._make = make
        self._client: Client | None = None

    def run(self, work: Callable[[Client], T]) -> T:
        """Runs in the lane's thread."""
        with _translated():
            if self._client is None:
                self._client = self._make()
            return work(self._client)

    def close(self) -> None:
        """Runs in the lane's thread."""
        if self._client is not None:
            self._client.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Error as error:
        limit = _LIMITS.get(error.code or 0)
        if limit is not None:
            raise LimitExceededError(limit) from error
        # The engine's text may quote stored data, so neither the caller nor the log gets it.
        (_log.info if error.code == _CANCELLED else _log.warning)(
            "clickhouse refused", error_code=error.code, error_name=error.name, kind=type(error).__name__
        )
        raise unavailable() from error
    except OSError as error:
        raise unavailable() from error


def unavailable() -> AuroraError:
    """AURORA-5032, worth trying again in a moment."""
    return AuroraError(CLICKHOUSE_UNAVAILABLE, {"dependency": "clickhouse"}, retry_after=_RETRY_SECONDS)


class ClickHouse:
    """Inserts and queries, each in a thread, each bounded.

    Every method raises AURORA-5032 when the engine or the server can't do it now.
    """

    def __init__(
        self, place: Embedded | Server, *, read_seconds: float = 10, write_settings: Mapping[str, Any] | None = None
    ) -> None:
        limits = {
            "max_execution_time": read_seconds,
            "max_memory_usage": _READ_MEMORY_BYTES,
            "max_result_bytes": _READ_MEMORY_BYTES // 4,
        }
        self._place = place
        self._lanes: list[_Lane] = []
        self._writers = self._open(_WRITERS, "ch-write", write_settings or {}, _WRITE_SECONDS)
        self._readers = self._open(_READERS, "ch-read", limits, read_seconds)
        # Slow searches must not make the service look dead.
        self._probe = self._open(1, "ch-probe", {}, read_seconds)
        self._probing = self._lanes[-1]

    def _open(self, count: int, name: str, settings: Mapping[str, Any], seconds: float) -> asyncio.Queue[_Lane]:
        lanes: asyncio.Queue[_Lane] = asyncio.Queue()
        for number in range(count):
            lane = _Lane(f"{name}-{number}", lambda: self._place.client(settings, seconds))
            self._lanes.append(lane)
            lanes.put_nowait(lane)
        return lanes

    @classmethod
    async def open(
        cls, place: Embedded | Server, *, read_seconds: float = 10, write_settings: Mapping[str, Any] | None = None
    ) -> ClickHouse:
        """Starts the engine. A server that is down is found out by the first call, not here.

        `write_settings` are the engine's settings for inserts and commands.
        """
        clickhouse = cls(place, read_seconds=read_seconds, write_settings=write_settings)
        lane = clickhouse._lanes[0]
        await asyncio.get_running_loop().run_in_executor(lane.thread, _guarded(place.prepare))
        return clickhouse

    async def insert_json_each_row(self, table: str, rows: bytes) -> None:
        """Inserts one JSON object a line; they are stored when this returns. A failure may have stored them or not."""
        # The driver sends bytes, and only bytes, again when a server closes the connection: they may be stored by then.
        await self._write(lambda client: client.raw_insert(table, insert_block=BytesIO(rows), fmt="JSONEachRow"))

    async def query(self, sql: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
        """All rows of a SELECT, with `{name:Type}` parameters. Raises LimitExceededError.

        The engine stops working on it when whoever waits for it is cancelled.
        """
        tag = {"log_comment": uuid4().hex}

        def work(client: Client) -> list[dict[str, Any]]:
            return list(client.query(sql, parameters=dict(parameters or {}), settings=tag).named_results())

        try:
            return await self._run(self._readers, work)
        except asyncio.CancelledError:
            self._stop(tag)
            raise

    def _stop(self, tag: Mapping[str, str]) -> None:
        """Ends a query that nobody waits for any more; one that ends by itself meanwhile is no matter."""

        def kill(client: Client) -> object:
            return client.command("KILL QUERY WHERE Settings['log_comment'] = {log_comment:String} ASYNC", dict(tag))

        # After `close` the engine works on nothing any more.
        with suppress(RuntimeError):
            self._probing.thread.submit(self._probing.run, kill)

    async def command(self, sql: str, parameters: Parameters | None = None) -> None:
        """Runs a statement that answers nothing (DDL, ALTER ... DELETE)."""
        await self._write(lambda client: client.command(sql, parameters=dict(parameters or {})))

    async def apply(self, directory: Path) -> None:
        """Runs the numbered .sql files of a folder in order; each holds one statement that may be run again.

        One that begins with `-- Only where: SELECT ...` is run where that answers anything but 0; with
        `-- Only in this process, where: ...` only by the engine in this process, which has its data to itself.
        """
        for statement in _statements(directory):
            only = _ONLY.match(statement)
            if only is None or await self._holds(only["select"], alone=only["alone"] is not None):
                await self.command(statement)

    async def _holds(self, select: str, *, alone: bool) -> bool:
        if alone and not isinstance(self._place, Embedded):
            return False
        return bool(await self._run(self._writers, lambda client: client.command(select)))

    async def ping(self) -> None:
        """Raises AURORA-5032 when a read isn't answered."""
        await self._run(self._probe, lambda client: client.command("SELECT 1"))

    async def _write(self, work: Callable[[Client], object]) -> None:
        try:
            await self._run(self._writers, work)
        except LimitExceededError as error:
            # Not this write's size but the engine's memory: there will be some again.
            raise unavailable() from error

    async def _run(self, lanes: asyncio.Queue[_Lane], work: Callable[[Client], T]) -> T:
        try:
            async with asyncio.timeout(_LANE_WAIT_SECONDS):
                lane = await lanes.get()
        except TimeoutError as error:
            raise unavailable() from error
        running = asyncio.get_running_loop().run_in_executor(lane.thread, lane.run, work)

        def give_back(done: asyncio.Future[T]) -> None:
            if not done.cancelled():
                done.exception()  # a caller that left doesn't fetch it
            lanes.put_nowait(lane)

        running.add_done_callback(give_back)
        # A thread can't be cancelled: the lane is free when the engine is done, also when the caller has left.
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Waits for what runs, then closes every client; the last one ends the engine."""
        loop = asyncio.get_running_loop()
        for lane in self._lanes:
            await loop.run_in_executor(lane.thread, lane.close)
            lane.thread.shutdown(wait=False)


def _statements(directory: Path) -> list[str]:
    files = sorted(directory.glob("*.sql"))
    for file in files:
        if re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", file.name) is None:
            raise ValueError(f"{file.name}: expected a file numbered 0001_name.sql")
    return [file.read_text(encoding="utf-8") for file in files]


def _guarded(work: Callable[[], T]) -> Callable[[], T]:
    def run() -> T:
        with _translated():
            return work()

    return run
