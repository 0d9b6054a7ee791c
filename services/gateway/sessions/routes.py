"""Sign in, refresh, sign out; the ways to sign in; the public keys of access tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from services.gateway.sessions.service import Sessions
from shared.contracts.identity import (
    CREATE_TOKEN,
    LIST_AUTH_PROVIDERS,
    LOGOUT,
    AuthProvider,
    AuthProviders,
    TokenRequest,
    TokenResponse,
)
from shared.contracts.system import GET_JWKS
from shared.errors import INSUFFICIENT_PERMISSIONS, AuroraError, field_error
from shared.http import Call, Route, bind, json_response


def routes(sessions: Sessions, address_of: Callable[[web.Request], str]) -> list[Route]:
    """The routes of sessions. `address_of` is the client's address, seen through trusted proxies."""

    async def providers(_call: Call[None, None]) -> AuthProviders:
        return AuthProviders([AuthProvider("password", "password", "User name and password")])

    async def token(call: Call[None, TokenRequest]) -> TokenResponse:
        asked, address = call.body, address_of(call.request)
        if asked.grant_type == "refresh_token":
            return await sessions.refresh(_given(asked.refresh_token, "refresh_token"), address)
        username, password = _given(asked.username, "username"), _given(asked.password, "password")
        return await sessions.sign_in(username, password, address)

    async def logout(call: Call[None, None]) -> None:
        if call.principal.kind != "user" or call.principal.session_id is None:
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a session can be ended")
        await sessions.sign_out(call.principal.session_id)

    async def jwks(_call: Call[None, None]) -> dict[str, Any] | web.StreamResponse:
        response = json_response(sessions.tokens.jwks)
        response.headers["Cache-Control"] = "public, max-age=300"
        return response

    return [
        bind(LIST_AUTH_PROVIDERS, providers),
        bind(CREATE_TOKEN, token),
        bind(LOGOUT, logout),
        bind(GET_JWKS, jwks),
    ]


def _given(value: str | None, name: str) -> str:
    if not value:
        raise field_error(f"body.{name}", "is required for this grant type")
    return value
