"""Register, sign in and change the password, as the RCA page has them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from services.gateway import cookie
from services.gateway.rca.service import RcaAccounts
from shared.contracts.common import Message
from shared.contracts.rca_accounts import (
    RCA_CHANGE_PASSWORD,
    RCA_LOGIN,
    RCA_REGISTER,
    RcaChangePassword,
    RcaLogin,
    RcaRegister,
    RcaUser,
)
from shared.http import Call, Route, bind, json_response


def routes(
    accounts: RcaAccounts,
    address_of: Callable[[web.Request], str],
    require_page_of_ours: Callable[[web.Request], None],
    cookie_seconds: int,
) -> list[Route]:
    """The routes of the RCA page's accounts.

    `require_page_of_ours` raises AURORA-4030 for a page of somebody else: it may not sign a browser in.
    """

    async def register(call: Call[None, RcaRegister]) -> RcaUser:
        require_page_of_ours(call.request)
        return await accounts.register(call.body)

    async def login(call: Call[None, RcaLogin]) -> RcaUser | web.StreamResponse:
        require_page_of_ours(call.request)
        user, value = await accounts.login(call.body, address_of(call.request))
        response = json_response(user)
        cookie.give(call.request, response, value, seconds=cookie_seconds)
        return response

    async def change_password(call: Call[None, RcaChangePassword]) -> Message:
        await accounts.change_password(call.principal, call.body, address_of(call.request))
        return Message("Password changed successfully")

    return [bind(RCA_REGISTER, register), bind(RCA_LOGIN, login), bind(RCA_CHANGE_PASSWORD, change_password)]
