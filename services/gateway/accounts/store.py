"""The SQL of users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.gateway.accounts.domain import Credentials, User, comparison_key
from shared.postgres import Database

_COLUMNS = "id, username, email, name, role, created_at, last_login_at"
_FIRST_USER_LOCK = 0x55534552  # "USER"


class UserStore:
    """Users of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def credentials(self, username: str) -> Credentials | None:
        """What a sign-in under this name is checked against; None when there is no such account."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS}, password_hash, disabled_at FROM users WHERE username_key = $1",  # noqa: S608 - constant
            comparison_key(username),
        )
        if row is None:
            return None
        return Credentials(_user(row), row["password_hash"], row["disabled_at"] is not None)

    async def get(self, user_id: str) -> User | None:
        """The user who has this id and isn't disabled."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM users WHERE id = $1 AND disabled_at IS NULL",  # noqa: S608 - constant
            user_id,
        )
        return None if row is None else _user(row)

    async def is_empty(self) -> bool:
        """Whether nobody has an account yet."""
        return not await self._database.fetchval("SELECT EXISTS (SELECT FROM users)")

    async def add_first(self, user: User, password_hash: str) -> bool:
        """Adds a user if nobody has an account yet; False when somebody had, or another replica was faster."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _FIRST_USER_LOCK)
            return bool(
                await connection.execute(
                    "INSERT INTO users"
                    " (id, username, username_key, email, email_key, name, role, password_hash, created_at)"
                    " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 WHERE NOT EXISTS (SELECT FROM users)",
                    user.id,
                    user.username,
                    comparison_key(user.username),
                    user.email,
                    None if user.email is None else comparison_key(user.email),
                    user.name,
                    user.role,
                    password_hash,
                    user.created_at,
                )
            )

    async def signed_in(self, user_id: str, at: datetime) -> None:
        """Remembers the time of the latest sign-in."""
        await self._database.execute("UPDATE users SET last_login_at = $2 WHERE id = $1", user_id, at)


def _user(row: Any) -> User:
    return User(
        row["id"],
        row["username"],
        row["email"],
        row["name"],
        row["role"],
        row["created_at"],
        row["last_login_at"],
    )
