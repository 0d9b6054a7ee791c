"""Cloud accounts through a real gateway, against stand-ins for Google's, AWS's and Azure's servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest_asyncio

from services.gateway.cloud.domain import challenge
from shared.sealing import new_key_line
from tests.cloud_providers import (
    ACCOUNT,
    APPLICATION,
    REDIRECT_URI,
    ROLE,
    TENANT,
)
from tests.clouds import Clouds, clouds_running
from tests.gateway import process
from tests.stack import Servers, until

GCP = "/api/gcp/status"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def everything(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Clouds]:
    async with clouds_running(servers, tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def clouds(everything: Clouds) -> AsyncIterator[Clouds]:
    yield everything
    await everything.disconnected()


async def test_login_answers_the_page_of_consent_with_pkce_and_a_state(clouds: Clouds) -> None:
    login_url, _ = await clouds.begin()
    query = {name: values[0] for name, values in parse_qs(urlsplit(login_url).query).items()}
    assert login_url.startswith(f"{clouds.providers.url}/o/oauth2/auth?")
    assert query["client_id"] == clouds.providers.client_id
    assert query["redirect_uri"] == REDIRECT_URI
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert (query["access_type"], query["prompt"]) == ("offline", "consent")
    assert len(query["code_challenge"]) == len(challenge("x"))
    assert clouds.me not in login_url
    assert (await clouds.begin())[0] != login_url


async def test_login_is_for_the_caller_alone(clouds: Clouds) -> None:
    status, answer = await clouds.ask("POST", "/login", json={"userId": "user_somebodyelse"})
    assert (status, answer["code"]) == (403, "AURORA-4030")
    assert answer["error"] == "userId is not the caller's own"
    status, answer = await clouds.ask("POST", "/login", json={})
    assert (status, answer["code"]) == (400, "AURORA-4000")
    async with clouds.gateway.http.post(clouds.gateway.url + "/login", json={"userId": clouds.me}) as response:
        assert (response.status, (await response.json())["code"]) == (401, "AURORA-4010")


async def test_google_is_connected_and_shown_without_its_credentials(clouds: Clouds) -> None:
    connection = await clouds.connect_google()
    assert connection["status"] == "connected"
    assert connection["scopes"] == ["https://www.googleapis.com/auth/cloud-platform.read-only"]
    status, shown = await clouds.ask("GET", GCP)
    assert (status, shown) == (200, connection)
    assert set(shown) == {"provider", "status", "connectedAt", "account", "identity", "scopes", "externalId"}


async def test_disconnecting_google_revokes_at_google_and_clears_the_credentials(clouds: Clouds) -> None:
    await clouds.connect_google()
    assert len(clouds.providers.live_grants()) == 1
    status, answer = await clouds.ask("POST", "/api/gcp/force-disconnect")
    assert (status, answer["status"]) == (200, "disconnected")
    assert answer["message"] == "Google Cloud account disconnected and credentials cleared"
    assert not clouds.providers.live_grants()
    assert not await clouds.rows("SELECT * FROM cloud_connections")
    assert not await clouds.rows("SELECT * FROM cloud_revocations")
    assert (await clouds.ask("POST", "/api/gcp/force-disconnect"))[1]["status"] == "disconnected"


async def test_a_revocation_waits_for_a_provider_that_is_away(clouds: Clouds) -> None:
    await clouds.connect_google()
    clouds.providers.away = True
    status, answer = await clouds.ask("POST", "/api/gcp/force-disconnect")
    assert (status, answer["status"]) == (200, "revoking")
    assert (await clouds.ask("GET", GCP))[1]["status"] == "revoking"
    assert not await clouds.rows("SELECT * FROM cloud_connections")
    status, refused = await clouds.ask("POST", "/login", json={"userId": clouds.me})
    assert (status, refused["code"]) == (409, "AURORA-4090")
    clouds.providers.away = False
    await until(lambda: not clouds.providers.live_grants(), "the revocation")
    await clouds.disconnected()
    await clouds.connect_google()


async def test_a_revocation_that_never_succeeds_is_given_up_on_record(clouds: Clouds) -> None:
    await clouds.connect_google()
    clouds.providers.away = True
    assert (await clouds.ask("POST", "/api/gcp/force-disconnect"))[1]["status"] == "revoking"
    await clouds.rows("UPDATE cloud_revocations SET requested_at = now() - interval '8 days', next_try_at = now()")
    await clouds.until_rows("SELECT FROM cloud_revocations", 0)
    given_up = "SELECT FROM audit WHERE action = 'cloud.revoked' AND outcome = 'failure' AND target = 'gcp'"
    await clouds.until_rows(given_up, 1)
    assert (await clouds.ask("GET", GCP))[1]["status"] == "disconnected"
    clouds.providers.grants.clear()


async def test_what_is_void_at_google_already_counts_as_revoked(clouds: Clouds) -> None:
    await clouds.connect_google()
    for grant in clouds.providers.grants.values():
        grant.revoked = True
    assert (await clouds.ask("POST", "/api/gcp/force-disconnect"))[1]["status"] == "disconnected"


async def test_google_is_connected_once_at_a_time(clouds: Clouds) -> None:
    await clouds.connect_google()
    status, answer = await clouds.ask("POST", "/login", json={"userId": clouds.me})
    assert (status, answer["code"]) == (409, "AURORA-4090")


async def test_no_access_granted_is_told(clouds: Clouds) -> None:
    clouds.providers.denies = True
    login_url, cookie = await clouds.begin()
    status, answer = await clouds.back(await clouds.consent(login_url), Cookie=f"aurora_cloud={cookie}")
    assert (status, answer) == (403, {"error": "Google Cloud access was not granted", "code": "AURORA-4030"})


async def test_a_browser_goes_back_to_the_frontend(clouds: Clouds) -> None:
    login_url, cookie = await clouds.begin()
    url = f"{clouds.gateway.url}/callback?{await clouds.consent(login_url)}"
    headers = {"Cookie": f"aurora_cloud={cookie}", "Accept": "text/html,application/xhtml+xml"}
    async with clouds.gateway.http.get(url, headers=headers, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "https://console.example.org")
        assert response.cookies["aurora_cloud"]["max-age"] == "0"


async def test_google_away_is_told_and_the_sign_in_can_begin_again(clouds: Clouds) -> None:
    login_url, cookie = await clouds.begin()
    query = await clouds.consent(login_url)
    clouds.providers.away = True
    status, answer = await clouds.back(query, Cookie=f"aurora_cloud={cookie}")
    assert (status, answer["code"]) == (503, "AURORA-5030")
    clouds.providers.away = False
    await clouds.connect_google()


async def test_a_redirect_of_a_provider_is_not_followed(clouds: Clouds) -> None:
    clouds.providers.redirects = True
    given = {"tenantId": TENANT, "clientId": APPLICATION, "clientSecret": clouds.providers.azure_secret}
    status, answer = await clouds.ask("POST", "/api/azure/connect", json=given)
    assert (status, answer["code"]) == (503, "AURORA-5030")
    assert "/elsewhere" not in clouds.providers.seen


async def test_aws_is_connected_by_a_role_that_asks_for_the_external_id(clouds: Clouds) -> None:
    status, before = await clouds.ask("GET", "/api/aws/status")
    assert (status, before["status"]) == (200, "disconnected")
    assert before["externalId"].startswith("aurora-")
    clouds.providers.trusts[ROLE] = before["externalId"]
    status, connection = await clouds.ask("POST", "/api/aws/connect", json={"roleArn": ROLE})
    assert status == 200, connection
    assert (connection["account"], connection["identity"]) == (ACCOUNT, ROLE)
    assert (await clouds.ask("GET", "/api/aws/status"))[1] == connection
    assert connection["externalId"] == before["externalId"]
    assert (await clouds.ask("POST", "/api/aws/disconnect"))[1]["status"] == "disconnected"
    assert (await clouds.ask("GET", "/api/aws/status"))[1] == before


async def test_a_role_must_trust_aurora_and_ask_for_this_users_external_id(clouds: Clouds) -> None:
    roles = {
        "Stranger": ("aurora-another", "can't be assumed"),
        "Open": (None, "without asking for the external id"),
    }
    for name, (external_id, why) in roles.items():
        role = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        clouds.providers.trusts[role] = external_id
        status, answer = await clouds.ask("POST", "/api/aws/connect", json={"roleArn": role})
        assert (status, answer["code"]) == (400, "AURORA-4000"), name
        assert why in answer["error"]
    unknown = f"arn:aws:iam::{ACCOUNT}:role/Unknown"
    assert (await clouds.ask("POST", "/api/aws/connect", json={"roleArn": unknown}))[0] == 400
    for no_role in ("arn:aws:s3:::bucket", ROLE + "\n", "", "arn:aws:iam::1:role/x"):
        assert (await clouds.ask("POST", "/api/aws/connect", json={"roleArn": no_role}))[0] == 400
    assert (await clouds.ask("GET", "/api/aws/status"))[1]["status"] == "disconnected"


async def test_every_user_has_an_external_id_of_their_own(clouds: Clouds) -> None:
    _, mine = await clouds.ask("GET", "/api/aws/status")
    other = clouds.gateway.bearer(clouds.gateway.token_of("analyst"))
    _, theirs = await clouds.ask("GET", "/api/aws/status", headers=other)
    assert mine["externalId"] != theirs["externalId"]


async def test_azure_is_connected_by_client_credentials_that_its_tenant_accepts(clouds: Clouds) -> None:
    given = {"tenantId": TENANT, "clientId": APPLICATION, "clientSecret": clouds.providers.azure_secret}
    status, connection = await clouds.ask("POST", "/api/azure/connect", json=given)
    assert status == 200, connection
    assert (connection["account"], connection["identity"]) == (TENANT, APPLICATION)
    assert (await clouds.ask("GET", "/api/azure/status"))[1] == connection
    assert (await clouds.ask("POST", "/api/azure/disconnect"))[1]["status"] == "disconnected"
    assert (await clouds.ask("GET", "/api/azure/status"))[1]["status"] == "disconnected"


async def test_azure_refuses_a_wrong_secret_and_a_wrong_tenant(clouds: Clouds) -> None:
    right = {"tenantId": TENANT, "clientId": APPLICATION, "clientSecret": clouds.providers.azure_secret}
    for wrong in ({"clientSecret": "guessed"}, {"tenantId": APPLICATION}):
        status, answer = await clouds.ask("POST", "/api/azure/connect", json={**right, **wrong})
        assert (status, answer["code"]) == (400, "AURORA-4000")
    before = len(clouds.providers.seen)
    for hostile in ("../../evil", TENANT + "\n", f"{TENANT}/../..", "common"):
        assert (await clouds.ask("POST", "/api/azure/connect", json={**right, "tenantId": hostile}))[0] == 400
    assert len(clouds.providers.seen) == before


async def test_a_key_connects_nothing(clouds: Clouds) -> None:
    _, key = await clouds.ask("POST", "/api/v1/auth/api-keys", json={"name": "k", "scopes": ["system:write"]})
    headers = clouds.gateway.bearer(key["key"])
    for method, path in (("GET", GCP), ("POST", "/api/gcp/force-disconnect"), ("GET", "/api/aws/status")):
        status, answer = await clouds.ask(method, path, headers=headers)
        assert (status, answer["code"]) == (403, "AURORA-4030")


async def test_connecting_and_disconnecting_are_audited(clouds: Clouds) -> None:
    await clouds.connect_google()
    await clouds.ask("POST", "/api/gcp/force-disconnect")
    _, page = await clouds.ask("GET", "/api/v1/audit?action=cloud&target=gcp&limit=3")
    acts = [(row["action"], row["outcome"], row["actor"]) for row in page["items"]]
    assert acts == [(f"cloud.{act}", "success", clouds.me) for act in ("revoked", "disconnected", "connected")]
    assert all(row["request_id"] and row["address"] == "127.0.0.1" for row in page["items"])


async def test_whoever_is_deleted_is_disconnected_and_revoked(clouds: Clouds) -> None:
    account = {"username": "leaver", "role": "viewer", "password": "correct horse battery"}
    status, user = await clouds.ask("POST", "/api/v1/users", json=account)
    assert status == 201, user
    token = (await clouds.gateway.sign_in("leaver", account["password"]))["access_token"]
    assert (await clouds.connect_google(user["id"], token))["status"] == "connected"
    assert (await clouds.ask("DELETE", "/api/v1/users/leaver"))[0] == 204
    await until(lambda: not clouds.providers.live_grants(), "the revocation")
    await clouds.until_rows("SELECT user_id FROM cloud_connections UNION SELECT user_id FROM cloud_revocations", 0)


async def test_a_new_key_seals_what_an_older_one_did(clouds: Clouds, tmp_path: Path) -> None:
    await clouds.connect_google()
    keys = clouds.keys
    old = keys.split()[0]
    assert [row["key_id"] for row in await clouds.rows("SELECT key_id FROM cloud_connections")] == [old]
    ring = tmp_path / "cloud.key"
    ring.write_text(new_key_line() + keys)
    environment = {**clouds.gateway.environment, "AURORA_CLOUD_KEY_FILE": str(ring)}
    async with process(environment, tmp_path / "second.log") as (url, _):
        await clouds.until_rows(f"SELECT * FROM cloud_connections WHERE key_id = '{old}'", 0)
        disconnect = clouds.gateway.http.post(f"{url}/api/gcp/force-disconnect", headers=clouds.gateway.bearer())
        async with disconnect as response:
            assert (await response.json())["status"] == "disconnected"
    assert not clouds.providers.live_grants()


async def test_without_a_key_file_cloud_sign_in_is_off_and_all_else_works(clouds: Clouds, tmp_path: Path) -> None:
    environment = {k: v for k, v in clouds.gateway.environment.items() if k != "AURORA_CLOUD_KEY_FILE"}
    async with process(environment, tmp_path / "second.log") as (url, _):
        headers = clouds.gateway.bearer()
        async with clouds.gateway.http.get(url + GCP, headers=headers) as response:
            assert (response.status, (await response.json())["code"]) == (503, "AURORA-5030")
        async with clouds.gateway.http.get(f"{url}/api/v1/users/me", headers=headers) as response:
            assert response.status == 200
