"""What signing in elsewhere is made of: whom a provider vouches for, how its words become a role, who came of it.

Knows no protocol: OIDC and SAML each make an Identity of what they have verified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from shared.contracts.identity import Role

Means = Literal["oidc", "saml"]
PersonRole = Literal["admin", "analyst", "operator", "viewer"]
ProviderId = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
_STRONGEST_FIRST: tuple[PersonRole, ...] = ("admin", "analyst", "operator", "viewer")


class Refused(Exception):
    """Why a sign-in failed, for the log and the audit. The caller is told only that it failed."""


class RoleRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`claim` names the claim or attribute whose values `map` turns into roles; of several the strongest counts.

    `default` is for whom no value matches; null refuses them. With a `map` the role follows the provider at every
    sign-in; without one it is given once, and afterwards it is for Aurora's administrators to change.
    """

    claim: str = "groups"
    map: dict[str, PersonRole] = {}
    default: PersonRole | None = "viewer"

    def role_of(self, values: tuple[str, ...]) -> PersonRole:
        """The role. Raises Refused when nothing matches and there is no default."""
        granted = {self.map[value] for value in values if value in self.map}
        for role in _STRONGEST_FIRST:
            if role in granted:
                return role
        if self.default is None:
            raise Refused("no role is mapped to what the provider says")
        return self.default


def check_required(required: Mapping[str, tuple[str, ...]], values_of: Callable[[str], tuple[str, ...]]) -> None:
    """Raises Refused unless each claim that is named has one of its values; `values_of` looks a claim up."""
    for claim, allowed in required.items():
        if not set(allowed) & set(values_of(claim)):
            raise Refused(f"{claim[:50]} has none of the required values")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a provider vouches for. (protocol, issuer, subject) never changes; everything else may.

    `role_follows`: an account that is there already gets this role too.
    """

    protocol: Means
    provider: str
    issuer: str
    subject: str
    username: str
    email: str | None
    name: str
    role: PersonRole
    role_follows: bool


@dataclass(frozen=True, slots=True)
class Handle:
    """A sign-in under way: `state` travels through the provider, `secret` stays with the browser as a cookie."""

    state: str
    secret: str


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser is sent, and the handle that brings it back."""

    location: str
    handle: Handle


class Person(Protocol):
    """An account of Aurora, as far as a session needs it."""

    @property
    def id(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def role(self) -> Role: ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who signed in, in which way, and the page they wanted; without one they are a program."""

    person: Person
    how: str
    following: str | None
