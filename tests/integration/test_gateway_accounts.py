"""Signing in, staying signed in and signing out, on a real gateway."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest_asyncio

from shared.identity import ROLE_PERMISSIONS, read_claims
from shared.keyring import keys_of
from tests.gateway import ADMIN_PASSWORD, Gateway, gateway, process
from tests.stack import Servers

TOKEN = "/api/v1/auth/token"
ME = "/api/v1/users/me"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway")) as started:
        yield started


async def _post(running: Gateway, body: dict[str, Any], **options: Any) -> tuple[int, Any]:
    async with running.http.post(running.url + TOKEN, json=body, **options) as response:
        return response.status, await response.json()


async def test_a_password_buys_a_bearer_token_for_fifteen_minutes(running: Gateway) -> None:
    answer = await running.sign_in()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 900
    status, profile, _ = await running.get(ME, headers=running.bearer(answer["access_token"]))
    assert status == 200
    assert profile["username"] == "admin"
    assert profile["role"] == "admin"
    assert profile["permissions"] == sorted(ROLE_PERMISSIONS["admin"])
    assert profile["id"].startswith("user_")
    assert len(profile["id"]) >= len("user_") + 26


async def test_the_token_endpoint_takes_a_form(running: Gateway) -> None:
    form = {"grant_type": "password", "username": "Admin", "password": ADMIN_PASSWORD}
    async with running.http.post(running.url + TOKEN, data=form) as response:
        assert response.status == 200
        assert (await response.json())["access_token"]


async def test_access_tokens_verify_with_the_published_keys(running: Gateway) -> None:
    async with running.http.get(f"{running.url}/.well-known/jwks.json") as response:
        assert response.status == 200
        published = await response.json()
    _, claims = read_claims(running.token, keys_of(published), "aurora")
    assert claims["iss"] == "aurora"
    assert {"sub", "sid", "jti", "exp", "iat"} <= claims.keys()


async def test_a_wrong_password_and_an_unknown_user_read_the_same(running: Gateway) -> None:
    wrong = await _post(running, {"username": "admin", "password": "wrong password"})
    unknown = await _post(running, {"username": "nobody", "password": "wrong password"})
    for status, answer in (wrong, unknown):
        assert status == 401
        assert answer["error"]["code"] == "AURORA-4012"
    assert wrong[1]["error"]["message"] == unknown[1]["error"]["message"]
    assert wrong[1]["error"]["detail"] == unknown[1]["error"]["detail"]


async def test_a_wrong_password_and_an_unknown_user_take_the_same_time(running: Gateway) -> None:
    async def seconds(username: str) -> float:
        started = time.perf_counter()
        await _post(running, {"username": username, "password": "wrong password"})
        return time.perf_counter() - started

    known = [await seconds("admin") for _ in range(3)]
    unknown = [await seconds("somebody-else") for _ in range(3)]
    assert 0.4 < median(unknown) / median(known) < 2.5


async def test_a_failed_sign_in_is_logged_with_account_and_address(running: Gateway) -> None:
    name = 'x"\n{"level":"critical"}'
    await _post(running, {"username": name, "password": "wrong password"})
    refused = [line for line in running.log() if line["message"] == "sign-in refused" and line["account"] == name]
    assert len(refused) == 1
    assert refused[0]["address"] == "127.0.0.1"
    assert "wrong password" not in str(running.log())


async def test_missing_and_malformed_credentials_name_the_field(running: Gateway) -> None:
    status, answer = await _post(running, {"username": "admin"})
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "body.password")
    status, answer = await _post(running, {"grant_type": "magic"})
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "body.grant_type")
    async with running.http.post(running.url + TOKEN, data="{", headers={"Content-Type": "application/json"}) as bad:
        assert (bad.status, (await bad.json())["error"]["code"]) == (400, "AURORA-4000")
    async with running.http.post(running.url + TOKEN, data="x", headers={"Content-Type": "text/xml"}) as bad:
        assert (bad.status, (await bad.json())["error"]["code"]) == (415, "AURORA-4150")


async def test_a_refresh_token_works_once_and_its_second_use_ends_the_session(running: Gateway) -> None:
    first = await running.sign_in()
    status, second = await _post(running, {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]})
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert (await running.get(ME, headers=running.bearer(second["access_token"])))[0] == 200

    status, answer = await _post(running, {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]})
    assert (status, answer["error"]["code"]) == (401, "AURORA-4012")
    status, answer = await _post(running, {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]})
    assert (status, answer["error"]["code"]) == (401, "AURORA-4012")
    for token in (first["access_token"], second["access_token"]):
        assert (await running.get(ME, headers=running.bearer(token)))[0] == 401


async def test_an_unknown_refresh_token_is_refused(running: Gateway) -> None:
    status, answer = await _post(running, {"grant_type": "refresh_token", "refresh_token": "aurr_" + "x" * 43})
    assert (status, answer["error"]["code"]) == (401, "AURORA-4012")


async def test_signing_out_ends_access_and_refresh_tokens_at_once_and_no_other_session(running: Gateway) -> None:
    session, other = await running.sign_in(), await running.sign_in()
    mine = running.bearer(session["access_token"])
    assert (await running.get(ME, headers=mine))[0] == 200
    assert (await running.ask("POST", "/api/v1/auth/logout", headers=mine))[0] == 204
    status, answer, headers = await running.get(ME, headers=mine)
    assert (status, answer["error"]["code"]) == (401, "AURORA-4012")
    assert headers["WWW-Authenticate"].startswith("Bearer")
    status, _ = await _post(running, {"grant_type": "refresh_token", "refresh_token": session["refresh_token"]})
    assert status == 401
    assert (await running.get(ME, headers=running.bearer(other["access_token"])))[0] == 200


async def test_an_expired_access_token_is_told_apart(running: Gateway) -> None:
    now = int(time.time())
    expired = running.token_of("admin", iat=now - 1000, exp=now - 100)
    status, answer, _ = await running.get(ME, headers=running.bearer(expired))
    assert (status, answer["error"]["code"]) == (401, "AURORA-4011")


async def test_the_password_provider_is_listed(running: Gateway) -> None:
    async with running.http.get(f"{running.url}/api/v1/auth/providers") as response:
        providers = (await response.json())["providers"]
    assert providers == [{"id": "password", "type": "password", "name": "User name and password", "login_url": None}]


async def test_tokens_are_never_cached_by_anybody(running: Gateway) -> None:
    async with running.http.post(running.url + TOKEN, json={"username": "a", "password": "b"}) as response:
        assert response.headers["Cache-Control"] == "no-store"


async def test_a_restart_keeps_sessions_and_doesnt_reset_the_administrator(running: Gateway, tmp_path: Path) -> None:
    session = await running.sign_in()
    changed = tmp_path / "admin.password"
    changed.write_text("another password\n")
    environment = {**running.environment, "AURORA_ADMIN_PASSWORD_FILE": str(changed)}
    async with process(environment, tmp_path / "second.log") as (url, _):
        body = {"username": "admin", "password": "another password"}
        async with running.http.post(url + TOKEN, json=body) as response:
            assert response.status == 401
        async with running.http.get(url + ME, headers=running.bearer(session["access_token"])) as response:
            assert response.status == 200


async def test_signing_in_often_and_right_is_never_throttled(servers: Servers, tmp_path: Path) -> None:
    async with gateway(servers, tmp_path, login_attempts_per_minute="2") as strict:
        for _ in range(8):
            assert (await strict.sign_in())["token_type"] == "Bearer"


async def test_sign_ins_are_throttled_per_account_and_address(servers: Servers, tmp_path: Path) -> None:
    settings = {"login_attempts_per_minute": "2", "trusted_proxies": "127.0.0.1"}
    async with gateway(servers, tmp_path, **settings) as strict:

        async def attempt(account: str, address: str) -> tuple[int, Any]:
            body = {"username": account, "password": "wrong password"}
            return await _post(strict, body, headers={"X-Forwarded-For": address})

        for _ in range(2):
            assert (await attempt("alice", "198.51.100.7"))[0] == 401
        status, answer = await attempt("ALICE ", "198.51.100.7")
        assert (status, answer["error"]["code"]) == (429, "AURORA-4290")
        assert (await attempt("alice", "198.51.100.8"))[0] == 401
        over_all_accounts = [(await attempt(f"user{number}", "198.51.100.7"))[0] for number in range(5)]
        assert over_all_accounts[-1] == 429
