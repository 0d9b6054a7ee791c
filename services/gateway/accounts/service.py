"""Accounts: the first administrator, whether a name and a password belong together, and what a user does with its own.

An unknown name is checked against a hash that nothing matches: it takes as long and reads the same as a wrong password.
What ends sessions is in changes.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from msgspec import UNSET

from services.gateway.accounts import domain
from services.gateway.accounts.domain import Credentials, User
from services.gateway.accounts.passwords import Passwords
from services.gateway.accounts.store import UserStore
from services.gateway.journal import Journal
from shared import config
from shared.clock import utc_now
from shared.contracts.identity import Role, UserProfile
from shared.contracts.users import ChangeProfile
from shared.errors import CONFLICT, INVALID_CREDENTIALS, AuroraError, field_error
from shared.identity import ROLE_PERMISSIONS
from shared.log import get_logger
from shared.postgres import UniqueViolation

FIRST_USER = "admin"
_ATTEMPTS_AT_A_NAME = 5
_EMAIL_CONSTRAINT = "users_email_key_key"
_log = get_logger("accounts")


class Accounts:
    """The use-cases of whoever signs in."""

    def __init__(self, store: UserStore, passwords: Passwords, journal: Journal) -> None:
        self._store = store
        self._passwords = passwords
        self._journal = journal

    async def ensure_first_user(self, password_file: Path | None) -> None:
        """Creates `admin` when nobody has an account. Raises ConfigError when its password isn't set."""
        if not await self._store.is_empty():
            return
        if password_file is None:
            raise config.ConfigError("AURORA_ADMIN_PASSWORD_FILE is not set")
        hashed = await self._passwords.hash(config.read_secret(password_file))
        user = new_user(FIRST_USER, None, "Administrator", "admin")
        if await self._store.add_first(user, hashed):
            _log.info("first account created", account=FIRST_USER, user_id=user.id)

    async def check_password(self, username: str, password: str) -> User:
        """The user. Raises AURORA-4012 for anybody else, AURORA-4290 when too many checks wait."""
        return await self._checked(await self._store.credentials(username), password)

    async def check_email(self, email: str, password: str) -> User:
        """As `check_password`, by e-mail address."""
        return await self._checked(await self._store.credentials_of_email(email), password)

    async def check_own(self, user_id: str, password: str) -> User:
        """As `check_password`, of a user who is known already."""
        return await self._checked(await self._store.credentials_of_id(user_id), password)

    async def _checked(self, found: Credentials | None, password: str) -> User:
        matches = await self._passwords.match(password, None if found is None else found.password_hash)
        if found is None or not matches or found.user.disabled_at is not None or found.user.role == "api_service":
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
        return _profile(user)

    async def change_profile(self, user_id: str, asked: ChangeProfile) -> UserProfile:
        """Changes a user's own name or e-mail address. Raises AURORA-4090 for an address that somebody else has."""
        user = await self._store.get(user_id)
        if user is None:
            raise AuroraError(INVALID_CREDENTIALS)
        if asked.name is not UNSET:
            user = replace(user, name=asked.name)
        if asked.email is not UNSET:
            user = replace(user, email=checked_email(asked.email))
        with taken_names():
            async with self._store.transaction() as connection:
                await self._store.change_profile(connection, user)
                await self._journal.record(
                    "user.profile_changed",
                    actor=user.id,
                    outcome="success",
                    target=user.username,
                    connection=connection,
                )
        return _profile(user)

    async def register(self, username: str, email: str, password: str, name: str, role: Role) -> User:
        """An account that somebody makes for themselves. Raises AURORA-4220, and 4090 when they have one."""
        hashed = await self._passwords.hash(password)
        user = new_user(username, checked_email(email), name, role)
        with taken_names():
            async with self._store.transaction() as connection:
                await self._store.add(connection, user, hashed)
                await self._journal.record(
                    "user.registered", actor=user.id, outcome="success", target=user.username, connection=connection
                )
        _log.info("account registered", user_id=user.id)
        return user

    async def provision(
        self, issuer: str, subject: str, *, username: str, email: str | None, name: str, role: Role
    ) -> User:
        """A new account without a password, for whom an identity provider vouches; never one that is there already.

        A name or an address that is taken is not a reason to become its owner: the name gets a suffix, and the address
        is left out.
        """
        address = None
        with suppress(ValueError):
            address = None if email is None else domain.clean_email(email)
        user = new_user(domain.username_from(username), address, name[:256], role)
        for _ in range(_ATTEMPTS_AT_A_NAME):
            try:
                await self._add_provisioned(user, issuer, subject)
            except UniqueViolation as violation:
                if violation.constraint == _EMAIL_CONSTRAINT:
                    user = replace(user, email=None)
                else:
                    user = replace(user, username=domain.username_from(username, secrets.token_hex(4)))
            else:
                _log.info("account provisioned", user_id=user.id, account=user.username, issuer=issuer)
                return user
        raise AuroraError(CONFLICT)

    async def _add_provisioned(self, user: User, issuer: str, subject: str) -> None:
        async with self._store.transaction() as connection:
            await self._store.add(connection, user, None)
            await self._journal.record(
                "user.provisioned",
                actor=user.id,
                outcome="success",
                target=user.username,
                detail={"issuer": issuer, "subject": subject, "role": user.role},
                connection=connection,
            )


def new_user(username: str, email: str | None, name: str, role: Role) -> User:
    """A user who isn't stored yet, under an id that nobody can guess."""
    return User(domain.user_id(secrets.token_bytes(16)), username, email, name, role, utc_now())


def checked_email(given: str | None) -> str | None:
    """The address as it is kept. Raises AURORA-4220 when it can't be one."""
    try:
        return None if given is None else domain.clean_email(given)
    except ValueError as error:
        raise field_error("body.email", str(error)) from error


@contextmanager
def taken_names() -> Iterator[None]:
    """Inside, a name or address that another account has raises AURORA-4090, which names the field."""
    try:
        yield
    except UniqueViolation as violation:
        field = "email" if violation.constraint == _EMAIL_CONSTRAINT else "username"
        raise AuroraError(CONFLICT, [{"path": f"body.{field}", "message": "belongs to another account"}]) from violation


def _profile(user: User) -> UserProfile:
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
