"""Users: the Users section of the SOC page, what administrators and users need beside it, and a user's own sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import ADMIN, AUTHENTICATED, Endpoint
from shared.contracts.identity import Role, UserProfile
from shared.errors import CONFLICT, INSUFFICIENT_PERMISSIONS, INVALID_CREDENTIALS, NOT_FOUND, RATE_LIMITED, VALIDATION

#: ASCII, so that two names which look alike are alike, and so that a name fits into a path.
Username = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._@+-]*$")]
EmailAddress = Annotated[str, Meta(min_length=3, max_length=254)]
DisplayName = Annotated[str, Meta(max_length=256)]
#: A password that is set. Any characters; compared after Unicode normalisation (NFC).
NewPassword = Annotated[str, Meta(min_length=8, max_length=1024)]
GivenPassword = Annotated[str, Meta(min_length=1, max_length=1024)]


class User(msgspec.Struct, kw_only=True):
    """An account as administrators see it. `password` says whether it has one here, `disabled_at` since when it may
    not sign in."""

    id: str
    username: str
    email: str | None
    name: str
    role: Role
    password: bool
    disabled: bool
    created_at: datetime
    disabled_at: datetime | None = None
    last_login_at: datetime | None = None


class UserQuery(PageQuery, kw_only=True):
    """Filters of the list; all given ones must hold. `q` is a part of the user name, the e-mail address or the name."""

    role: Role | None = None
    disabled: bool | None = None
    q: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class CreateUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Without a password the account can be signed in to only by an identity provider, or once it was given one.
    A user of the role `api_service` never signs in."""

    username: Username
    role: Role
    password: NewPassword | None = None
    email: EmailAddress | None = None
    name: DisplayName | None = None


class ChangeUser(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is given is changed. `email: null` takes the address away."""

    role: Role | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    name: DisplayName | UnsetType = UNSET
    email: EmailAddress | UnsetType | None = UNSET


class ChangeProfile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a user may change of itself; what is given is changed."""

    name: DisplayName | UnsetType = UNSET
    email: EmailAddress | UnsetType | None = UNSET


class ChangePassword(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A user's own password. Every other session of the user ends."""

    current_password: GivenPassword
    new_password: NewPassword


class ResetPassword(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A user's password, set by an administrator. Every session of the user ends."""

    password: NewPassword


class OwnSession(msgspec.Struct, kw_only=True):
    """A session of the caller. `how` it was signed in to ("password", "oidc", ...); `browser` says that it lives by a
    cookie; `current` is the one that asks."""

    id: str
    how: str
    address: str | None
    browser: bool
    current: bool
    created_at: datetime
    expires_at: datetime


class OwnSessions(msgspec.Struct):
    """The newest 200."""

    sessions: list[OwnSession]


LIST_USERS = Endpoint(
    "GET",
    "/api/v1/users",
    ADMIN,
    service="gateway",
    summary="List users",
    query=UserQuery,
    returns=Page[User],
    errors=(VALIDATION,),
    tag="Users",
)
CREATE_USER = Endpoint(
    "POST",
    "/api/v1/users",
    ADMIN,
    service="gateway",
    summary="Create user",
    body=CreateUser,
    returns=User,
    status=201,
    errors=(VALIDATION, CONFLICT),
    tag="Users",
    max_body=16 * 1024,
)
CHANGE_PROFILE = Endpoint(
    "PATCH",
    "/api/v1/users/me",
    AUTHENTICATED,
    service="gateway",
    summary="Change one's own name or e-mail address",
    body=ChangeProfile,
    returns=UserProfile,
    errors=(VALIDATION, CONFLICT, INSUFFICIENT_PERMISSIONS),
    tag="Users",
    max_body=16 * 1024,
)
CHANGE_PASSWORD = Endpoint(
    "POST",
    "/api/v1/users/me/password",
    AUTHENTICATED,
    service="gateway",
    summary="Change one's own password",
    body=ChangePassword,
    status=204,
    errors=(VALIDATION, INVALID_CREDENTIALS, INSUFFICIENT_PERMISSIONS, RATE_LIMITED),
    tag="Users",
    max_body=16 * 1024,
)
GET_USER = Endpoint(
    "GET",
    "/api/v1/users/{username}",
    ADMIN,
    service="gateway",
    summary="Show a user",
    returns=User,
    errors=(NOT_FOUND,),
    tag="Users",
)
CHANGE_USER = Endpoint(
    "PATCH",
    "/api/v1/users/{username}",
    ADMIN,
    service="gateway",
    summary="Change a user's role, state, name or e-mail address",
    body=ChangeUser,
    returns=User,
    errors=(VALIDATION, NOT_FOUND, CONFLICT),
    tag="Users",
    max_body=16 * 1024,
)
DELETE_USER = Endpoint(
    "DELETE",
    "/api/v1/users/{username}",
    ADMIN,
    service="gateway",
    summary="Delete user",
    status=204,
    errors=(NOT_FOUND, CONFLICT),
    tag="Users",
)
RESET_PASSWORD = Endpoint(
    "PUT",
    "/api/v1/users/{username}/password",
    ADMIN,
    service="gateway",
    summary="Set a user's password",
    body=ResetPassword,
    status=204,
    errors=(VALIDATION, NOT_FOUND),
    tag="Users",
    max_body=16 * 1024,
)
LIST_SESSIONS = Endpoint(
    "GET",
    "/api/v1/auth/sessions",
    AUTHENTICATED,
    service="gateway",
    summary="List one's own sessions",
    returns=OwnSessions,
    errors=(INSUFFICIENT_PERMISSIONS,),
    tag="Auth",
)
END_SESSION = Endpoint(
    "DELETE",
    "/api/v1/auth/sessions/{session_id}",
    AUTHENTICATED,
    service="gateway",
    summary="End one of one's own sessions",
    status=204,
    errors=(NOT_FOUND, INSUFFICIENT_PERMISSIONS),
    tag="Auth",
)
