"""Cloud sign-in: nobody connects another's account, no state serves twice, and no credential leaves its seal."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import psutil
import pytest_asyncio

from shared.sealing import SealingKeys
from tests.cloud_providers import APPLICATION, ROLE, TENANT
from tests.clouds import Clouds, clouds_running
from tests.gateway import process
from tests.stack import Servers, until


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def everything(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Clouds]:
    async with clouds_running(servers, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def clouds(everything: Clouds) -> AsyncIterator[Clouds]:
    yield everything
    await everything.disconnected()


async def _began(clouds: Clouds) -> tuple[str, str]:
    """What Google answers, and the cookie of the browser that began."""
    login_url, cookie = await clouds.begin()
    return await clouds.consent(login_url), cookie


async def test_a_state_serves_once(clouds: Clouds) -> None:
    query, cookie = await _began(clouds)
    assert (await clouds.back(query, Cookie=f"aurora_cloud={cookie}"))[0] == 200
    status, answer = await clouds.back(query, Cookie=f"aurora_cloud={cookie}")
    assert (status, answer["code"]) == (400, "AURORA-4000")
    assert "was used already" in answer["error"]


async def test_of_many_at_the_same_moment_a_state_serves_one(clouds: Clouds) -> None:
    query, cookie = await _began(clouds)
    answers = await asyncio.gather(*(clouds.back(query, Cookie=f"aurora_cloud={cookie}") for _ in range(8)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 7
    assert len(clouds.providers.live_grants()) == 1


async def test_a_state_that_failed_once_does_not_serve_again(clouds: Clouds) -> None:
    query, cookie = await _began(clouds)
    state = quote(parse_qs(query)["state"][0])
    status, _ = await clouds.back(f"state={state}&code=guessed", Cookie=f"aurora_cloud={cookie}")
    assert status == 400
    assert (await clouds.back(query, Cookie=f"aurora_cloud={cookie}"))[0] == 400
    assert not clouds.providers.live_grants()


async def test_the_cookie_of_a_sign_in_is_for_the_way_back_alone(clouds: Clouds, tmp_path: Path) -> None:
    environment = {**clouds.gateway.environment, "AURORA_GCP_REDIRECT_URI": "https://soc.example.org/aurora/callback"}
    async with process(environment, tmp_path / "second.log") as (url, _):
        begin = clouds.gateway.http.post(f"{url}/login", json={"userId": clouds.me}, headers=clouds.gateway.bearer())
        async with begin as response:
            cookie = response.cookies["aurora_cloud"]
    assert (cookie["path"], cookie["samesite"], cookie["max-age"]) == ("/aurora/callback", "Lax", "600")
    assert cookie["httponly"]
    assert cookie["secure"]


async def test_a_sign_in_ends_in_the_browser_that_began_it(clouds: Clouds) -> None:
    """Else whoever sends the link gets the account of whoever follows it."""
    query, cookie = await _began(clouds)
    _, others_cookie = await clouds.begin()
    analyst = clouds.gateway.bearer(clouds.gateway.token_of("analyst"))
    refusals = {
        "no cookie": ({}, 401),
        "another sign-in's cookie": ({"Cookie": f"aurora_cloud={others_cookie}"}, 401),
        "another user": (analyst, 403),
        "another user in the same browser": ({**analyst, "Cookie": f"aurora_cloud={cookie}"}, 403),
    }
    for who, (headers, expected) in refusals.items():
        status, answer = await clouds.back(query, **headers)
        assert status == expected, (who, answer)
    assert not clouds.providers.live_grants()
    denied = "SELECT FROM audit WHERE action = 'cloud.connected' AND outcome = 'denied' AND actor = 'user_analyst'"
    await clouds.until_rows(denied, 2)
    # Nothing of that used the state up: whoever began goes on.
    assert (await clouds.back(query, Cookie=f"aurora_cloud={cookie}"))[0] == 200


async def test_who_is_signed_in_needs_no_cookie_of_the_sign_in(clouds: Clouds) -> None:
    query, _ = await _began(clouds)
    status, connection = await clouds.back(query, **clouds.gateway.bearer())
    assert (status, connection["status"]) == (200, "connected")


async def test_a_session_cookie_is_enough_on_the_way_back_and_not_enough_for_a_strangers_page(clouds: Clouds) -> None:
    account = {"email": "browser@example.org", "password": "correct horse battery"}
    user_of = {"username": "browser", "role": "viewer", **account}
    status, user = await clouds.ask("POST", "/api/v1/users", json=user_of)
    assert status == 201, user
    async with clouds.gateway.http.post(f"{clouds.gateway.url}/api/auth/login", json=account) as response:
        session = {"Cookie": f"aurora_session={response.cookies['aurora_session'].value}"}
    body = {"userId": user["id"]}
    login = f"{clouds.gateway.url}/login"
    for origin, expected in (("https://evil.example.org", 403), (clouds.gateway.url, 200)):
        async with clouds.gateway.http.post(login, json=body, headers={**session, "Origin": origin}) as response:
            assert response.status == expected, origin
            begun = await response.json()
    status, connection = await clouds.back(await clouds.consent(begun["login_url"]), **session)
    assert (status, connection["status"]) == (200, "connected")
    ended = clouds.gateway.http.post(
        f"{clouds.gateway.url}/api/gcp/force-disconnect", headers={**session, "Origin": clouds.gateway.url}
    )
    async with ended as response:
        assert (await response.json())["status"] == "disconnected"
    assert not clouds.providers.live_grants()


async def test_a_machine_that_is_trusted_like_its_user_needs_no_cookie_but_a_proxy_of_it_does(
    clouds: Clouds, tmp_path: Path
) -> None:
    environment = {**clouds.gateway.environment, "AURORA_TRUSTED_PROXIES": "127.0.0.1"}
    async with process(environment, tmp_path / "second.log") as (url, _):
        by_header = {"X-User-ID": clouds.me}
        async with clouds.gateway.http.post(f"{url}/login", json={"userId": clouds.me}, headers=by_header) as response:
            assert response.status == 200
            query = await clouds.consent((await response.json())["login_url"])
        callback = f"{url}/callback?{query}"
        async with clouds.gateway.http.get(callback, headers={"X-Forwarded-For": "198.51.100.7"}) as response:
            assert response.status == 401
        async with clouds.gateway.http.get(callback) as response:
            assert response.status == 200


async def test_no_forged_or_foreign_state_is_taken(clouds: Clouds) -> None:
    query, cookie = await _began(clouds)
    state = parse_qs(query)["state"][0]
    key_id, _, box = state.partition(".")
    raw = bytearray(base64.urlsafe_b64decode(box))
    raw[-1] ^= 1
    flipped = f"{key_id}.{base64.urlsafe_b64encode(raw).decode()}"
    foreign = SealingKeys({key_id: b"k" * 32}).seal(b"anything", "cloud:state")
    forged = f"{key_id}.{base64.urlsafe_b64encode(foreign.box).decode()}"
    for wrong in ("", "x", "..", state[:-8], f"other.{box}", flipped, forged, "%00", "\u00e9", "A" * 5000):
        status, answer = await clouds.back(f"code=4/x&state={quote(wrong)}", Cookie=f"aurora_cloud={cookie}")
        assert (status, answer["code"]) == (400, "AURORA-4000"), wrong
    assert (await clouds.back("code=4/x"))[0] == 400


async def test_a_user_who_was_disabled_meanwhile_is_not_connected(clouds: Clouds) -> None:
    account = {"username": "sleeper", "role": "analyst", "password": "correct horse battery"}
    status, user = await clouds.ask("POST", "/api/v1/users", json=account)
    assert status == 201
    token = (await clouds.gateway.sign_in("sleeper", account["password"]))["access_token"]
    login_url, cookie = await clouds.begin(user["id"], token)
    query = await clouds.consent(login_url)
    assert (await clouds.ask("PATCH", "/api/v1/users/sleeper", json={"disabled": True}))[0] == 200
    assert (await clouds.back(query, Cookie=f"aurora_cloud={cookie}"))[0] == 401
    assert not clouds.providers.live_grants()


async def test_users_see_and_end_only_their_own_connections(clouds: Clouds) -> None:
    await clouds.connect_google()
    other = clouds.gateway.bearer(clouds.gateway.token_of("admin"))
    assert (await clouds.ask("GET", "/api/gcp/status", headers=other))[1]["status"] == "disconnected"
    assert (await clouds.ask("POST", "/api/gcp/force-disconnect", headers=other))[1]["status"] == "disconnected"
    assert (await clouds.ask("GET", "/api/gcp/status"))[1]["status"] == "connected"
    assert len(clouds.providers.live_grants()) == 1


async def test_sealed_credentials_open_only_where_they_were_put(clouds: Clouds) -> None:
    await clouds.connect_google()
    moved = "user_theother"
    await clouds.rows(f"UPDATE cloud_connections SET user_id = '{moved}' RETURNING 1")
    # That user doesn't exist, so the gateway sets about revoking: the seal breaks, and nothing is sent to Google.
    queue = f"SELECT * FROM cloud_revocations WHERE user_id = '{moved}' AND attempts > 1"
    await clouds.until_rows(queue, 1)
    assert len(clouds.providers.live_grants()) == 1
    await clouds.rows(f"UPDATE cloud_revocations SET user_id = '{clouds.me}', next_try_at = now() RETURNING 1")
    await until(lambda: not clouds.providers.live_grants(), "the revocation")


async def test_no_credential_is_ever_logged_answered_stored_open_or_in_argv(clouds: Clouds) -> None:
    answers: list[Any] = []
    _, aws = await clouds.ask("GET", "/api/aws/status")
    clouds.providers.trusts[ROLE] = aws["externalId"]
    azure = {"tenantId": TENANT, "clientId": APPLICATION, "clientSecret": clouds.providers.azure_secret}
    answers += [await clouds.connect_google()]
    answers += [await clouds.ask("POST", "/api/aws/connect", json={"roleArn": ROLE})]
    answers += [await clouds.ask("POST", "/api/azure/connect", json=azure)]
    answers += [await clouds.ask("POST", "/api/azure/connect", json={**azure, "clientId": TENANT})]
    answers += [await clouds.ask("POST", "/api/azure/connect", json={**azure, "tenantId": 7})]
    answers += [await clouds.ask("GET", f"/api/{provider}/status") for provider in ("gcp", "aws", "azure")]
    answers += [await clouds.ask("GET", "/api/v1/audit?limit=200")]
    clouds.providers.away = True
    answers += [await clouds.ask("POST", "/api/gcp/force-disconnect")]
    dump = await _everything_stored(clouds)
    assert "cloud_connections" in dump
    places = {
        "log": clouds.gateway.log_file.read_text(),
        "answers": str(answers),
        "database": dump,
        "argv and environment": _process_of(clouds),
    }
    secrets = [*clouds.providers.secret_texts(), *(line.split()[1] for line in clouds.keys.splitlines())]
    assert len(secrets) >= 9
    leaks = [(place, secret) for place, text in places.items() for secret in secrets if secret in text]
    assert not leaks


def _process_of(clouds: Clouds) -> str:
    process = psutil.Process(clouds.gateway.process.pid)
    return f"{process.cmdline()} {process.environ()}"


async def _everything_stored(clouds: Clouds) -> str:
    """Every row of the gateway's schema, as text and with its bytes readable."""
    tables = await clouds.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    rows = [(table, row) for (table,) in tables for row in await clouds.rows(f'SELECT * FROM "{table}"')]
    found = [f"{table}: {[_readable(value) for value in row]}" for table, row in rows]
    return "\n".join(found)


def _readable(value: Any) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


async def test_the_providers_must_be_reached_encrypted_off_this_machine(clouds: Clouds) -> None:
    environment = {**clouds.gateway.environment, "AURORA_AWS_STS_URL": "http://sts.example.org"}
    ended = subprocess.run(  # noqa: ASYNC221 - it ends at once, with a reason
        [sys.executable, "-m", "services", "gateway"], env=environment, capture_output=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    assert "AURORA_AWS_STS_URL: must be https" in ended.stderr.decode()
