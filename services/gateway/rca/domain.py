"""What the RCA page's ways to sign in come to: how far a header is believed, and which names accounts get. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.contracts.identity import Role
from shared.identity import ROLE_PERMISSIONS, Principal

USER_ID_HEADER = "X-User-ID"
#: What nobody is more than by a header alone.
_HIGHEST: Role = "analyst"


class Person(Protocol):
    """What is asked of a user."""

    @property
    def id(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def email(self) -> str | None: ...
    @property
    def name(self) -> str: ...
    @property
    def role(self) -> Role: ...


@dataclass(frozen=True, slots=True)
class Registration:
    """Whether people may make accounts for themselves, and what those may do."""

    open: bool
    role: Role


def registration(is_open: bool, role: str) -> Registration:
    """Raises ValueError for a role that nobody may give themselves."""
    match role:
        case "viewer" | "operator" | "analyst":
            return Registration(is_open, role)
    raise ValueError("must be viewer, operator or analyst")


def principal_of(person: Person) -> Principal:
    """The caller who is this person by the header alone. It has no session."""
    role = _HIGHEST if person.role == "admin" else person.role
    return Principal(person.id, "user", person.username, role, ROLE_PERMISSIONS[role])
