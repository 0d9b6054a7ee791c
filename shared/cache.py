"""The one file that imports redis: short-lived state that every process of a service shares.

Nothing here is the only copy of a fact. A server that can't be reached raises AURORA-5030: whoever asks whether a
token was revoked must then refuse, never pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from shared.errors import UNAVAILABLE, AuroraError

T = TypeVar("T")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise AuroraError(UNAVAILABLE, {"dependency": "redis"}) from error


class Cache:
    """A few commands of the Redis protocol, each bounded to 2 s."""

    def __init__(self, url: str, password: str | None) -> None:
        self._redis = redis.Redis.from_url(
            url,
            password=password,
            socket_timeout=2,
            socket_connect_timeout=2,
            max_connections=64,
            # Once more, and only on a connection that was lost: whatever else fails is told at once.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        with _translated():
            return cast("bytes | None", await self._redis.get(key))

    async def set(self, key: str, value: bytes | str, *, ttl_seconds: int, only_if_new: bool = False) -> bool:
        """Stores; False when `only_if_new` and the key was there."""
        with _translated():
            return bool(await self._redis.set(key, value, ex=ttl_seconds, nx=only_if_new))

    async def take(self, key: str) -> bytes | None:
        """The value, removed in the same step: whoever gets it is the only one."""
        with _translated():
            return cast("bytes | None", await self._redis.getdel(key))

    async def delete(self, key: str) -> None:
        """Removes the key if it is there."""
        with _translated():
            await self._redis.delete(key)

    async def increment(self, key: str, *, ttl_seconds: int) -> tuple[int, int]:
        """Adds one; the new count and the seconds until it starts again. The window starts with the first."""
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                _count(pipe, key, ttl_seconds)
                count, _, ttl = await pipe.execute()
            return int(count), max(int(ttl), 0)

    async def decrement(self, key: str, *, ttl_seconds: int) -> None:
        """Takes one back within the window."""
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.decr(key)
                pipe.expire(key, ttl_seconds, nx=True)
                await pipe.execute()

    async def get_and_increment(self, key: str, counter: str, *, ttl_seconds: int) -> tuple[bytes | None, int, int]:
        """`get` of one key and `increment` of another in one round trip: value, count, seconds."""
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.get(key)
                _count(pipe, counter, ttl_seconds)
                value, count, _, ttl = await pipe.execute()
            return value, int(count), max(int(ttl), 0)

    async def ping(self) -> None:
        """Raises AURORA-5030 when the server doesn't answer."""
        with _translated():
            await self._redis.ping()

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()


def _count(pipe: Any, key: str, ttl_seconds: int) -> None:
    # No transaction: should the connection break after the first, the next count sets the missing end of the window.
    pipe.incr(key)
    pipe.expire(key, ttl_seconds, nx=True)
    pipe.ttl(key)
