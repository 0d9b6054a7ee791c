"""The SQL of users. A deleted one stays as a row that nobody finds here: see migration 0003."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from services.gateway.accounts.domain import Credentials, Filters, User, comparison_key
from shared.postgres import Connection, Database

_COLUMNS = (
    "id, username, email, name, role, created_at, last_login_at, disabled_at, number,"
    " password_hash IS NOT NULL AS has_password"
)
_FIRST_USER_LOCK = 0x55534552  # "USER"
#: Held by whoever takes an administrator away, so that no two of them take the last two.
_ADMINS_LOCK = 0x41444D4E  # "ADMN"
_INSERT = (
    "INSERT INTO users (id, username, username_key, email, email_key, name, role, password_hash, created_at)"
    " SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9"
)


class UserStore:
    """Users of this installation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """For acts that must commit together."""
        async with self._database.transaction() as connection:
            yield connection

    async def credentials(self, username: str) -> Credentials | None:
        """What a sign-in under this name is checked against; None when there is no such account."""
        return await self._credentials("username_key", comparison_key(username))

    async def credentials_of_email(self, email: str) -> Credentials | None:
        """As `credentials`, by e-mail address."""
        return await self._credentials("email_key", comparison_key(email))

    async def credentials_of_id(self, user_id: str) -> Credentials | None:
        """As `credentials`, by id."""
        return await self._credentials("id", user_id)

    async def _credentials(self, column: str, value: str) -> Credentials | None:
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS}, password_hash FROM users WHERE {column} = $1 AND deleted_at IS NULL",  # noqa: S608 - constants
            value,
        )
        return None if row is None else Credentials(_user(row), row["password_hash"])

    async def get(self, user_id: str) -> User | None:
        """The user who has this id and isn't disabled."""
        row = await self._database.fetchrow(
            f"SELECT {_COLUMNS} FROM users WHERE id = $1 AND disabled_at IS NULL",  # noqa: S608 - constant
            user_id,
        )
        return None if row is None else _user(row)

    async def named(self, username: str) -> User | None:
        """The user of this name, disabled or not."""
        found = await self.credentials(username)
        return None if found is None else found.user

    async def lock_named(self, connection: Connection, username: str) -> User | None:
        """As `named`; nobody else changes the account until the transaction ends."""
        row = await connection.fetchrow(
            f"SELECT {_COLUMNS} FROM users WHERE username_key = $1 AND deleted_at IS NULL FOR UPDATE",  # noqa: S608 - constant
            comparison_key(username),
        )
        return None if row is None else _user(row)

    async def page(self, filters: Filters, before: int | None, limit: int) -> list[User]:
        """Users, newest first, that came before the number `before`."""
        rows = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM users"  # noqa: S608 - constant
            " WHERE deleted_at IS NULL AND ($1::bigint IS NULL OR number < $1) AND ($2::text IS NULL OR role = $2)"
            " AND ($3::bool IS NULL OR (disabled_at IS NOT NULL) = $3)"
            " AND ($4::text IS NULL OR strpos(username_key, $4) > 0 OR strpos(email_key, $4) > 0"
            " OR strpos(lower(name), $4) > 0)"
            " ORDER BY number DESC LIMIT $5",
            before,
            filters.role,
            filters.disabled,
            None if filters.part is None else comparison_key(filters.part),
            limit,
        )
        return [_user(row) for row in rows]

    async def is_empty(self) -> bool:
        """Whether nobody ever had an account."""
        return not await self._database.fetchval("SELECT EXISTS (SELECT FROM users)")

    async def add_first(self, user: User, password_hash: str) -> bool:
        """Adds a user if nobody ever had an account; False when somebody had, or another replica was faster."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _FIRST_USER_LOCK)
            statement = f"{_INSERT} WHERE NOT EXISTS (SELECT FROM users)"
            return bool(await connection.execute(statement, *_values(user, password_hash)))

    async def add(self, connection: Connection, user: User, password_hash: str | None) -> None:
        """Adds a user. Raises UniqueViolation of users_username_key_key or users_email_key_key."""
        await connection.execute(_INSERT, *_values(user, password_hash))

    async def change(self, connection: Connection, user: User) -> None:
        """Stores e-mail address, name, role and state. Raises UniqueViolation of users_email_key_key."""
        await connection.execute(
            "UPDATE users SET email = $2, email_key = $3, name = $4, role = $5, disabled_at = $6 WHERE id = $1",
            user.id,
            user.email,
            None if user.email is None else comparison_key(user.email),
            user.name,
            user.role,
            user.disabled_at,
        )

    async def change_profile(self, connection: Connection, user: User) -> None:
        """Stores e-mail address and name only. Raises UniqueViolation of users_email_key_key."""
        await connection.execute(
            "UPDATE users SET email = $2, email_key = $3, name = $4 WHERE id = $1 AND deleted_at IS NULL",
            user.id,
            user.email,
            None if user.email is None else comparison_key(user.email),
            user.name,
        )

    async def set_password(self, connection: Connection, user_id: str, password_hash: str) -> bool:
        """Stores a password's hash; False when the account is gone."""
        return bool(
            await connection.execute(
                "UPDATE users SET password_hash = $2 WHERE id = $1 AND deleted_at IS NULL", user_id, password_hash
            )
        )

    async def delete(self, connection: Connection, user_id: str, now: datetime) -> None:
        """Deletes what the account was for; its row, with the user name, stays for those who refer to it."""
        await connection.execute(
            "UPDATE users SET deleted_at = $2, disabled_at = coalesce(disabled_at, $2), password_hash = NULL,"
            " email = NULL, email_key = NULL, name = '', username_key = 'deleted:' || id WHERE id = $1",
            user_id,
            now,
        )

    async def is_last_admin(self, connection: Connection, user_id: str) -> bool:
        """Whether no other administrator could sign in. Until the transaction ends nobody else takes one away."""
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADMINS_LOCK)
        return not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM users WHERE role = 'admin' AND disabled_at IS NULL AND id <> $1)", user_id
        )

    async def signed_in(self, user_id: str, at: datetime) -> None:
        """Remembers the time of the latest sign-in."""
        await self._database.execute("UPDATE users SET last_login_at = $2 WHERE id = $1", user_id, at)


def _values(user: User, password_hash: str | None) -> tuple[Any, ...]:
    return (
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


def _user(row: Any) -> User:
    return User(
        row["id"],
        row["username"],
        row["email"],
        row["name"],
        row["role"],
        row["created_at"],
        row["last_login_at"],
        row["disabled_at"],
        row["has_password"],
        row["number"],
    )
