"""Signing in by SAML 2.0: the browser takes a request to the identity provider, and comes back with a response.

Only answers to a request of ours, in the browser that it was made for, are looked at; an assertion is used once. XML
and its signatures cost CPU, so they are worked on in one thread behind a queue of bounded length.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from onelogin.saml2.authn_request import OneLogin_Saml2_Authn_Request

from services.gateway.federated import Admitted, Begun, Handle, Identity, Person, Refused
from services.gateway.saml import domain, response
from services.gateway.saml.domain import Expected, Flow
from services.gateway.saml.providers import Provider
from shared.cache import Cache
from shared.clock import utc_now
from shared.contracts.federation import SAML_ACS, SAML_LOGIN, SAML_METADATA, SamlAnswer
from shared.contracts.identity import AuthProvider
from shared.errors import NOT_FOUND, RATE_LIMITED, AuroraError, field_error

T = TypeVar("T")
_WAITING = 32


class Flows(Protocol):
    """Sign-ins under way: kept for some minutes, handed out once, and only to the browser that began."""

    async def begin(self, flow: Flow) -> Handle: ...
    async def take(self, state: str, secret: str) -> Flow | None: ...


class Federation(Protocol):
    """What is done with whom a provider vouches for, and with who is refused."""

    async def admit(self, identity: Identity) -> Person: ...
    async def refused(self, protocol: str, provider: str | None, reason: Refused) -> AuroraError: ...


class Replays:
    """Assertions that were used, remembered until they could not be used anyway. Raises AURORA-5030 without Redis."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def first_use(self, issuer: str, assertion_id: str, until: datetime) -> bool:
        """Whether nobody has used this assertion before, on any replica."""
        name = hashlib.sha256(f"{issuer}\n{assertion_id}".encode("utf-8", "surrogatepass")).hexdigest()
        seconds = max(1, int((until - utc_now()).total_seconds()) + 1)
        return await self._cache.set(f"gateway:saml:used:{name}", b"1", ttl_seconds=seconds, only_if_new=True)


class Saml:
    """The use-cases of SAML. `providers` by id; `public_url` is where browsers reach this gateway."""

    def __init__(
        self, providers: Mapping[str, Provider], flows: Flows, replays: Replays, federation: Federation, public_url: str
    ) -> None:
        self._providers = providers
        self._flows = flows
        self._replays = replays
        self._federation = federation
        self._acs_url = public_url + SAML_ACS.path
        self._entity_id = public_url + SAML_METADATA.path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="saml")
        self._working = 0

    async def begin(self, provider_id: str | None, following: str | None) -> Begun:
        """Where to send the browser. Raises AURORA-4040 for an unknown provider."""
        provider = self._provider(provider_id)
        request = OneLogin_Saml2_Authn_Request(provider.settings)
        handle = await self._flows.begin(Flow(provider.config.id, request.get_id(), following))
        asked = urlencode({"SAMLRequest": request.get_request(), "RelayState": handle.state})
        url = provider.sign_in_url
        return Begun(url + ("&" if urlsplit(url).query else "?") + asked, handle)

    async def complete(self, answer: SamlAnswer, secret: str | None) -> Admitted:
        """Who signed in, and where the browser wanted to go. Raises AURORA-4012, and 5030 without Redis."""
        provider_id = None
        try:
            if answer.relay_state is None or secret is None:
                raise Refused("no sign-in was begun in this browser")
            flow = await self._flows.take(answer.relay_state, secret)
            if flow is None or flow.provider not in self._providers:
                raise Refused("the request is unknown, answered already or too old")
            provider_id = flow.provider
            identity = await self._identity(self._providers[flow.provider], flow, answer.saml_response)
        except Refused as reason:
            raise await self._federation.refused("saml", provider_id, reason) from reason
        return Admitted(await self._federation.admit(identity), f"saml:{flow.provider}", flow.next)

    async def metadata(self) -> bytes:
        """Aurora as a service provider (SAML metadata 2.0)."""
        settings = self._provider(next(iter(self._providers), None)).settings
        text = await self._in_thread(settings.get_sp_metadata)
        return text.encode() if isinstance(text, str) else bytes(text)

    def ways(self) -> list[AuthProvider]:
        """The providers, for whoever asks how to sign in."""
        configs = [provider.config for provider in self._providers.values()]
        return [AuthProvider(each.id, "saml", each.name, f"{SAML_LOGIN.path}?provider={each.id}") for each in configs]

    async def close(self) -> None:
        """Lets go of the thread; what runs in it is waited for."""
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)

    async def _identity(self, provider: Provider, flow: Flow, posted: str) -> Identity:
        place = urlsplit(self._acs_url)
        request = {
            "https": "on" if place.scheme == "https" else "off",
            "http_host": place.netloc,
            "script_name": place.path,
        }
        envelope, assertion = await self._in_thread(lambda: response.read(posted, provider.settings, request))
        expected = Expected(provider.entity_id, self._entity_id, self._acs_url, flow.request_id)
        domain.check_envelope(envelope, expected)
        until = domain.check_assertion(assertion, expected, utc_now())
        if not await self._replays.first_use(expected.idp, assertion.id, until):
            raise Refused("the assertion was used before")
        return domain.identity_of(provider.config, assertion)

    def _provider(self, provider_id: str | None) -> Provider:
        if provider_id is None and len(self._providers) > 1:
            raise field_error("query.provider", "is required where there are several providers")
        provider = (
            next(iter(self._providers.values()), None) if provider_id is None else self._providers.get(provider_id)
        )
        if provider is None:
            raise AuroraError(NOT_FOUND, {"provider": provider_id}, message="There is no such SAML provider")
        return provider

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._working >= _WAITING:
            raise AuroraError(RATE_LIMITED, retry_after=5)
        self._working += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._working -= 1
