"""What changes an account, by an administrator or by its user, and what ends with it.

Sessions and API keys end in the transaction of the change and are made known to every process right after it; should a
process die in between, or Redis be away, housekeeping makes it known later, and until then nobody is let in.
The last administrator who can sign in stays one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, Protocol

from msgspec import UNSET

from services.gateway.accounts import domain
from services.gateway.accounts.domain import Filters, User
from services.gateway.accounts.passwords import Passwords
from services.gateway.accounts.service import Accounts, checked_email, new_user, taken_names
from services.gateway.accounts.store import UserStore
from services.gateway.journal import Journal
from shared.clock import utc_now
from shared.contracts import users as contract
from shared.contracts.common import Page
from shared.contracts.users import ChangeUser, CreateUser, UserQuery
from shared.errors import CONFLICT, NOT_FOUND, AuroraError, field_error
from shared.identity import Principal
from shared.log import get_logger
from shared.pages import decode_position, encode_position
from shared.postgres import Connection

Reason = Literal["password changed", "role changed", "account disabled", "account deleted"]
_log = get_logger("accounts")


class Sessions(Protocol):
    """What changes ask of sessions. `publish` raises AURORA-5030 when it can't be made known."""

    async def end_all_in(
        self, connection: Connection, user_id: str, reason: Reason, *, keep: str | None = None
    ) -> list[str]: ...
    async def publish(self, ended: Sequence[str]) -> None: ...


class Keys(Protocol):
    """What changes ask of API keys."""

    async def end_all_in(self, connection: Connection, user_id: str) -> list[str]: ...
    async def publish(self, ended: Sequence[str]) -> None: ...


class Throttle(Protocol):
    """What changes ask of admission. Raises AURORA-4290 for an attempt too many; a success is taken back."""

    async def attempt(self, account: str, address: str) -> None: ...
    async def succeeded(self, account: str, address: str) -> None: ...


class Changes:
    """The use-cases of administrators, and a user's change of its password."""

    def __init__(
        self,
        store: UserStore,
        accounts: Accounts,
        passwords: Passwords,
        sessions: Sessions,
        keys: Keys,
        throttle: Throttle,
        journal: Journal,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._passwords = passwords
        self._sessions = sessions
        self._keys = keys
        self._throttle = throttle
        self._journal = journal

    async def page(self, query: UserQuery) -> Page[contract.User]:
        """Users, newest first. Raises AURORA-4220 for a cursor that isn't ours."""
        filters = Filters(query.role, query.disabled, query.q)
        found = await self._store.page(filters, decode_position(query.cursor), query.limit + 1)
        shown, more = found[: query.limit], len(found) > query.limit
        return Page([_shown(user) for user in shown], encode_position(shown[-1].number) if more else None)

    async def show(self, username: str) -> contract.User:
        """One user. Raises AURORA-4040."""
        user = await self._store.named(username)
        if user is None:
            raise AuroraError(NOT_FOUND)
        return _shown(user)

    async def create(self, admin: Principal, asked: CreateUser) -> contract.User:
        """A new account. Raises AURORA-4220 naming the field, 4090 for a name or an address that is taken."""
        try:
            username = domain.clean_username(asked.username)
        except ValueError as error:
            raise field_error("body.username", str(error)) from error
        user = new_user(username, checked_email(asked.email), asked.name or username, asked.role)
        hashed = None if asked.password is None else await self._passwords.hash(asked.password)
        with taken_names():
            async with self._store.transaction() as connection:
                await self._store.add(connection, user, hashed)
                await self._told(connection, "user.created", admin, user, {"role": user.role})
        return _shown(replace(user, has_password=hashed is not None))

    async def change(self, admin: Principal, username: str, asked: ChangeUser) -> contract.User:
        """Raises AURORA-4040, 4090 for an address that is taken or for the last administrator, 4220."""
        email = None if asked.email is UNSET else checked_email(asked.email)
        sessions: list[str] = []
        keys: list[str] = []
        with taken_names():
            async with self._store.transaction() as connection:
                before = await self._locked(connection, username)
                after = _changed(before, asked, email, utc_now())
                if after == before:
                    return _shown(before)
                if before.role == "admin" and (after.role != "admin" or after.disabled_at is not None):
                    await self._require_other_admin(connection, before)
                await self._store.change(connection, after)
                if after.disabled_at is not None and before.disabled_at is None:
                    sessions = await self._sessions.end_all_in(connection, after.id, "account disabled")
                    keys = await self._keys.end_all_in(connection, after.id)
                elif after.role != before.role:
                    sessions = await self._sessions.end_all_in(connection, after.id, "role changed")
                await self._told(connection, "user.changed", admin, after, _difference(before, after))
        await self._publish(sessions, keys)
        return _shown(after)

    async def delete(self, admin: Principal, username: str) -> None:
        """Ends the account and everything that it could do. Raises AURORA-4040, and 4090 for the last administrator."""
        async with self._store.transaction() as connection:
            user = await self._locked(connection, username)
            if user.role == "admin":
                await self._require_other_admin(connection, user)
            await self._store.delete(connection, user.id, utc_now())
            sessions = await self._sessions.end_all_in(connection, user.id, "account deleted")
            keys = await self._keys.end_all_in(connection, user.id)
            await self._told(connection, "user.deleted", admin, user, {"user_id": user.id})
        await self._publish(sessions, keys)

    async def reset_password(self, admin: Principal, username: str, password: str) -> None:
        """Sets a user's password and ends its sessions. Raises AURORA-4040."""
        hashed = await self._passwords.hash(password)
        async with self._store.transaction() as connection:
            user = await self._locked(connection, username)
            await self._store.set_password(connection, user.id, hashed)
            # An administrator who sets its own password goes on in the session that does.
            keep = admin.session_id if admin.id == user.id else None
            ended = await self._sessions.end_all_in(connection, user.id, "password changed", keep=keep)
            await self._told(connection, "user.password_reset", admin, user, {"sessions_ended": len(ended)})
        await self._publish(ended, [])

    async def change_password(self, principal: Principal, current: str, new: str, address: str) -> None:
        """A user's own password; the caller's session goes on, every other one ends.

        Raises AURORA-4012 for a wrong current password, AURORA-4290 for too many of them.
        """
        try:
            await self._throttle.attempt(principal.name, address)
            user = await self._accounts.check_own(principal.id, current)
            await self._throttle.succeeded(principal.name, address)
        except AuroraError:
            await self._journal.record("user.password_refused", actor=principal.id, outcome="failure")
            raise
        hashed = await self._passwords.hash(new)
        async with self._store.transaction() as connection:
            await self._store.set_password(connection, user.id, hashed)
            ended = await self._sessions.end_all_in(connection, user.id, "password changed", keep=principal.session_id)
            await self._told(connection, "user.password_changed", principal, user, {"sessions_ended": len(ended)})
        await self._publish(ended, [])

    async def _locked(self, connection: Connection, username: str) -> User:
        user = await self._store.lock_named(connection, username)
        if user is None:
            raise AuroraError(NOT_FOUND)
        return user

    async def _require_other_admin(self, connection: Connection, user: User) -> None:
        if user.disabled_at is None and await self._store.is_last_admin(connection, user.id):
            raise AuroraError(CONFLICT, {"username": user.username}, message="The last administrator has to stay one")

    async def _told(
        self, connection: Connection, action: str, by: Principal, user: User, detail: dict[str, object]
    ) -> None:
        await self._journal.record(
            action, actor=by.id, outcome="success", target=user.username, detail=detail, connection=connection
        )
        _log.info(action, account=user.username, user_id=user.id, by=by.id)

    async def _publish(self, sessions: Sequence[str], keys: Sequence[str]) -> None:
        await self._sessions.publish(sessions)
        await self._keys.publish(keys)


def _changed(user: User, asked: ChangeUser, email: str | None, now: datetime) -> User:
    if asked.role is not UNSET:
        user = replace(user, role=asked.role)
    if asked.name is not UNSET:
        user = replace(user, name=asked.name)
    if asked.email is not UNSET:
        user = replace(user, email=email)
    if asked.disabled is not UNSET and asked.disabled != (user.disabled_at is not None):
        user = replace(user, disabled_at=now if asked.disabled else None)
    return user


def _difference(before: User, after: User) -> dict[str, object]:
    """The new values of what changed."""
    changed: dict[str, object] = {
        name: getattr(after, name)
        for name in ("role", "name", "email")
        if getattr(before, name) != getattr(after, name)
    }
    if before.disabled_at != after.disabled_at:
        changed["disabled"] = after.disabled_at is not None
    return changed


def _shown(user: User) -> contract.User:
    return contract.User(
        id=user.id,
        username=user.username,
        email=user.email,
        name=user.name,
        role=user.role,
        password=user.has_password,
        disabled=user.disabled_at is not None,
        created_at=user.created_at,
        disabled_at=user.disabled_at,
        last_login_at=user.last_login_at,
    )
