"""Signing in by OpenID Connect and SAML through a real gateway: who comes, as whom, and where they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from lxml import etree

from tests.gateway import ADMIN_PASSWORD, Gateway
from tests.oidc_provider import SECRET, Claims, TestProvider, oidc_provider
from tests.saml_idp import Asked, Idp, Words, posted
from tests.sign_in import API, REFUSAL, answer, begin, free_port, gateway_with, reasons
from tests.stack import Servers

ME = "/api/v1/users/me"
USERS = "/api/v1/users"
IDP = Idp()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def provider() -> AsyncIterator[TestProvider]:
    async with oidc_provider("main") as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, provider: TestProvider, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("federation")
    (folder / "client.secret").write_text(SECRET)
    (folder / "idp.pem").write_bytes(IDP.certificate_pem)
    oidc = [
        provider.config(roles={"claim": "realm_access.roles", "map": {"leads": "admin", "analysts": "analyst"}}),
        provider.config(id="members", roles={"map": {"soc": "operator"}, "default": None}),
        provider.config(id="told", userinfo=True),
        provider.config(id="public", require={"hd": ["example.org"]}),
        provider.config(id="down", issuer="http://127.0.0.1:9"),
    ]
    saml = [
        {
            "id": "idp",
            "name": "Company",
            "entity_id": "urn:example:idp",
            "sign_in_url": "http://127.0.0.1:9/sso?tenant=1",
            "certificate_files": ["idp.pem"],
            "roles": {"claim": "groups", "map": {"soc": "analyst"}},
        }
    ]
    async with gateway_with(servers, folder, free_port(), oidc=oidc, saml=saml) as started:
        yield started


async def _sign_in(running: Gateway, provider: TestProvider, way: str = "main", **claims: Any) -> tuple[int, Any]:
    sent = await begin(running, "oidc", provider=way)
    status, body, _, _ = await answer(running, "GET", provider.callback(sent, **claims), sent.cookies)
    return status, body


async def _profile(running: Gateway, provider: TestProvider, way: str = "main", **claims: Any) -> Any:
    status, body = await _sign_in(running, provider, way, **claims)
    assert status == 200, body
    status, profile, _ = await running.get(ME, headers=running.bearer(body["access_token"]))
    assert status == 200
    return profile


async def test_the_ways_to_sign_in_are_listed(running: Gateway) -> None:
    async with running.http.get(f"{running.url}{API}/providers") as response:
        listed = (await response.json())["providers"]
    assert [(way["id"], way["type"]) for way in listed] == [
        ("password", "password"),
        ("main", "oidc"),
        ("members", "oidc"),
        ("told", "oidc"),
        ("public", "oidc"),
        ("down", "oidc"),
        ("idp", "saml"),
    ]
    assert listed[1]["login_url"] == f"{API}/oidc/login?provider=main"
    assert listed[6]["login_url"] == f"{API}/saml/login?provider=idp"


async def test_the_browser_is_sent_away_with_pkce_state_and_nonce(running: Gateway, provider: TestProvider) -> None:
    sent = await begin(running, "oidc", provider="main")
    asked = sent.query
    assert sent.location.startswith(f"{provider.url}/authorize?")
    assert (asked["response_type"], asked["client_id"]) == ("code", "aurora")
    assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
    assert asked["scope"].split() == ["openid", "profile", "email"]
    assert asked["redirect_uri"] == f"{running.url}{API}/oidc/callback"
    assert min(len(asked["state"]), len(asked["nonce"])) >= 43


async def test_who_comes_first_gets_an_account_and_keeps_it(running: Gateway, provider: TestProvider) -> None:
    claims: dict[str, Any] = {
        "sub": "ada",
        "preferred_username": "ada",
        "email": "ada@example.org",
        "email_verified": True,
    }
    first = await _profile(running, provider, name="Ada Lovelace", **claims)
    assert (first["username"], first["email"], first["name"]) == ("ada", "ada@example.org", "Ada Lovelace")
    assert first["role"] == "viewer"
    again = await _profile(
        running, provider, **{**claims, "preferred_username": "countess", "email": "other@example.org"}
    )
    assert again["id"] == first["id"]


async def test_roles_follow_the_provider_and_the_strongest_counts(running: Gateway, provider: TestProvider) -> None:
    roles = {"roles": ["everybody", "analysts", "leads"]}
    first = await _profile(running, provider, sub="grace", realm_access=roles)
    assert first["role"] == "admin"
    later = await _profile(running, provider, sub="grace", realm_access={"roles": ["analysts"]})
    assert (later["id"], later["role"]) == (first["id"], "analyst")
    none = await _profile(running, provider, sub="grace")
    assert (none["id"], none["role"]) == (first["id"], "viewer")


async def test_an_older_session_ends_when_the_provider_takes_a_role_back(
    running: Gateway, provider: TestProvider
) -> None:
    _, lead = await _sign_in(running, provider, sub="joan", realm_access={"roles": ["leads"]})
    headers = running.bearer(lead["access_token"])
    assert (await running.get(USERS, headers=headers))[0] == 200
    await _profile(running, provider, sub="joan", realm_access={"roles": []})
    assert (await running.get(USERS, headers=headers))[0] == 401


async def test_without_a_role_that_is_meant_for_them_nobody_gets_in(running: Gateway, provider: TestProvider) -> None:
    status, body = await _sign_in(running, provider, "members", sub="mallory", groups=["guests"])
    assert (status, body["error"]["message"]) == (401, REFUSAL)
    assert "no role" in reasons(running)[-1]
    _, listed, _ = await running.get(f"{USERS}?q=mallory")
    assert listed["items"] == []
    assert (await _profile(running, provider, "members", sub="mallory", groups=["soc"]))["role"] == "operator"


async def test_where_anybody_has_an_account_only_those_of_the_company_get_in(
    running: Gateway, provider: TestProvider
) -> None:
    assert (await _sign_in(running, provider, "public", sub="stranger"))[0] == 401
    assert (await _sign_in(running, provider, "public", sub="stranger", hd="example.com"))[0] == 401
    profile = await _profile(running, provider, "public", sub="colleague", hd="example.org")
    assert profile["role"] == "viewer"
    changed = await running.ask("PATCH", f"{USERS}/{profile['username']}", json={"role": "analyst"})
    assert changed[0] == 200
    again = await _profile(running, provider, "public", sub="colleague", hd="example.org")
    assert again["role"] == "analyst", "without a map the role is Aurora's to change"


async def test_nobody_becomes_the_owner_of_an_account_by_a_name_or_an_address(
    running: Gateway, provider: TestProvider
) -> None:
    _, admin, _ = await running.get(ME)
    profile = await _profile(running, provider, sub="impostor", preferred_username="Admin")
    assert profile["id"] != admin["id"]
    assert profile["username"] != "admin"
    assert profile["role"] == "viewer"
    own = await _profile(running, provider, sub="ada2", preferred_username="ada2", email="one@example.org")
    twin = await _profile(running, provider, sub="ada3", preferred_username="ada3", email="One@example.org")
    assert (own["email"], twin["email"]) == ("one@example.org", None)


async def test_an_unverified_address_is_left_out(running: Gateway, provider: TestProvider) -> None:
    profile = await _profile(running, provider, sub="unverified", email="someone@example.org", email_verified=False)
    assert profile["email"] is None


async def test_a_disabled_account_stays_out(running: Gateway, provider: TestProvider) -> None:
    profile = await _profile(running, provider, sub="leaver", preferred_username="leaver")
    assert (await running.ask("PATCH", f"{USERS}/leaver", json={"disabled": True}))[0] == 200
    status, body = await _sign_in(running, provider, sub="leaver", preferred_username="leaver")
    assert (status, body["error"]["message"]) == (401, REFUSAL)
    assert (await running.ask("PATCH", f"{USERS}/leaver", json={"disabled": False}))[0] == 200
    assert (await _profile(running, provider, sub="leaver"))["id"] == profile["id"]


async def test_a_deleted_account_does_not_come_back_by_itself(running: Gateway, provider: TestProvider) -> None:
    await _profile(running, provider, sub="gone", preferred_username="gone")
    assert (await running.ask("DELETE", f"{USERS}/gone"))[0] == 204
    assert (await _sign_in(running, provider, sub="gone", preferred_username="gone"))[0] == 401


async def test_one_person_in_many_windows_becomes_one_account(running: Gateway, provider: TestProvider) -> None:
    async def once() -> str:
        return str((await _profile(running, provider, sub="hasty", preferred_username="hasty"))["id"])

    sent = [await begin(running, "oidc", provider="main") for _ in range(6)]
    urls = [provider.callback(each, sub="hasty", preferred_username="hasty") for each in sent]

    async def arrive(url: str, cookies: dict[str, str]) -> int:
        brought = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        async with running.http.get(url, headers=brought, allow_redirects=False) as response:
            return response.status

    statuses = await asyncio.gather(*(arrive(url, each.cookies) for url, each in zip(urls, sent, strict=True)))
    assert set(statuses) == {200}
    _, listed, _ = await running.get(f"{USERS}?q=hasty")
    assert [user["id"] for user in listed["items"]] == [await once()]


async def test_a_browser_ends_where_it_wanted_to_go_with_a_session_cookie(
    running: Gateway, provider: TestProvider
) -> None:
    sent = await begin(running, "oidc", provider="main", next="/console/alerts?severity=high")
    url = provider.callback(sent, sub="browser", preferred_username="browser")
    status, _, headers, given = await answer(running, "GET", url, sent.cookies)
    assert (status, headers["Location"]) == (303, "/console/alerts?severity=high")
    cookie = given["aurora_session"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    (spent,) = (given[name] for name in sent.cookies)
    assert spent.value == ""
    status, profile, _, _ = await answer(running, "GET", running.url + ME, {"aurora_session": cookie.value})
    assert (status, profile["username"]) == (200, "browser")


async def test_claims_that_only_userinfo_tells_are_asked_for(running: Gateway, provider: TestProvider) -> None:
    provider.userinfo = {"sub": "shy", "preferred_username": "shy-one", "groups": ["soc"]}
    assert (await _profile(running, provider, "told", sub="shy"))["username"] == "shy-one"
    provider.userinfo = {"sub": "somebody-else", "preferred_username": "admin"}
    assert (await _sign_in(running, provider, "told", sub="shy"))[0] == 401
    assert "another subject" in reasons(running)[-1]


async def test_keys_may_be_replaced_while_everything_runs(running: Gateway, provider: TestProvider) -> None:
    await _profile(running, provider, sub="before")
    provider.key = RSAKey.generate_key(2048, auto_kid=True)
    await _profile(running, provider, sub="after")
    curve = ECKey.generate_key("P-256", auto_kid=True)
    provider.published = [curve.as_dict(private=False, use="sig"), provider.key.as_dict(private=False, use="sig")]

    def with_es256(_provider: TestProvider, claims: Claims) -> str:
        return jwt.encode({"alg": "ES256", "kid": curve.kid}, claims, curve)

    try:
        assert (await _profile(running, provider, sub="curve", sign=with_es256))["username"] == "curve"
    finally:
        provider.published = None


async def test_a_provider_that_is_down_is_named_while_other_ways_work(running: Gateway, provider: TestProvider) -> None:
    url = f"{running.url}{API}/oidc/login"
    for _ in range(2):
        status, body, _, _ = await answer(running, "GET", url, {}, params={"provider": "down"})
        assert (status, body["error"]["code"]) == (503, "AURORA-5030")
        assert body["error"]["detail"] == {"peer": "Provider main"}
    assert (await running.sign_in("admin", ADMIN_PASSWORD))["access_token"]
    await _profile(running, provider, sub="still here")


@pytest.mark.parametrize("kind", ["oidc", "saml"])
async def test_an_unknown_provider_is_not_found(running: Gateway, kind: str) -> None:
    status, body, _, _ = await answer(running, "GET", f"{running.url}{API}/{kind}/login?provider=none", {})
    assert (status, body["error"]["code"]) == (404, "AURORA-4040")


async def test_a_provider_must_be_chosen_where_there_are_several(running: Gateway) -> None:
    status, body, _, _ = await answer(running, "GET", f"{running.url}{API}/oidc/login", {})
    assert (status, body["error"]["detail"][0]["path"]) == (422, "query.provider")


async def test_with_a_provider_nobody_registers_unless_that_is_asked_for(running: Gateway) -> None:
    asked = {"email": "new@example.org", "password": "a long password", "name": "New"}
    status, _, _, _ = await answer(running, "POST", f"{running.url}/api/auth/register", {}, json=asked)
    assert status == 403


async def test_the_metadata_describes_aurora_to_identity_providers(running: Gateway) -> None:
    status, text, headers, _ = await answer(running, "GET", f"{running.url}{API}/saml/metadata", {})
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/samlmetadata+xml")
    root = etree.fromstring(text.encode())
    assert root.get("entityID") == f"{running.url}{API}/saml/metadata"
    md = "{urn:oasis:names:tc:SAML:2.0:metadata}"
    (descriptor,) = root.iter(f"{md}SPSSODescriptor")
    assert descriptor.get("WantAssertionsSigned") == "true"
    (acs,) = root.iter(f"{md}AssertionConsumerService")
    assert acs.get("Location") == f"{running.url}{API}/saml/acs"
    assert acs.get("Binding") == "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


async def test_a_saml_sign_in_of_a_browser_ends_with_a_session_cookie(running: Gateway) -> None:
    sent = await begin(running, "saml", next="/console")
    assert sent.location.startswith("http://127.0.0.1:9/sso?tenant=1&SAMLRequest=")
    asked = Asked.of(sent)
    words = Words.answering(asked, name_id="hopper", attributes={"groups": ["everybody", "soc"]})
    form = {"SAMLResponse": posted(IDP.signed(words)), "RelayState": asked.relay_state}
    status, _, headers, given = await answer(running, "POST", f"{running.url}{API}/saml/acs", sent.cookies, data=form)
    assert (status, headers["Location"]) == (303, "/console")
    cookies = {"aurora_session": given["aurora_session"].value}
    _, profile, _, _ = await answer(running, "GET", running.url + ME, cookies)
    assert (profile["username"], profile["role"]) == ("hopper", "analyst")


async def test_one_subject_of_two_protocols_is_two_people(running: Gateway, provider: TestProvider) -> None:
    by_oidc = await _profile(running, provider, sub="same")
    sent = await begin(running, "saml")
    asked = Asked.of(sent)
    form = {
        "SAMLResponse": posted(IDP.signed(Words.answering(asked, name_id="same", attributes={}))),
        "RelayState": asked.relay_state,
    }
    status, body, _, _ = await answer(running, "POST", f"{running.url}{API}/saml/acs", sent.cookies, data=form)
    assert status == 200
    _, by_saml, _ = await running.get(ME, headers=running.bearer(body["access_token"]))
    assert by_saml["id"] != by_oidc["id"]


async def test_a_sign_in_by_a_provider_is_audited(running: Gateway, provider: TestProvider) -> None:
    profile = await _profile(running, provider, sub="audited", preferred_username="audited")
    async with asyncio.timeout(10):
        while True:
            _, made, _ = await running.get("/api/v1/audit?action=user.provisioned&target=audited")
            _, opened, _ = await running.get(f"/api/v1/audit?action=session.created&actor={profile['id']}")
            if made["items"] and opened["items"]:
                break
            await asyncio.sleep(0.05)
    assert made["items"][0]["detail"]["subject"] == "audited"
    assert opened["items"][0]["detail"] == {"how": "oidc:main"}
