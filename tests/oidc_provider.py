"""An OpenID Connect provider of the tests' own making, which says and signs whatever a test wants."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

from aiohttp import web
from joserfc import jws
from joserfc.jwk import RSAKey

from tests.sign_in import Sent

CLIENT = "aurora"
SECRET = "a secret: of/the+client"
Claims = dict[str, Any]
Sign = Callable[["TestProvider", Claims], str]


def with_rs256(provider: TestProvider, claims: Claims) -> str:
    """As a provider should."""
    header = {"alg": "RS256", "kid": provider.key.kid}
    return jws.serialize_compact(header, json.dumps(claims).encode(), provider.key)


@dataclass
class Code:
    """What was asked when a code was given."""

    redirect_uri: str
    challenge: str
    claims: Claims
    sign: Sign
    used: bool = False


@dataclass
class TestProvider:
    """`published` replaces its JWK set, `metadata` members of its description; `userinfo` is what it says of anyone."""

    __test__ = False

    name: str
    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, auto_kid=True))
    metadata: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    key_requests: int = 0
    verifiers: list[str] = field(default_factory=list)
    published: list[dict[str, Any]] | None = None

    def config(self, **changes: Any) -> dict[str, Any]:
        """Its entry in AURORA_OIDC_PROVIDERS_FILE."""
        return {
            "id": self.name,
            "name": f"Provider {self.name}",
            "issuer": self.url,
            "client_id": CLIENT,
            "client_secret_file": "client.secret",
            **changes,
        }

    def approve(self, sent: Sent, *, sign: Sign = with_rs256, **claims: Any) -> dict[str, str]:
        """The parameters that bring a browser back after its user has agreed. A claim that is None is left out."""
        asked, now = sent.query, int(time.time())
        said = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "ada",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **claims,
        }
        code = secrets.token_urlsafe(16)
        kept = {name: value for name, value in said.items() if value is not None}
        self.codes[code] = Code(asked["redirect_uri"], asked["code_challenge"], kept, sign)
        return {"code": code, "state": asked["state"]}

    def callback(self, sent: Sent, **options: Any) -> str:
        """The address that brings a browser back."""
        return sent.query["redirect_uri"] + "?" + urlencode(self.approve(sent, **options))

    async def describe(self, _request: web.Request) -> web.Response:
        """Its discovery document."""
        own = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "userinfo_endpoint": f"{self.url}/userinfo",
        }
        return web.json_response({**own, **self.metadata})

    async def keys(self, _request: web.Request) -> web.Response:
        """Its JWK set."""
        self.key_requests += 1
        own = [self.key.as_dict(private=False, use="sig")]
        return web.json_response({"keys": own if self.published is None else self.published})

    async def token(self, request: web.Request) -> web.Response:
        """Exchanges a code, as strictly as RFC 6749 and RFC 7636 want it."""
        form = await request.post()
        code = self.codes.get(str(form.get("code")))
        scheme, _, pair = request.headers.get("Authorization", "").partition(" ")
        client, _, secret = base64.b64decode(pair).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if (unquote_plus(client), unquote_plus(secret)) != (CLIENT, SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        verifier = str(form.get("code_verifier"))
        self.verifiers.append(verifier)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if code is None or code.used or (code.challenge, code.redirect_uri) != (challenge, form.get("redirect_uri")):
            return web.json_response({"error": "invalid_grant"}, status=400)
        code.used = True
        id_token = code.sign(self, code.claims)
        return web.json_response({"access_token": "opaque", "token_type": "Bearer", "id_token": id_token})

    async def say(self, _request: web.Request) -> web.Response:
        """Its userinfo."""
        return web.json_response(self.userinfo)


@asynccontextmanager
async def oidc_provider(name: str) -> AsyncIterator[TestProvider]:
    """Such a provider on a free port."""
    provider = TestProvider(name)
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.describe)
    app.router.add_get("/keys", provider.keys)
    app.router.add_post("/token", provider.token)
    app.router.add_get("/userinfo", provider.say)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield provider
    finally:
        await runner.cleanup()
