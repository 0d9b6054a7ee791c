"""One provider as it is reached over the network: its description, its keys, its token and userinfo endpoints.

Description and keys are remembered; an unknown key name has the keys fetched anew, a few times a minute at most, so
that a provider may rotate its keys and nobody can make us hammer it. Redirects are not followed, answers are bounded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from services.gateway.federated import Refused
from services.gateway.oidc import domain, tokens
from services.gateway.oidc.domain import Metadata, ProviderConfig, ProvidersFile
from shared import config
from shared.errors import UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.outbound import FORM, Outbound, trusted_url

T = TypeVar("T")
_DESCRIPTION_SECONDS = 3600
#: A provider that didn't answer isn't asked again for so long: those who come meanwhile are told at once.
_DOWN_SECONDS = 3
_KEYS_SECONDS = 900
_REFETCHES_PER_MINUTE = 6
_log = get_logger("oidc")


class _TokenAnswer(msgspec.Struct):
    id_token: str
    access_token: str | None = None


class Provider:
    """A configured provider. Whatever keeps it from answering is AURORA-5030 with its id."""

    def __init__(self, config: ProviderConfig, secret: str | None, redirect_uri: str, outbound: Outbound) -> None:
        self.config = config
        self.redirect_uri = redirect_uri
        self._secret = secret
        self._outbound = outbound
        self._described: tuple[float, Metadata] | None = None
        self._down_until = 0.0
        self._keys: tuple[float, list[tokens.Key]] | None = None
        self._refetches: deque[float] = deque(maxlen=_REFETCHES_PER_MINUTE)
        self._one_at_a_time = asyncio.Lock()

    async def metadata(self) -> Metadata:
        """The provider's description of itself, at most an hour old."""
        async with self._one_at_a_time:
            if self._described is None or self._described[0] < time.monotonic():
                self._described = time.monotonic() + _DESCRIPTION_SECONDS, await self._describe()
            return self._described[1]

    async def claims(self, id_token: str, metadata: Metadata) -> dict[str, Any]:
        """The claims of a token that one of the provider's keys signed. Raises Refused when none has."""
        name = tokens.key_name(id_token)
        async with self._one_at_a_time:
            key = tokens.choose(await self._known_keys(metadata), name)
            if key is None and self._may_refetch():
                key = tokens.choose(await self._fetch_keys(metadata), name)
        if key is None:
            raise Refused("ID token: unknown key")
        return tokens.claims_of(id_token, key, [str(name) for name in self.config.algorithms])

    async def exchange(self, code: str, verifier: str, metadata: Metadata) -> tuple[str, str | None]:
        """ID token and access token for a code. Raises Refused when the provider won't have the code."""
        form, headers = domain.token_request(self.config, metadata, self._secret, code, verifier, self.redirect_uri)
        body = urlencode(form).encode()
        headers = {"Content-Type": FORM, "Accept": "application/json", **headers}
        reply = await self._outbound.post(self.config.name, metadata.token_endpoint, body, headers)
        if reply.status != 200:
            raise Refused(f"the provider refused the code: {_error_in(reply.body)}")
        try:
            answer = _decode(reply.body, _TokenAnswer)
        except ValueError as error:
            raise Refused("the provider's token answer has no ID token") from error
        return answer.id_token, answer.access_token

    async def userinfo(self, access_token: str, metadata: Metadata) -> dict[str, Any]:
        """What the userinfo endpoint says of whoever the access token is for."""
        if metadata.userinfo_endpoint is None:
            raise self._unavailable("no userinfo endpoint")
        raw = await self._fetch(metadata.userinfo_endpoint, {"Authorization": f"Bearer {access_token}"})
        try:
            return _decode(raw, dict[str, Any])
        except ValueError as error:
            raise self._unavailable("userinfo is malformed") from error

    async def _describe(self) -> Metadata:
        if time.monotonic() < self._down_until:
            raise self._unavailable("it didn't answer a moment ago")
        try:
            raw = await self._fetch(domain.discovery_url(self.config.issuer))
            return _checked(_decode(raw, Metadata), self.config.issuer)
        except AuroraError:
            self._down_until = time.monotonic() + _DOWN_SECONDS
            raise
        except ValueError as error:
            raise self._unavailable(str(error)) from error

    async def _known_keys(self, metadata: Metadata) -> list[tokens.Key]:
        if self._keys is None or self._keys[0] < time.monotonic():
            return await self._fetch_keys(metadata)
        return self._keys[1]

    async def _fetch_keys(self, metadata: Metadata) -> list[tokens.Key]:
        raw = await self._fetch(metadata.jwks_uri)
        try:
            keys = tokens.keys_of(_decode(raw, dict[str, Any]))
        except ValueError as error:
            raise self._unavailable("the key set is malformed") from error
        self._keys = time.monotonic() + _KEYS_SECONDS, keys
        return keys

    def _may_refetch(self) -> bool:
        now = time.monotonic()
        if len(self._refetches) == _REFETCHES_PER_MINUTE and self._refetches[0] > now - 60:
            return False
        self._refetches.append(now)
        return True

    async def _fetch(self, url: str, headers: dict[str, str] | None = None) -> bytes:
        reply = await self._outbound.get(self.config.name, url, {"Accept": "application/json", **(headers or {})})
        if reply.status != 200:
            raise self._unavailable(f"status {reply.status}")
        return reply.body

    def _unavailable(self, reason: str) -> AuroraError:
        _log.warning("identity provider unavailable", provider=self.config.id, reason=reason)
        peer = self.config.name
        return AuroraError(UNAVAILABLE, {"peer": peer}, message=f"{peer} does not answer as it should; try again later")


def load(path: Path | None, redirect_uri: str, outbound: Outbound) -> dict[str, Provider]:
    """The providers of the file, by id; none without one. Raises ConfigError."""
    if path is None:
        return {}
    found: dict[str, Provider] = {}
    for each in config.read_document(path, ProvidersFile).providers:
        if each.id in found:
            raise config.ConfigError(f"the file {path.name}: provider {each.id} stands twice")
        try:
            trusted_url(each.issuer)
        except ValueError as error:
            raise config.ConfigError(f"the file {path.name}: provider {each.id}: the issuer {error}") from error
        secret_file = each.client_secret_file
        secret = None if secret_file is None else config.read_secret(path.parent / secret_file)
        found[each.id] = Provider(each, secret, redirect_uri, outbound)
    return found


def _checked(metadata: Metadata, issuer: str) -> Metadata:
    """The description, when it is this issuer's own and names protected addresses only. Raises ValueError otherwise."""
    if metadata.issuer != issuer:
        raise ValueError("its description names another issuer")
    addresses = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
    for address in (*addresses, metadata.userinfo_endpoint or issuer):
        trusted_url(address)
    return metadata


def _decode(data: bytes, kind: type[T]) -> T:
    """Raises ValueError, of which msgspec's errors are."""
    return msgspec.json.decode(data, type=kind)


def _error_in(data: bytes) -> str:
    try:
        return str(_decode(data, dict[str, Any]).get("error", "unknown"))[:100]
    except ValueError:
        return "unknown"
