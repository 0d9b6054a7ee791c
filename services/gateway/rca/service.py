"""Accounts as the RCA page has them: register, sign in by e-mail address, and the header that names a user.

The accounts, the sessions and the throttle are those of everybody. X-User-ID proves nothing by itself: whether the
address it comes from may say so is decided at the door, before it is asked for here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from services.gateway.journal import Journal
from services.gateway.rca import domain
from services.gateway.rca.domain import Person, Registration
from shared.contracts.identity import Role
from shared.contracts.rca_accounts import RcaChangePassword, RcaLogin, RcaRegister, RcaUser
from shared.errors import INSUFFICIENT_PERMISSIONS, INVALID_CREDENTIALS, AuroraError
from shared.identity import Principal
from shared.log import get_logger

#: An id has 31 characters; what is longer is nobody's and not worth a look.
_LONGEST_ID = 64
_log = get_logger("rca")


class People(Protocol):
    """What is asked of accounts."""

    async def register(self, username: str, email: str, password: str, name: str, role: Role) -> Person: ...
    async def check_email(self, email: str, password: str) -> Person: ...
    async def active(self, user_id: str) -> Person | None: ...


class Passwords(Protocol):
    """What is asked of changes of accounts."""

    async def change_password(self, principal: Principal, current: str, new: str, address: str) -> None: ...


class Proof(Protocol):
    """What is asked of sessions: throttles and records an attempt to sign in."""

    async def proven(self, account: str, address: str, check: Callable[[], Awaitable[Person]]) -> Person: ...


class Browsers(Protocol):
    """What is asked of sessions of browsers: the value of a new cookie."""

    async def open_for(self, person: Person, *, how: str, address: str | None) -> str: ...


class RcaAccounts:
    """The use-cases of the RCA page's Authentication section. `registration` is asked at each attempt."""

    def __init__(
        self,
        people: People,
        passwords: Passwords,
        proof: Proof,
        browsers: Browsers,
        journal: Journal,
        registration: Callable[[], Registration],
    ) -> None:
        self._people = people
        self._passwords = passwords
        self._proof = proof
        self._browsers = browsers
        self._journal = journal
        self._registration = registration

    async def register(self, asked: RcaRegister) -> RcaUser:
        """A new account. Raises AURORA-4030 while registration is closed, 4090 for an address that is taken, 4220."""
        registration = self._registration()
        if not registration.open:
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Registration is closed: ask an administrator")
        name = asked.name or asked.email.partition("@")[0]
        person = await self._people.register(asked.email, asked.email, asked.password, name, registration.role)
        return _shown(person)

    async def login(self, asked: RcaLogin, address: str) -> tuple[RcaUser, str]:
        """The user and the session's cookie. Raises AURORA-4012 and 4290, as every sign-in does."""
        person = await self._proof.proven(
            asked.email, address, lambda: self._people.check_email(asked.email, asked.password)
        )
        return _shown(person), await self._browsers.open_for(person, how="password", address=address)

    async def change_password(self, principal: Principal, asked: RcaChangePassword, address: str) -> None:
        """The caller's own password. Raises AURORA-4012 for a wrong current one, 4030 for anybody but a user."""
        if principal.kind != "user":
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user has a password")
        await self._passwords.change_password(principal, asked.current_password, asked.new_password, address)

    async def named_by_header(self, user_id: str, what: str) -> Principal:
        """Whom a trusted peer names for the request `what`, on record. Raises AURORA-4012 for nobody."""
        person = await self._people.active(user_id) if len(user_id) <= _LONGEST_ID else None
        if person is None or person.role == "api_service":
            _log.warning("unknown user named by header")
            await self._journal.record("identity.header", actor=None, outcome="failure", target=what)
            raise AuroraError(INVALID_CREDENTIALS)
        await self._journal.record("identity.header", actor=person.id, outcome="success", target=what)
        return domain.principal_of(person)


def _shown(person: Person) -> RcaUser:
    return RcaUser(person.id, person.email or "", person.name)
