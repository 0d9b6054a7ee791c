"""Signing in by OpenID Connect: the browser is sent away with a state, and comes back with a code."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, Protocol

from services.gateway.federated import Admitted, Begun, Handle, Identity, Person, Refused
from services.gateway.oidc import domain
from services.gateway.oidc.domain import Flow
from services.gateway.oidc.provider import Provider
from shared.contracts.federation import OIDC_LOGIN, OidcAnswer
from shared.contracts.identity import AuthProvider
from shared.errors import NOT_FOUND, AuroraError, field_error


class Flows(Protocol):
    """Sign-ins under way: kept for some minutes, handed out once, and only to the browser that began."""

    async def begin(self, flow: Flow) -> Handle: ...
    async def take(self, state: str, secret: str) -> Flow | None: ...


class Federation(Protocol):
    """What is done with whom a provider vouches for, and with who is refused."""

    async def admit(self, identity: Identity) -> Person: ...
    async def refused(self, protocol: str, provider: str | None, reason: Refused) -> AuroraError: ...


class Oidc:
    """The use-cases of OpenID Connect. `providers` by id, in the order of the configuration."""

    def __init__(self, providers: Mapping[str, Provider], flows: Flows, federation: Federation) -> None:
        self._providers = providers
        self._flows = flows
        self._federation = federation

    async def begin(self, provider_id: str | None, following: str | None) -> Begun:
        """Where to send the browser. Raises AURORA-4040 for an unknown provider, 5030 when it doesn't answer."""
        provider = self._provider(provider_id)
        metadata = await provider.metadata()
        flow = Flow(provider.config.id, secrets.token_urlsafe(32), secrets.token_urlsafe(48), following)
        handle = await self._flows.begin(flow)
        url = domain.authorization_url(provider.config, metadata, flow, handle.state, provider.redirect_uri)
        return Begun(url, handle)

    async def complete(self, answer: OidcAnswer, secret: str | None) -> Admitted:
        """Who signed in, and where the browser wanted to go. Raises AURORA-4012, and 5030 as `begin` does."""
        provider_id = None
        try:
            if answer.state is None or secret is None:
                raise Refused("no sign-in was begun in this browser")
            flow = await self._flows.take(answer.state, secret)
            if flow is None or flow.provider not in self._providers:
                raise Refused("the state is unknown, used up or too old")
            provider_id = flow.provider
            identity = await self._identity(self._providers[flow.provider], flow, answer)
        except Refused as reason:
            raise await self._federation.refused("oidc", provider_id, reason) from reason
        return Admitted(await self._federation.admit(identity), f"oidc:{flow.provider}", flow.next)

    async def _identity(self, provider: Provider, flow: Flow, answer: OidcAnswer) -> Identity:
        config = provider.config
        metadata = await provider.metadata()
        domain.check_answer_issuer(metadata, answer.iss)
        if answer.error is not None or answer.code is None:
            raise Refused(f"the provider answered {str(answer.error)[:100]}")
        id_token, access_token = await provider.exchange(answer.code, flow.verifier, metadata)
        claims = await provider.claims(id_token, metadata)
        domain.check_claims(claims, issuer=config.issuer, client_id=config.client_id, nonce=flow.nonce, now=time.time())
        if config.userinfo and access_token is not None:
            claims = _joined(claims, await provider.userinfo(access_token, metadata))
        return domain.identity_of(config, claims)

    def ways(self) -> list[AuthProvider]:
        """The providers, for whoever asks how to sign in."""
        configs = [provider.config for provider in self._providers.values()]
        return [AuthProvider(each.id, "oidc", each.name, f"{OIDC_LOGIN.path}?provider={each.id}") for each in configs]

    def _provider(self, provider_id: str | None) -> Provider:
        if provider_id is None and len(self._providers) > 1:
            raise field_error("query.provider", "is required where there are several providers")
        provider = (
            next(iter(self._providers.values()), None) if provider_id is None else self._providers.get(provider_id)
        )
        if provider is None:
            raise AuroraError(NOT_FOUND, {"provider": provider_id}, message="There is no such OIDC provider")
        return provider


def _joined(claims: dict[str, Any], userinfo: dict[str, Any]) -> dict[str, Any]:
    """What the ID token says stands. Raises Refused when userinfo is about somebody else (Core 5.3.2)."""
    if userinfo.get("sub") != claims["sub"]:
        raise Refused("userinfo is about another subject")
    return {**userinfo, **claims}
