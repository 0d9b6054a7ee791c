"""Accounts: the first administrator, and whether a name and a password belong together.

Checking a password takes 0.3 s of one core, so it runs in a few threads, behind a queue of bounded length. An unknown
name is checked against a hash that nothing matches: it takes as long and reads the same as a wrong password.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from services.gateway.accounts import domain
from services.gateway.accounts.domain import User
from services.gateway.accounts.store import UserStore
from shared import config
from shared.clock import utc_now
from shared.contracts.identity import UserProfile
from shared.errors import INVALID_CREDENTIALS, RATE_LIMITED, AuroraError
from shared.identity import ROLE_PERMISSIONS
from shared.log import get_logger

T = TypeVar("T")
FIRST_USER = "admin"
_WAITING_CHECKS = 64
_log = get_logger("accounts")


class Accounts:
    """The use-cases of accounts."""

    def __init__(self, store: UserStore, *, workers: int, cost: int = domain.BCRYPT_COST) -> None:
        self._store = store
        self._cost = cost
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="password")
        self._checks = 0
        self._nobody = domain.hash_password(secrets.token_urlsafe(16), cost=cost)

    async def ensure_first_user(self, password_file: Path | None) -> None:
        """Creates `admin` when nobody has an account. Raises ConfigError when its password isn't set."""
        if not await self._store.is_empty():
            return
        if password_file is None:
            raise config.ConfigError("AURORA_ADMIN_PASSWORD_FILE is not set")
        password = config.read_secret(password_file)
        hashed = await self._in_thread(lambda: domain.hash_password(password, cost=self._cost))
        identifier = domain.user_id(secrets.token_bytes(16))
        user = User(identifier, FIRST_USER, None, "Administrator", "admin", utc_now(), None)
        if await self._store.add_first(user, hashed):
            _log.info("first account created", account=FIRST_USER, user_id=user.id)

    async def check_password(self, username: str, password: str) -> User:
        """The user. Raises AURORA-4012 for anybody else, AURORA-4290 when too many checks wait."""
        found = await self._store.credentials(username)
        expected = self._nobody if found is None or found.password_hash is None else found.password_hash
        matches = await self._in_thread(lambda: domain.password_matches(password, expected))
        if found is None or not matches or found.disabled or found.password_hash is None:
            raise AuroraError(INVALID_CREDENTIALS)
        return found.user

    async def active(self, user_id: str) -> User | None:
        """The user, unless disabled or gone."""
        return await self._store.get(user_id)

    async def signed_in(self, user_id: str) -> None:
        """Remembers the time of the latest sign-in."""
        await self._store.signed_in(user_id, utc_now())

    async def profile(self, user_id: str) -> UserProfile:
        """The user as shown to itself. Raises AURORA-4012 when the account is gone."""
        user = await self._store.get(user_id)
        if user is None:
            raise AuroraError(INVALID_CREDENTIALS)
        return UserProfile(
            id=user.id,
            username=user.username,
            email=user.email,
            name=user.name,
            role=user.role,
            permissions=sorted(ROLE_PERMISSIONS[user.role]),
            created_at=user.created_at,
            last_login_at=user.last_login_at,
        )

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
