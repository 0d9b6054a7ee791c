"""Whom an identity provider vouches for becomes a user here; who is refused learns nothing but that.

(protocol, issuer, subject) is the person. Never does a name or an e-mail address make somebody the owner of an account
that is there already: providers don't agree on who is called what.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import Generic, Protocol, TypeVar

import msgspec

from services.gateway.federated import Handle, Identity, Person, Refused
from services.gateway.federation.store import IdentityStore
from services.gateway.journal import Journal
from shared.cache import Cache
from shared.clock import utc_now
from shared.contracts.identity import Role
from shared.contracts.users import ChangeUser
from shared.errors import CONFLICT, INVALID_CREDENTIALS, AuroraError
from shared.identity import Principal
from shared.log import get_logger

F = TypeVar("F")
_log = get_logger("federation")


class People(Protocol):
    """What federation asks of accounts: a new one, and one that is neither disabled nor deleted."""

    async def provision(
        self, issuer: str, subject: str, *, username: str, email: str | None, name: str, role: Role
    ) -> Person: ...
    async def active(self, user_id: str) -> Person | None: ...


class Roles(Protocol):
    """Changes an account in the name of `admin`. Raises AURORA-4090 for the last administrator."""

    async def change(self, admin: Principal, username: str, asked: ChangeUser) -> object: ...


class Flows(Generic[F]):
    """Sign-ins under way, in Redis for `seconds`: each is handed out once, to whoever has both halves of its handle."""

    def __init__(self, cache: Cache, kind: type[F], name: str, seconds: int) -> None:
        self._cache = cache
        self._kind = kind
        self._name = name
        self._seconds = seconds

    async def begin(self, flow: F) -> Handle:
        """Keeps it. Raises AURORA-5030 without Redis."""
        handle = Handle(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        key = self._key(handle.state, handle.secret)
        await self._cache.set(key, msgspec.json.encode(flow), ttl_seconds=self._seconds)
        return handle

    async def take(self, state: str, secret: str) -> F | None:
        """What was begun under this handle, once. Raises AURORA-5030 without Redis."""
        kept = await self._cache.take(self._key(state, secret))
        return None if kept is None else msgspec.json.decode(kept, type=self._kind)

    def _key(self, state: str, secret: str) -> str:
        digest = hashlib.sha256(f"{state}\n{secret}".encode("utf-8", "surrogatepass")).hexdigest()
        return f"gateway:{self._name}:{digest}"


class Federation:
    """The use-cases of identities from elsewhere."""

    def __init__(self, store: IdentityStore, people: People, roles: Roles, journal: Journal) -> None:
        self._store = store
        self._people = people
        self._roles = roles
        self._journal = journal
        self._one_newcomer = asyncio.Lock()

    async def admit(self, identity: Identity) -> Person:
        """The account of a verified identity, made at its first sign-in.

        Raises AURORA-4012 without a reason when the account is disabled or deleted.
        """
        user_id = await self._store.account_of(identity, utc_now())
        if user_id is None:
            # The transaction holds one connection and accounts take another: one newcomer at a time can't use them up.
            async with self._one_newcomer:
                user_id = await self._welcome(identity)
        person = await self._people.active(user_id)
        if person is None:
            raise await self.refused(
                identity.protocol, identity.provider, Refused("the account is disabled or deleted")
            )
        if identity.role_follows and person.role != identity.role:
            person = await self._follow(identity, person)
        return person

    async def refused(self, protocol: str, provider: str | None, reason: Refused) -> AuroraError:
        """Logs and audits why, and returns the error that doesn't say it."""
        _log.warning("sign-in refused", protocol=protocol, provider=provider, reason=str(reason))
        detail = {"how": protocol, "provider": provider, "reason": str(reason)}
        await self._journal.record("session.failed", actor=None, outcome="failure", target=provider, detail=detail)
        return AuroraError(INVALID_CREDENTIALS, message="Sign-in failed")

    async def _welcome(self, identity: Identity) -> str:
        now = utc_now()
        async with self._store.first_sign_in(identity, now) as (connection, user_id):
            if user_id is not None:
                return user_id
            person = await self._people.provision(
                identity.issuer,
                identity.subject,
                username=identity.username,
                email=identity.email,
                name=identity.name,
                role=identity.role,
            )
            await self._store.add(connection, identity, person.id, now)
            return person.id

    async def _follow(self, identity: Identity, person: Person) -> Person:
        provider = Principal(f"provider:{identity.provider}", "service", identity.provider, "admin", frozenset())
        try:
            await self._roles.change(provider, person.username, ChangeUser(role=identity.role))
        except AuroraError as error:
            if error.code is not CONFLICT:
                raise
            _log.warning("role not followed: the last administrator", user_id=person.id, provider=identity.provider)
        return await self._people.active(person.id) or person
