"""Accounts as the RCA page has them: the same accounts, under its own names."""

from __future__ import annotations

import msgspec

from shared.contracts.common import Message
from shared.contracts.constants import AUTHENTICATED, PUBLIC, Endpoint
from shared.contracts.users import DisplayName, EmailAddress, GivenPassword, NewPassword
from shared.errors import CONFLICT, INSUFFICIENT_PERMISSIONS, INVALID_CREDENTIALS, RATE_LIMITED, VALIDATION


class RcaRegister(msgspec.Struct, kw_only=True):
    """Somebody makes an account for themselves. Its user name is the e-mail address."""

    email: EmailAddress
    password: NewPassword
    name: DisplayName | None = None


class RcaLogin(msgspec.Struct, kw_only=True):
    """E-mail address and password; the answer sets the session cookie."""

    email: EmailAddress
    password: GivenPassword


class RcaUser(msgspec.Struct):
    """`id` is what X-User-ID takes."""

    id: str
    email: str
    name: str


class RcaChangePassword(msgspec.Struct, kw_only=True, rename="camel"):
    """Every other session of the user ends."""

    current_password: GivenPassword
    new_password: NewPassword


RCA_REGISTER = Endpoint(
    "POST",
    "/api/auth/register",
    PUBLIC,
    service="gateway",
    summary="Register a new user with email and password",
    body=RcaRegister,
    returns=RcaUser,
    status=201,
    errors=(VALIDATION, CONFLICT, INSUFFICIENT_PERMISSIONS, RATE_LIMITED),
    tag="RCA: Authentication",
    max_body=16 * 1024,
)
RCA_LOGIN = Endpoint(
    "POST",
    "/api/auth/login",
    PUBLIC,
    service="gateway",
    summary="Authenticate with email and password",
    body=RcaLogin,
    returns=RcaUser,
    errors=(VALIDATION, INVALID_CREDENTIALS, INSUFFICIENT_PERMISSIONS, RATE_LIMITED),
    tag="RCA: Authentication",
    max_body=16 * 1024,
)
RCA_CHANGE_PASSWORD = Endpoint(
    "POST",
    "/api/auth/change-password",
    AUTHENTICATED,
    service="gateway",
    summary="Change user password (requires authentication)",
    body=RcaChangePassword,
    returns=Message,
    errors=(VALIDATION, INVALID_CREDENTIALS, INSUFFICIENT_PERMISSIONS, RATE_LIMITED),
    tag="RCA: Authentication",
    max_body=16 * 1024,
)
