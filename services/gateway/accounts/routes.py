"""Users: administrators' and one's own."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from services.gateway.accounts.changes import Changes
from services.gateway.accounts.service import Accounts
from shared.contracts.common import Page
from shared.contracts.identity import GET_CURRENT_USER, UserProfile
from shared.contracts.users import (
    CHANGE_PASSWORD,
    CHANGE_PROFILE,
    CHANGE_USER,
    CREATE_USER,
    DELETE_USER,
    GET_USER,
    LIST_USERS,
    RESET_PASSWORD,
    ChangePassword,
    ChangeProfile,
    ChangeUser,
    CreateUser,
    ResetPassword,
    User,
    UserQuery,
)
from shared.errors import INSUFFICIENT_PERMISSIONS, AuroraError
from shared.http import Call, Route, bind
from shared.identity import Principal


def routes(accounts: Accounts, changes: Changes, address_of: Callable[[web.Request], str]) -> list[Route]:
    """The routes of users. `address_of` is the client's address, seen through trusted proxies."""

    async def current_user(call: Call[None, None]) -> UserProfile:
        return await accounts.profile(_user(call.principal).id)

    async def change_profile(call: Call[None, ChangeProfile]) -> UserProfile:
        return await accounts.change_profile(_user(call.principal).id, call.body)

    async def change_password(call: Call[None, ChangePassword]) -> None:
        asked, user = call.body, _user(call.principal)
        await changes.change_password(user, asked.current_password, asked.new_password, address_of(call.request))

    async def listed(call: Call[UserQuery, None]) -> Page[User]:
        return await changes.page(call.query)

    async def create(call: Call[None, CreateUser]) -> User:
        return await changes.create(call.principal, call.body)

    async def show(call: Call[None, None]) -> User:
        return await changes.show(call.path["username"])

    async def change(call: Call[None, ChangeUser]) -> User:
        return await changes.change(call.principal, call.path["username"], call.body)

    async def delete(call: Call[None, None]) -> None:
        await changes.delete(call.principal, call.path["username"])

    async def reset_password(call: Call[None, ResetPassword]) -> None:
        await changes.reset_password(call.principal, call.path["username"], call.body.password)

    # `me` before any user name.
    return [
        bind(GET_CURRENT_USER, current_user),
        bind(CHANGE_PROFILE, change_profile),
        bind(CHANGE_PASSWORD, change_password),
        bind(LIST_USERS, listed),
        bind(CREATE_USER, create),
        bind(GET_USER, show),
        bind(CHANGE_USER, change),
        bind(DELETE_USER, delete),
        bind(RESET_PASSWORD, reset_password),
    ]


def _user(principal: Principal) -> Principal:
    if principal.kind != "user":
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user has an account")
    return principal
