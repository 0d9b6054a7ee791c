"""Cloud accounts of users: connect, status, disconnect.

Credentials are tested before they are kept, sealed as long as they are, and opened only to be revoked. What this
installation isn't set up for answers AURORA-5030; everything else goes on.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from services.gateway.cloud import domain
from services.gateway.cloud.aws import Aws
from services.gateway.cloud.azure import Azure
from services.gateway.cloud.domain import Connection, Granted, LoginState
from services.gateway.cloud.google import Google
from services.gateway.cloud.ports import Auditor, People
from services.gateway.cloud.revocations import Revocations
from services.gateway.cloud.store import REVOCABLE, CloudStore
from shared.cache import Cache
from shared.clock import new_id, utc_now
from shared.contracts.cloud import CallbackQuery, CloudConnection, CloudDisconnected, ConnectAzure, Provider
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    CONFLICT,
    INSUFFICIENT_PERMISSIONS,
    INVALID_CREDENTIALS,
    UNAVAILABLE,
    VALIDATION,
    AuroraError,
)
from shared.identity import Principal
from shared.log import get_logger
from shared.sealing import SealBroken, Sealed, SealingKeys

T = TypeVar("T")
NAMES: dict[Provider, str] = {"gcp": "Google Cloud", "aws": "AWS", "azure": "Azure"}
_STATE = "cloud:state"
_log = get_logger("cloud")


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that was begun: where the browser goes, and the cookie that it is to come back with."""

    login_url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class Browser:
    """Who comes back from Google: the caller if anybody is signed in, the cookie that a sign-in began with, and whether
    it is this machine itself, and that is trusted."""

    caller: Principal | None
    cookie: str | None = None
    at_home: bool = False


class Cloud:
    """The use-cases. A provider that this installation isn't set up for is None."""

    def __init__(
        self,
        store: CloudStore,
        cache: Cache,
        people: People,
        audit: Auditor,
        keys: SealingKeys,
        revocations: Revocations,
        *,
        google: Google | None,
        aws: Aws | None,
        azure: Azure,
    ) -> None:
        self._store = store
        self._cache = cache
        self._people = people
        self._audit = audit
        self._keys = keys
        self._revocations = revocations
        self._google = google
        self._aws = aws
        self._azure = azure

    async def begin_google(self, user_id: str, asked_for: str) -> Begun:
        """The way to Google for this user, good once, for ten minutes, and in the browser that gets the cookie.

        Raises AURORA-4030 for another user's id, 4090 when there is something to disconnect first.
        """
        google = _set_up(self._google, "gcp")
        if asked_for != user_id:
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="userId is not the caller's own")
        await self._require_free(user_id)
        cookie = secrets.token_urlsafe(32)
        state = LoginState(
            new_id(),
            user_id,
            domain.browser_hash(cookie),
            secrets.token_urlsafe(48),
            int(time.time()) + domain.LOGIN_SECONDS,
        )
        await self._cache.set(_state_key(state), b"1", ttl_seconds=domain.LOGIN_SECONDS)
        return Begun(google.login_url(self._written(state), state.verifier), cookie)

    async def finish_google(self, answer: CallbackQuery, browser: Browser) -> Connection:
        """Keeps what Google granted, for the user who began.

        Raises AURORA-4220 for a state or code that isn't good (any more), 4010 and 4030 for somebody else's.
        """
        google = _set_up(self._google, "gcp")
        state = self._read(answer.state)
        await self._require_starter(state, browser)
        if await self._people.active(state.user_id) is None:
            raise AuroraError(INVALID_CREDENTIALS)
        if await self._cache.take(_state_key(state)) is None:
            raise _bad_state("was used already, or is too old")
        try:
            if answer.code is None:
                raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Google Cloud access was not granted")
            granted = await google.exchange(answer.code, state.verifier)
            return await self._keep(state.user_id, "gcp", granted, replace=False)
        except AuroraError as error:
            await self._not_connected(state.user_id, "gcp", error)
            raise

    async def connect_aws(self, user_id: str, role_arn: str) -> Connection:
        """Keeps a role that trusts this installation and the user's external id. Raises AURORA-4220 and 5030."""
        aws = _set_up(self._aws, "aws")
        try:
            granted = await aws.grant(role_arn, user_id, await self._external_id(user_id))
            return await self._keep(user_id, "aws", granted, replace=True)
        except AuroraError as error:
            await self._not_connected(user_id, "aws", error)
            raise

    async def connect_azure(self, user_id: str, given: ConnectAzure) -> Connection:
        """Keeps client credentials that their tenant accepts. Raises AURORA-4220 and 5030."""
        try:
            return await self._keep(user_id, "azure", await self._azure.grant(given), replace=True)
        except AuroraError as error:
            await self._not_connected(user_id, "azure", error)
            raise

    async def status(self, user_id: str, provider: Provider) -> CloudConnection:
        """The connection as its user sees it."""
        external_id = await self._external_id(user_id) if provider == "aws" else None
        found = await self._store.get(user_id, provider)
        if found is not None:
            return shown(found, external_id)
        revoking = provider == REVOCABLE and await self._store.is_revoking(user_id, provider)
        return CloudConnection(
            provider=provider, status="revoking" if revoking else "disconnected", external_id=external_id
        )

    async def disconnect(self, user_id: str, provider: Provider) -> CloudDisconnected:
        """Ends the connection; nothing connected is as good. `revoking` while the provider hasn't confirmed it."""
        await self._revocations.disconnect(user_id, provider)
        name = NAMES[provider]
        if provider == REVOCABLE and await self._store.is_revoking(user_id, provider):
            message = f"{name} account disconnected; {name} has not confirmed the revocation yet and is asked again"
            return CloudDisconnected(message, provider, "revoking")
        return CloudDisconnected(f"{name} account disconnected and credentials cleared", provider, "disconnected")

    async def _keep(self, user_id: str, provider: Provider, granted: Granted, *, replace: bool) -> Connection:
        found = Connection(user_id, provider, utc_now(), granted.account, granted.identity, granted.scopes)
        sealed = self._keys.seal(granted.credentials, domain.bound_to(provider, user_id))
        async with self._store.database.transaction() as transaction:
            if not await self._store.put(transaction, found, sealed, replace=replace):
                raise _disconnect_first()
            await self._audit.record(
                "cloud.connected",
                actor=user_id,
                outcome="success",
                target=provider,
                detail={"account": granted.account, "identity": granted.identity, "scopes": granted.scopes},
                connection=transaction,
            )
        return found

    async def _not_connected(self, user_id: str, provider: Provider, error: AuroraError) -> None:
        detail = {"code": error.code.code, "reason": error.message}
        await self._audit.record("cloud.connected", actor=user_id, outcome="failure", target=provider, detail=detail)

    async def _require_free(self, user_id: str) -> None:
        # A revocation that comes late would void the next grant too: Google counts them as one.
        if await self._store.get(user_id, "gcp") is not None or await self._store.is_revoking(user_id, "gcp"):
            raise _disconnect_first()

    async def _require_starter(self, state: LoginState, browser: Browser) -> None:
        """Else somebody could have another person's account granted to themselves, by sending them a link."""
        caller = browser.caller
        if caller is None and (browser.at_home or domain.began_in(state, browser.cookie)):
            return
        if caller is not None and caller.id == state.user_id:
            return
        detail = {"reason": "a sign-in that somebody else began", "user": state.user_id}
        actor = None if caller is None else caller.id
        await self._audit.record("cloud.connected", actor=actor, outcome="denied", target="gcp", detail=detail)
        if caller is None:
            message = "This sign-in began in another browser: begin it in this one, or sign in to Aurora first"
            raise AuroraError(AUTHENTICATION_REQUIRED, message=message)
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="This sign-in was begun by somebody else")

    async def _external_id(self, user_id: str) -> str:
        return await self._store.external_id(user_id, f"aurora-{secrets.token_hex(16)}")

    def _written(self, state: LoginState) -> str:
        sealed = self._keys.seal(msgspec.msgpack.encode(state), _STATE)
        return f"{sealed.key_id}.{base64.urlsafe_b64encode(sealed.box).decode()}"

    def _read(self, text: str) -> LoginState:
        """A state of ours that isn't over. Raises AURORA-4220 for any other."""
        key_id, _, box = text.partition(".")
        try:
            sealed = Sealed(key_id, base64.b64decode(box, altchars=b"-_", validate=True))
            state = msgspec.msgpack.decode(self._keys.open(sealed, _STATE), type=LoginState)
        except (SealBroken, binascii.Error) as error:
            raise _bad_state("is not one of this installation") from error
        if state.expires <= time.time():
            raise _bad_state("was used already, or is too old")
        return state


def shown(found: Connection, external_id: str | None = None) -> CloudConnection:
    """A connection as its user sees it."""
    return CloudConnection(
        provider=found.provider,
        status="connected",
        connected_at=found.connected_at,
        account=found.account,
        identity=found.identity,
        scopes=list(found.scopes),
        external_id=external_id,
    )


def _set_up(part: T | None, provider: Provider) -> T:
    if part is None:
        message = f"{NAMES[provider]} sign-in is not set up on this installation"
        raise AuroraError(UNAVAILABLE, {"peer": NAMES[provider]}, message=message)
    return part


def _state_key(state: LoginState) -> str:
    return f"gateway:cloud:state:{state.id}"


def _bad_state(message: str) -> AuroraError:
    problem = {"path": "query.state", "message": message}
    return AuroraError(VALIDATION, [problem], message=f"This sign-in {message}: begin again")


def _disconnect_first() -> AuroraError:
    return AuroraError(
        CONFLICT, message="Google Cloud is connected, or not fully disconnected yet: disconnect it first"
    )
