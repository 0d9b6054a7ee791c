"""Passwords are hashed and checked here: in a few threads, behind a queue of bounded length, since each takes 0.3 s."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.gateway.accounts import domain
from shared.errors import RATE_LIMITED, AuroraError

T = TypeVar("T")
_WAITING_CHECKS = 64


class Passwords:
    """`workers` checks run at the same time; `cost` is bcrypt's."""

    def __init__(self, workers: int, cost: int) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="password")
        self._checks = 0
        self._nobodys = domain.hash_password(secrets.token_urlsafe(16), cost=cost)

    async def hash(self, password: str) -> str:
        """bcrypt of the password. Raises AURORA-4290 when too many wait."""
        return await self._in_thread(lambda: domain.hash_password(password, cost=self._cost))

    async def match(self, password: str, hashed: str | None) -> bool:
        """Whether they belong together; without a hash never, and it takes as long. Raises AURORA-4290."""
        expected = hashed or self._nobodys
        return await self._in_thread(lambda: domain.password_matches(password, expected)) and hashed is not None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._checks >= _WAITING_CHECKS:
            raise AuroraError(RATE_LIMITED, retry_after=5)
        self._checks += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._checks -= 1

    async def close(self) -> None:
        """Lets go of the threads; a check that runs is waited for."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
