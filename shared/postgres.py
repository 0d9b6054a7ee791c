"""The one file that imports asyncpg: a pool, transactions, and its errors told in ours.

`Database.transaction()` yields a Connection; both have fetch, fetchrow, fetchval, execute. A unique constraint that is
hit raises UniqueViolation; a lost server raises AURORA-5030, for which callers may try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import orjson

from shared.contracts.wire import encode
from shared.errors import UNAVAILABLE, VALIDATION, AuroraError
from shared.log import get_logger

Record = Any  # asyncpg.Record: a mapping by column name, untyped upstream
_log = get_logger("postgres")
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shut down, starting up, cancelled
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.InterfaceError,
    ConnectionError,
    OSError,
    TimeoutError,
)


class UniqueViolation(Exception):
    """A unique constraint was hit; `constraint` is its name."""

    def __init__(self, constraint: str) -> None:
        self.constraint = constraint
        super().__init__(constraint)


class SerializationConflict(AuroraError):
    """Two transactions met (deadlock or serialisation failure); the whole transaction may be run again."""

    def __init__(self) -> None:
        super().__init__(UNAVAILABLE, {"dependency": "postgres"})


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise UniqueViolation(error.constraint_name or "") from error
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
        raise SerializationConflict from error
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
        problem = {"path": "body", "message": "text must not hold the character U+0000"}
        raise AuroraError(VALIDATION, [problem]) from error
    except _LOST as error:
        raise AuroraError(UNAVAILABLE, {"dependency": "postgres"}) from error


class Connection:
    """One connection, inside a transaction."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    async def fetch(self, sql: str, *args: Any) -> Sequence[Record]:
        """All rows."""
        with _translated():
            rows: Sequence[Record] = await self._raw.fetch(sql, *args)
            return rows

    async def fetchrow(self, sql: str, *args: Any) -> Record | None:
        """The first row, or None."""
        with _translated():
            return await self._raw.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        with _translated():
            return await self._raw.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> int:
        """Runs a statement; how many rows it touched (0 where that has no meaning)."""
        with _translated():
            status: str = await self._raw.execute(sql, *args)
        last = status.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Runs a statement for each row of parameters, in one round trip."""
        with _translated():
            await self._raw.executemany(sql, rows)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A nested transaction: an error inside undoes only the block."""
        async with self._raw.transaction():
            yield


class Database:
    """A bounded pool of connections to one database, under one role."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, dsn: str, *, max_size: int = 10, wait_seconds: float = 60.0) -> Database:
        """Waits up to `wait_seconds` for the server. Raises AURORA-5030 after that.

        `dsn` is a libpq URI; `passfile=` in it names the file with the password.
        """
        deadline = asyncio.get_running_loop().time() + wait_seconds
        delay = 0.05
        while True:
            try:
                with _translated():
                    pool = await asyncpg.create_pool(
                        dsn, min_size=1, max_size=max_size, timeout=5, command_timeout=60, init=_prepare
                    )
                return cls(pool)
            except AuroraError:
                if asyncio.get_running_loop().time() + delay > deadline:
                    raise
                _log.info("waiting for postgres", retry_in_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 2.0)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Commits when the block ends well, else rolls back."""
        with _translated():
            async with self._pool.acquire(timeout=10) as raw, raw.transaction():
                yield Connection(raw)

    async def fetch(self, sql: str, *args: Any) -> Sequence[Record]:
        """All rows."""
        with _translated():
            rows: Sequence[Record] = await self._pool.fetch(sql, *args)
            return rows

    async def fetchrow(self, sql: str, *args: Any) -> Record | None:
        """The first row, or None."""
        with _translated():
            return await self._pool.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        """The first column of the first row, or None."""
        with _translated():
            return await self._pool.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> int:
        """Runs a statement; how many rows it touched (0 where that has no meaning)."""
        async with self.transaction() as connection:
            return await connection.execute(sql, *args)

    async def ping(self) -> None:
        """Raises AURORA-5030 when the server doesn't answer within 2 s."""
        with _translated():
            await self._pool.fetchval("SELECT 1", timeout=2)

    async def close(self) -> None:
        """Waits for running statements, at most 5 s."""
        try:
            await asyncio.wait_for(self._pool.close(), timeout=5)
        except TimeoutError:
            self._pool.terminate()


def _encode_json(value: Any) -> str:
    return encode(value).decode()


async def _prepare(raw: Any) -> None:
    await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=_encode_json, decoder=orjson.loads)
