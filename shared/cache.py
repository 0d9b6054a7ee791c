"""The one file that imports redis: short-lived state that every process of a service shares.

Nothing here is the only copy of a fact. A server that can't be reached raises AURORA-5030: whoever asks whether a
token was revoked must then refuse, never pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from shared.errors import UNAVAILABLE, AuroraError
from shared.tally import Tally

T = TypeVar("T")
_AT_ONCE = 1000
#: For each question a key to read ("" for none), a counter and the seconds of its window, which its first count opens.
_READ_AND_COUNT = """
local answers = {}
for i = 1, #ARGV do
    local value = KEYS[2 * i - 1] ~= '' and redis.call('GET', KEYS[2 * i - 1])
    local count = redis.call('INCR', KEYS[2 * i])
    local left = redis.call('TTL', KEYS[2 * i])
    if left < 0 then
        redis.call('EXPIRE', KEYS[2 * i], ARGV[i])
        left = tonumber(ARGV[i])
    end
    answers[i] = {value or '', count, left}
end
return answers
"""
#: Sets or, without a value, removes a key that holds what is expected; 0 when it holds anything else, or nothing.
_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return 1
"""
_Question = tuple[str, str, int]
_Answer = tuple[bytes, int, int]


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
        self._script = self._redis.register_script(_READ_AND_COUNT)
        self._replace = self._redis.register_script(_REPLACE)
        self._reads: Tally[str, bytes | None] = Tally("redis", self._read)
        self._counts: Tally[_Question, _Answer] = Tally("redis", self._read_and_count)

    async def get(self, key: str) -> bytes | None:
        """The value, or None. Those asked for at the same time come in one round trip, however many they are."""
        return await self._reads.ask(key)

    async def set(self, key: str, value: bytes | str, *, ttl_seconds: int, only_if_new: bool = False) -> bool:
        """Stores; False when `only_if_new` and the key was there."""
        with _translated():
            return bool(await self._redis.set(key, value, ex=ttl_seconds, nx=only_if_new))

    async def set_all(self, keys: Sequence[str], value: bytes, *, ttl_seconds: int) -> None:
        """Stores the value under each key, in one round trip a thousand keys."""
        with _translated():
            for start in range(0, len(keys), _AT_ONCE):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for key in keys[start : start + _AT_ONCE]:
                        pipe.set(key, value, ex=ttl_seconds)
                    await pipe.execute()

    async def take(self, key: str) -> bytes | None:
        """The value, removed in the same step: whoever gets it is the only one."""
        with _translated():
            return cast("bytes | None", await self._redis.getdel(key))

    async def delete(self, key: str) -> None:
        """Removes the key if it is there."""
        with _translated():
            await self._redis.delete(key)

    async def replace(self, key: str, held: bytes, value: bytes | None, *, ttl_seconds: int) -> bool:
        """Stores in place of `held`; None removes. False when the key holds anything else, or nothing."""
        with _translated():
            return bool(await self._replace([key], [held, value or b"", ttl_seconds]))

    async def increment(self, key: str, *, ttl_seconds: int) -> tuple[int, int]:
        """Adds one; the new count and the seconds until it starts again. The window starts with the first."""
        _, count, left = await self._counts.ask(("", key, ttl_seconds))
        return count, left

    async def decrement(self, key: str, *, ttl_seconds: int) -> None:
        """Takes one back within the window."""
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.decr(key)
                pipe.expire(key, ttl_seconds, nx=True)
                await pipe.execute()

    async def get_and_increment(self, key: str, counter: str, *, ttl_seconds: int) -> tuple[bytes | None, int, int]:
        """`get` of one key and `increment` of another in one round trip: value, count, seconds."""
        value, count, left = await self._counts.ask((key, counter, ttl_seconds))
        return value or None, count, left

    async def _read(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        with _translated():
            return cast("list[bytes | None]", await self._redis.mget(keys))

    async def _read_and_count(self, questions: Sequence[_Question]) -> Sequence[_Answer]:
        keys = [key for question in questions for key in question[:2]]
        with _translated():
            answers = await self._script(keys, [window for _, _, window in questions])
        return [(value, int(count), max(int(left), 0)) for value, count, left in answers]

    async def ping(self) -> None:
        """Raises AURORA-5030 when the server doesn't answer."""
        with _translated():
            await self._redis.ping()

    async def close(self) -> None:
        """Closes the connections."""
        await self._reads.close()
        await self._counts.close()
        await self._redis.aclose()
