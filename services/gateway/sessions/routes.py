"""Sign in, refresh, sign out; a user's own sessions; the ways to sign in; the public keys of access tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from services.gateway import cookie
from services.gateway.sessions.service import Sessions
from shared.contracts.identity import (
    CREATE_TOKEN,
    LIST_AUTH_PROVIDERS,
    LOGOUT,
    AuthProvider,
    AuthProviders,
    LogoutQuery,
    TokenRequest,
    TokenResponse,
)
from shared.contracts.system import GET_JWKS
from shared.contracts.users import END_SESSION, LIST_SESSIONS, OwnSessions
from shared.errors import INSUFFICIENT_PERMISSIONS, AuroraError, field_error
from shared.http import Call, Route, bind, json_response
from shared.identity import Principal

_PASSWORD = AuthProvider("password", "password", "User name and password")


def routes(
    sessions: Sessions,
    address_of: Callable[[web.Request], str],
    others: Callable[[], Awaitable[Sequence[AuthProvider]]],
) -> list[Route]:
    """The routes of sessions. `address_of` is the client's address, seen through trusted proxies; `others` the ways to
    sign in beside the password."""

    async def providers(_call: Call[None, None]) -> AuthProviders:
        return AuthProviders([_PASSWORD, *await others()])

    async def token(call: Call[None, TokenRequest]) -> TokenResponse:
        asked, address = call.body, address_of(call.request)
        if asked.grant_type == "refresh_token":
            return await sessions.refresh(_given(asked.refresh_token, "refresh_token"), address)
        username, password = _given(asked.username, "username"), _given(asked.password, "password")
        return await sessions.sign_in(username, password, address)

    async def logout(call: Call[LogoutQuery, None]) -> web.StreamResponse:
        user, session_id = _in_session(call.principal)
        if call.query.all:
            await sessions.sign_out_everywhere(user)
        else:
            await sessions.sign_out(user, session_id)
        response = web.Response(status=204)
        cookie.take_back(call.request, response)
        return response

    async def listed(call: Call[None, None]) -> OwnSessions:
        _in_session(call.principal)
        return OwnSessions(await sessions.listed(call.principal))

    async def end(call: Call[None, None]) -> None:
        _in_session(call.principal)
        await sessions.end_own(call.principal, call.path["session_id"])

    async def jwks(_call: Call[None, None]) -> dict[str, Any] | web.StreamResponse:
        response = json_response(sessions.tokens.jwks())
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    return [
        bind(LIST_AUTH_PROVIDERS, providers),
        bind(CREATE_TOKEN, token),
        bind(LOGOUT, logout),
        bind(LIST_SESSIONS, listed),
        bind(END_SESSION, end),
        bind(GET_JWKS, jwks),
    ]


def _in_session(principal: Principal) -> tuple[str, str]:
    """The user and the session that a request came in."""
    if principal.kind != "user" or principal.session_id is None:
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user who signed in has sessions")
    return principal.id, principal.session_id


def _given(value: str | None, name: str) -> str:
    if not value:
        raise field_error(f"body.{name}", "is required for this grant type")
    return value
