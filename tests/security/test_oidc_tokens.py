"""Hostile answers of OpenID Connect: none lets anybody in, each is refused for a reason that is logged, never told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.gateway import Gateway
from tests.oidc_provider import CLIENT, SECRET, Claims, Sign, TestProvider, oidc_provider
from tests.sign_in import API, REFUSAL, answer, begin, free_port, gateway_with, reasons
from tests.stack import Servers

CALLBACK = f"{API}/oidc/callback"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def providers() -> AsyncIterator[tuple[TestProvider, TestProvider]]:
    async with oidc_provider("honest") as honest, oidc_provider("other") as other:
        yield honest, other


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    servers: Servers, providers: tuple[TestProvider, TestProvider], tmp_path_factory: Any
) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("oidc")
    (folder / "client.secret").write_text(SECRET)
    configs = [provider.config() for provider in providers]
    async with gateway_with(servers, folder, free_port(), oidc=configs) as started:
        yield started


@pytest.fixture
def honest(providers: tuple[TestProvider, TestProvider]) -> TestProvider:
    return providers[0]


@pytest.fixture
def other(providers: tuple[TestProvider, TestProvider]) -> TestProvider:
    return providers[1]


async def _refused(running: Gateway, url: str, cookies: dict[str, str]) -> str:
    """The logged reason, after a look that the answer tells nothing of it and lets nobody in."""
    before = len(reasons(running))
    status, body, _, given = await answer(running, "GET", url, cookies)
    assert (status, body["error"]["code"], body["error"]["message"]) == (401, "AURORA-4012", REFUSAL), body
    assert body["error"]["detail"] is None
    assert "aurora_session" not in given
    logged = reasons(running)[before:]
    assert len(logged) == 1
    assert logged[0] not in str(body)
    return logged[0]


async def test_a_good_token_signs_in(running: Gateway, honest: TestProvider) -> None:
    sent = await begin(running, "oidc", provider="honest")
    status, body, _, _ = await answer(running, "GET", honest.callback(sent), sent.cookies)
    assert status == 200, body
    assert (await running.get("/api/v1/users/me", headers=running.bearer(body["access_token"])))[0] == 200


async def test_names_that_cannot_be_stored_are_left_out(running: Gateway, honest: TestProvider) -> None:
    sent = await begin(running, "oidc", provider="honest")
    strange = {"sub": "strange", "name": "a\0b", "preferred_username": "\ud800", "email": "x\0@example.org"}
    status, body, _, _ = await answer(running, "GET", honest.callback(sent, **strange), sent.cookies)
    assert status == 200, body
    _, profile, _ = await running.get("/api/v1/users/me", headers=running.bearer(body["access_token"]))
    assert (profile["username"], profile["name"], profile["email"]) == ("strange", "strange", None)


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "another issuer": ({"iss": "https://elsewhere.example.org"}, "wrong issuer"),
    "no issuer": ({"iss": None}, "wrong issuer"),
    "another audience": ({"aud": "somebody-else"}, "wrong audience"),
    "no audience": ({"aud": None}, "wrong audience"),
    "an audience that ours is a part of": ({"aud": "aurora-staging"}, "wrong audience"),
    "another authorized party": ({"azp": "somebody-else"}, "another client"),
    "several audiences without a party": ({"aud": [CLIENT, "somebody-else"]}, "another client"),
    "another nonce": ({"nonce": "x" * 43}, "wrong nonce"),
    "no nonce": ({"nonce": None}, "wrong nonce"),
    "expired": ({"exp": int(time.time()) - 3600}, "expired"),
    "no end": ({"exp": None}, "without exp"),
    "an end that is text": ({"exp": "tomorrow"}, "without exp"),
    "no time of issue": ({"iat": None}, "without exp or iat"),
    "issued later": ({"iat": int(time.time()) + 3600}, "not valid yet"),
    "valid later": ({"nbf": int(time.time()) + 3600}, "not valid yet"),
    "nobody": ({"sub": None}, "no subject"),
    "an empty name": ({"sub": ""}, "no subject"),
    "a very long name": ({"sub": "x" * 300}, "no subject"),
    "a number for a name": ({"sub": 7}, "no subject"),
    "a name with a NUL": ({"sub": "ada\0"}, "no subject"),
    "a name with half a character": ({"sub": "ada\ud800"}, "no subject"),
}


@pytest.mark.parametrize("name", SAID)
async def test_a_signed_token_that_says_something_else_is_refused(
    running: Gateway, honest: TestProvider, name: str
) -> None:
    claims, expected = SAID[name]
    sent = await begin(running, "oidc", provider="honest")
    assert expected in await _refused(running, honest.callback(sent, **claims), sent.cookies)


def _part(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _alg_none(provider: TestProvider, claims: Claims) -> str:
    return f"{_part({'alg': 'none', 'kid': provider.key.kid})}.{_part(claims)}."


def _alg_none_in_capitals(provider: TestProvider, claims: Claims) -> str:
    return f"{_part({'alg': 'NONE', 'kid': provider.key.kid})}.{_part(claims)}.x"


def _hs256_with_the_public_key(provider: TestProvider, claims: Claims) -> str:
    signed = f"{_part({'alg': 'HS256', 'kid': provider.key.kid})}.{_part(claims)}"
    mac = hmac.new(provider.key.as_pem(private=False), signed.encode(), hashlib.sha256)
    return f"{signed}.{_part(mac.digest())}"


def _hs256_with_the_client_secret(provider: TestProvider, claims: Claims) -> str:
    return jwt.encode({"alg": "HS256", "kid": provider.key.kid}, claims, OctKey.import_key(SECRET * 2))


def _another_key_under_the_same_name(provider: TestProvider, claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": provider.key.kid}, claims, RSAKey.generate_key(2048))


def _a_key_that_it_brings_along(_provider: TestProvider, claims: Claims) -> str:
    key = RSAKey.generate_key(2048)
    registry = jws.JWSRegistry(strict_check_header=False)
    registry.max_header_length = 4096
    header = {"alg": "RS256", "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key, registry=registry)


def _an_unknown_key(_provider: TestProvider, claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": "nobody-knows"}, claims, RSAKey.generate_key(2048))


def _an_algorithm_that_is_not_allowed(provider: TestProvider, claims: Claims) -> str:
    return jwt.encode({"alg": "RS512", "kid": provider.key.kid}, claims, provider.key, algorithms=["RS512"])


def _another_kind_of_key(provider: TestProvider, claims: Claims) -> str:
    return jwt.encode({"alg": "ES256", "kid": provider.key.kid}, claims, ECKey.generate_key("P-256"))


def _a_header_that_must_be_understood(provider: TestProvider, claims: Claims) -> str:
    header = {"alg": "RS256", "kid": provider.key.kid, "crit": ["exp2"], "exp2": 1}
    signed = f"{_part(header)}.{_part(claims)}"
    good = jwt.encode({"alg": "RS256"}, claims, provider.key).rpartition(".")[2]
    return f"{signed}.{good}"


def _changed_claims(provider: TestProvider, claims: Claims) -> str:
    header, _, signature = jwt.encode({"alg": "RS256", "kid": provider.key.kid}, claims, provider.key).split(".")
    return f"{header}.{_part({**claims, 'sub': 'admin'})}.{signature}"


def _no_token(_provider: TestProvider, _claims: Claims) -> str:
    return "not.a.token"


def _five_parts(_provider: TestProvider, _claims: Claims) -> str:
    return "a.b.c.d.e"


def _not_an_object(provider: TestProvider, _claims: Claims) -> str:
    return jws.serialize_compact({"alg": "RS256", "kid": provider.key.kid}, b'["sub"]', provider.key)


def _too_long(provider: TestProvider, claims: Claims) -> str:
    return jwt.encode({"alg": "RS256", "kid": provider.key.kid}, {**claims, "x": "y" * 80_000}, provider.key)


FORGERIES = [
    _alg_none,
    _alg_none_in_capitals,
    _hs256_with_the_public_key,
    _hs256_with_the_client_secret,
    _another_key_under_the_same_name,
    _a_key_that_it_brings_along,
    _an_unknown_key,
    _an_algorithm_that_is_not_allowed,
    _another_kind_of_key,
    _a_header_that_must_be_understood,
    _changed_claims,
    _no_token,
    _five_parts,
    _not_an_object,
    _too_long,
]


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("sign", FORGERIES, ids=lambda sign: sign.__name__.strip("_"))
async def test_a_token_that_the_provider_did_not_sign_is_refused(
    running: Gateway, honest: TestProvider, sign: Sign
) -> None:
    sent = await begin(running, "oidc", provider="honest")
    assert await _refused(running, honest.callback(sent, sign=sign), sent.cookies)


async def test_a_shared_secret_among_the_published_keys_is_not_a_key(running: Gateway, other: TestProvider) -> None:
    secret = OctKey.generate_key(256, auto_kid=True)
    other.published = [secret.as_dict(), other.key.as_dict(private=False)]

    def sign(_provider: TestProvider, claims: Claims) -> str:
        return jwt.encode({"alg": "HS256", "kid": secret.kid}, claims, secret)

    try:
        sent = await begin(running, "oidc", provider="other")
        assert await _refused(running, other.callback(sent, sign=sign), sent.cookies)
    finally:
        other.published = None


async def test_a_state_is_used_once(running: Gateway, honest: TestProvider) -> None:
    sent = await begin(running, "oidc", provider="honest")
    url = honest.callback(sent)
    assert (await answer(running, "GET", url, sent.cookies))[0] == 200
    assert "state" in await _refused(running, url, sent.cookies)


async def test_a_code_is_used_once(running: Gateway, honest: TestProvider) -> None:
    first = await begin(running, "oidc", provider="honest")
    code = honest.approve(first)["code"]
    url = f"{running.url}{CALLBACK}?"
    params = {"code": code, "state": first.query["state"]}
    assert (await answer(running, "GET", url + urlencode(params), first.cookies))[0] == 200
    second = await begin(running, "oidc", provider="honest")
    params["state"] = second.query["state"]
    assert "invalid_grant" in await _refused(running, url + urlencode(params), second.cookies)


async def test_another_persons_code_is_no_use_without_its_verifier(running: Gateway, honest: TestProvider) -> None:
    """PKCE: a code that was stolen on its way back can't be put into a sign-in of one's own."""
    victim = await begin(running, "oidc", provider="honest")
    stolen = honest.approve(victim)["code"]
    thief = await begin(running, "oidc", provider="honest")
    params = urlencode({"code": stolen, "state": thief.query["state"]})
    assert "invalid_grant" in await _refused(running, f"{running.url}{CALLBACK}?{params}", thief.cookies)


async def test_an_answer_counts_only_in_the_browser_that_asked(running: Gateway, honest: TestProvider) -> None:
    """Login CSRF: a link that signs its reader in as somebody else."""
    attacker = await begin(running, "oidc", provider="honest")
    url = honest.callback(attacker)
    assert await _refused(running, url, {})
    victim = await begin(running, "oidc", provider="honest")
    assert await _refused(running, url, victim.cookies)
    assert await _refused(running, url, dict.fromkeys(attacker.cookies, "x" * 43))
    assert (await answer(running, "GET", url, attacker.cookies))[0] == 200


@pytest.mark.parametrize("state", ["", "x", "x" * 43, "../" * 14 + "x", "é" * 43])
async def test_a_state_that_nobody_was_given_is_refused(running: Gateway, state: str) -> None:
    url = f"{running.url}{CALLBACK}?{urlencode({'code': 'x', 'state': state})}"
    assert await _refused(running, url, {f"aurora_sign_in_{'x' * 12}": "x" * 43})


async def test_a_provider_that_answers_for_another_is_refused(
    running: Gateway, honest: TestProvider, other: TestProvider
) -> None:
    """Mix-up (RFC 9207): the answer names the provider that gave it."""
    before = len(other.verifiers)
    sent = await begin(running, "oidc", provider="other")
    params = {**other.approve(sent), "iss": honest.url}
    url = f"{running.url}{CALLBACK}?{urlencode(params)}"
    assert "another issuer" in await _refused(running, url, sent.cookies)
    assert len(other.verifiers) == before, "no code went out"


async def test_a_token_of_one_provider_is_no_use_at_another(
    running: Gateway, honest: TestProvider, other: TestProvider
) -> None:
    def sign(_provider: TestProvider, claims: Claims) -> str:
        said = {**claims, "iss": honest.url}
        return jwt.encode({"alg": "RS256", "kid": honest.key.kid}, said, honest.key)

    sent = await begin(running, "oidc", provider="other")
    assert "unknown key" in await _refused(running, other.callback(sent, sign=sign), sent.cookies)


@pytest.mark.parametrize("error", ["access_denied", "\1access_denied\n\x7f", "access_denied" * 100])
async def test_a_refusal_of_the_provider_is_a_refusal(running: Gateway, honest: TestProvider, error: str) -> None:
    sent = await begin(running, "oidc", provider="honest")
    params = {"error": error, "error_description": "<script>", "state": sent.query["state"]}
    reason = await _refused(running, f"{running.url}{CALLBACK}?{urlencode(params)}", sent.cookies)
    assert "access_denied" in reason


async def test_a_refusal_with_a_character_that_no_store_takes_is_refused_itself(
    running: Gateway, honest: TestProvider
) -> None:
    sent = await begin(running, "oidc", provider="honest")
    params = {"error": "\0access_denied", "state": sent.query["state"]}
    status, body, _, given = await answer(running, "GET", f"{running.url}{CALLBACK}?{urlencode(params)}", sent.cookies)
    assert (status, body["error"]["detail"][0]["path"]) == (422, "query.error")
    assert "aurora_session" not in given


@pytest.mark.parametrize(
    "path",
    [
        "https://elsewhere.example.org/",
        "//elsewhere.example.org/",
        "/\\elsewhere.example.org/",
        "\\\\elsewhere.example.org",
        "javascript:alert(1)",
        "/\t/elsewhere.example.org",
        "/x\r\nSet-Cookie: a=b",
        "elsewhere",
        "",
    ],
)
async def test_a_sign_in_never_ends_on_another_site(running: Gateway, path: str) -> None:
    url = f"{running.url}{API}/oidc/login"
    status, body, headers, _ = await answer(running, "GET", url, {}, params={"provider": "honest", "next": path})
    assert (status, body["error"]["detail"][0]["path"]) == (422, "query.next")
    assert "Location" not in headers


async def test_the_state_cookie_is_kept_from_scripts_and_other_paths(running: Gateway) -> None:
    url = f"{running.url}{API}/oidc/login?provider=honest"
    async with running.http.get(url, allow_redirects=False) as response:
        (cookie,) = response.cookies.values()
    running.http.cookie_jar.clear()
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", CALLBACK)
    assert int(cookie["max-age"]) <= 600


async def test_unknown_keys_do_not_make_the_gateway_hammer_the_provider(running: Gateway, honest: TestProvider) -> None:
    before = honest.key_requests
    for _ in range(12):
        sent = await begin(running, "oidc", provider="honest")
        await _refused(running, honest.callback(sent, sign=_an_unknown_key), sent.cookies)
    assert honest.key_requests - before <= 6


async def test_secrets_of_a_sign_in_are_not_logged(running: Gateway, honest: TestProvider) -> None:
    sent = await begin(running, "oidc", provider="honest")
    url = honest.callback(sent)
    await answer(running, "GET", url, sent.cookies)
    log = running.log_file.read_text()
    for secret in (SECRET, honest.verifiers[-1], sent.query["nonce"], *sent.cookies.values(), sent.query["state"]):
        assert secret not in log
