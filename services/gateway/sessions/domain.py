"""What a session is made of: access-token claims, refresh tokens and how they are kept. No I/O, no randomness."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, get_args

from shared.contracts.identity import Role
from shared.errors import INVALID_CREDENTIALS, AuroraError
from shared.identity import ROLE_PERMISSIONS, Principal

AUDIENCE = "aurora"
REFRESH_PREFIX = "aurr_"
_SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ROLES: tuple[str, ...] = get_args(Role)

#: Why a session ended, as it is kept.
RevocationReason = Literal[
    "logout",
    "refresh token used twice",
    "ended by its user",
    "password changed",
    "role changed",
    "account disabled",
    "account deleted",
]


class Person(Protocol):
    """What a session needs to know of a user."""

    @property
    def id(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def role(self) -> Role: ...


@dataclass(frozen=True, slots=True)
class Member:
    """A person as the store knows them at the moment a session begins or a cookie is looked up."""

    id: str
    username: str
    role: Role


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session about to begin: with a refresh token for a program, with a cookie for a browser."""

    id: str
    user_id: str
    how: str
    address: str | None
    created_at: datetime
    expires_at: datetime
    refresh_hash: bytes | None = None
    cookie_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that lives, as its owner sees it."""

    id: str
    how: str
    address: str | None
    created_at: datetime
    expires_at: datetime
    browser: bool


@dataclass(frozen=True, slots=True)
class Rotation:
    """What became of a presented refresh token. Only with "rotated" does a new one stand."""

    outcome: Literal["rotated", "expired", "revoked", "reused", "unknown"]
    session_id: str = ""
    user_id: str = ""


def access_claims(person: Person, session_id: str, *, token_id: str, now: int, life_seconds: int) -> dict[str, Any]:
    """The claims of an access token (RFC 7519). Permissions follow from the role and are not in it."""
    return {
        "iss": "aurora",
        "aud": AUDIENCE,
        "sub": person.id,
        "sid": session_id,
        "jti": token_id,
        "iat": now,
        "exp": now + life_seconds,
        "name": person.username,
        "role": person.role,
    }


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """The user that verified claims name. Raises AURORA-4012 for claims that aren't an access token's."""
    session, role, name = claims.get("sid"), claims.get("role"), claims.get("name")
    if not (isinstance(session, str) and session and isinstance(name, str) and role in _ROLES):
        raise AuroraError(INVALID_CREDENTIALS)
    return Principal(str(claims["sub"]), "user", name, role, ROLE_PERMISSIONS[role], session)


def principal_with(member: Person, session_id: str) -> Principal:
    """The person as the caller of a request in this session."""
    return Principal(member.id, "user", member.username, member.role, ROLE_PERMISSIONS[member.role], session_id)


def refresh_token(random: str) -> str:
    """The token as the client gets it, from at least 128 random bits as text."""
    return REFRESH_PREFIX + random


def token_hash(token: str) -> bytes:
    """How a refresh token or a cookie is kept. One SHA-256 is enough, since nobody can guess 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def revocation_key(session_id: str) -> str:
    """The key that says, while any access token of the session may live, that it was revoked."""
    return f"gateway:revoked:{session_id}"


def parse_session_id(text: str) -> str | None:
    """A session's id as it is kept; None for anything that isn't one."""
    lowered = text.lower()
    return lowered if _SESSION_ID.fullmatch(lowered) else None
