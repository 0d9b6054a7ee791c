"""Accounts, tokens and sessions: the Auth and Users sections of the SOC page."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.constants import AUTHENTICATED, PUBLIC, Endpoint
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    INVALID_CREDENTIALS,
    RATE_LIMITED,
    TOKEN_EXPIRED,
    UNAVAILABLE,
    VALIDATION,
)

Role = Literal["admin", "analyst", "operator", "viewer", "api_service"]
Secret = Annotated[str, Meta(min_length=1, max_length=1024)]


class TokenRequest(msgspec.Struct, kw_only=True):
    """OAuth 2 password grant (default) or refresh grant, as JSON or as a form."""

    grant_type: Literal["password", "refresh_token"] = "password"
    username: Annotated[str, Meta(max_length=256)] | None = None
    password: Secret | None = None
    refresh_token: Annotated[str, Meta(max_length=4096)] | None = None
    scope: str | None = None


class TokenResponse(msgspec.Struct):
    """RFC 6749 section 5.1. `expires_in` is in seconds."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str


class AuthProvider(msgspec.Struct):
    """A way to sign in. `login_url` is null where credentials are posted to the token endpoint."""

    id: str
    type: Literal["password", "oidc", "saml"]
    name: str
    login_url: str | None = None


class AuthProviders(msgspec.Struct):
    """Every configured way to sign in."""

    providers: list[AuthProvider]


class UserProfile(msgspec.Struct):
    """A user as shown to itself and to admins. `permissions` are the strings of the SOC page."""

    id: str
    username: str
    email: str | None
    name: str
    role: Role
    permissions: list[str]
    created_at: datetime
    last_login_at: datetime | None = None


class LogoutQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`all=true` ends every session of the caller, not only the one that asks."""

    all: bool = False


class WebSocketTicket(msgspec.Struct):
    """A single-use ticket for one WebSocket handshake: `?ticket=`. Lives `expires_in` seconds."""

    ticket: str
    expires_in: int


LIST_AUTH_PROVIDERS = Endpoint(
    "GET",
    "/api/v1/auth/providers",
    PUBLIC,
    service="gateway",
    summary="List configured auth providers",
    returns=AuthProviders,
    tag="Auth",
)
CREATE_TOKEN = Endpoint(
    "POST",
    "/api/v1/auth/token",
    PUBLIC,
    service="gateway",
    summary="Obtain JWT access token",
    body=TokenRequest,
    returns=TokenResponse,
    errors=(INVALID_CREDENTIALS, TOKEN_EXPIRED, VALIDATION, RATE_LIMITED, UNAVAILABLE),
    tag="Auth",
    consumes=("application/json", "application/x-www-form-urlencoded"),
    max_body=16 * 1024,
)
LOGOUT = Endpoint(
    "POST",
    "/api/v1/auth/logout",
    AUTHENTICATED,
    service="gateway",
    summary="Invalidate session",
    query=LogoutQuery,
    status=204,
    errors=(AUTHENTICATION_REQUIRED, TOKEN_EXPIRED, UNAVAILABLE),
    tag="Auth",
)
GET_CURRENT_USER = Endpoint(
    "GET",
    "/api/v1/users/me",
    AUTHENTICATED,
    service="gateway",
    summary="Current user profile",
    returns=UserProfile,
    errors=(AUTHENTICATION_REQUIRED, TOKEN_EXPIRED),
    tag="Users",
)
CREATE_WS_TICKET = Endpoint(
    "POST",
    "/api/v1/ws/tickets",
    AUTHENTICATED,
    service="gateway",
    summary="Issue a single-use WebSocket ticket",
    returns=WebSocketTicket,
    status=201,
    errors=(AUTHENTICATION_REQUIRED, TOKEN_EXPIRED, UNAVAILABLE),
    tag="WebSocket",
)
