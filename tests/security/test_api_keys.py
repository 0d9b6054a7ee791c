"""What an API key can't do: outlive its end, do more than its scopes or its owner, make keys, or be read anywhere."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from shared.clock import new_id
from tests.gateway import Gateway, gateway
from tests.stack import Servers

KEYS = "/api/v1/auth/api-keys"
INGEST = "/api/v1/siem/logs/ingest"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def database(running: Gateway) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(running.environment["AURORA_POSTGRES_DSN"])
    yield connection
    await connection.close()


async def _create(running: Gateway, *scopes: str, token: str | None = None, **more: Any) -> dict[str, Any]:
    body = {"name": "a shipper", "scopes": list(scopes), **more}
    status, answer, _ = await running.ask("POST", KEYS, json=body, headers=running.bearer(token))
    assert status == 201, answer
    key: dict[str, Any] = answer
    return key


async def _user(database: Any, role: str) -> str:
    name = f"user_{secrets.token_hex(13)}"
    await database.execute(
        "INSERT INTO users (id, username, username_key, name, role, created_at) VALUES ($1, $1, $1, $1, $2, now())",
        name,
        role,
    )
    return name


async def _code(
    running: Gateway, key: str, method: str = "POST", path: str = INGEST, **options: Any
) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {key}"}
    async with running.http.request(method, running.url + path, headers=headers, **options) as response:
        answer = await response.json() if response.content_type.endswith("json") else {}
        return response.status, answer.get("error", {}).get("code", "") if response.status >= 400 else ""


async def test_an_expired_key_is_refused(running: Gateway) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    key = await _create(running, "siem:write", expires_at=soon.isoformat())
    async with asyncio.timeout(20):
        while (answer := await _code(running, key["key"], json=[{}])) != (401, "AURORA-4011"):
            assert answer[0] < 300
            await asyncio.sleep(0.1)


async def test_a_key_does_only_what_its_scopes_say(running: Gateway) -> None:
    key = await _create(running, "alerts:read")
    assert (await _code(running, key["key"], "GET", "/api/v1/alerts"))[0] == 200
    assert await _code(running, key["key"], json=[{}]) == (403, "AURORA-4030")


async def test_nobody_gives_a_key_more_than_they_have(running: Gateway, database: Any) -> None:
    viewer = running.token_of("viewer", sub=await _user(database, "viewer"))
    body = {"name": "x", "scopes": ["alerts:read", "siem:write"]}
    status, answer, _ = await running.ask("POST", KEYS, json=body, headers=running.bearer(viewer))
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "body.scopes[1]")


async def test_a_key_loses_what_its_owner_may_no_longer_do(running: Gateway, database: Any) -> None:
    owner = await _user(database, "analyst")
    key = await _create(running, "siem:write", token=running.token_of("analyst", sub=owner))
    await database.execute("UPDATE users SET role = 'viewer' WHERE id = $1", owner)
    assert await _code(running, key["key"], json=[{}]) == (403, "AURORA-4030")


async def test_a_scope_that_is_no_longer_there_opens_nothing(running: Gateway, database: Any) -> None:
    key = await _create(running, "siem:write")
    await database.execute("UPDATE api_keys SET scopes = '{siem:everything}' WHERE id = $1", key["id"])
    assert await _code(running, key["key"], json=[{}]) == (403, "AURORA-4030")


async def test_a_key_ends_with_its_owners_account(running: Gateway, database: Any) -> None:
    owner = await _user(database, "analyst")
    key = await _create(running, "siem:write", token=running.token_of("analyst", sub=owner))
    assert (await _code(running, key["key"], json=[{}]))[0] < 300
    await database.execute("UPDATE users SET disabled_at = now() WHERE id = $1", owner)
    async with asyncio.timeout(10):
        while await _code(running, key["key"], json=[{}]) != (401, "AURORA-4012"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def test_nobody_but_its_owner_gives_a_key_a_new_secret(running: Gateway, database: Any) -> None:
    owner = running.token_of("analyst", sub=await _user(database, "analyst"))
    key = await _create(running, "siem:write", token=owner)
    rotate = f"{KEYS}/{key['id']}/rotate"
    other = running.token_of("analyst", sub=await _user(database, "analyst"))
    # Not an administrator either: whoever has the secret acts as its owner's key.
    for token in (other, running.token):
        status, answer, _ = await running.ask("POST", rotate, json={}, headers=running.bearer(token))
        assert (status, answer["error"]["code"]) == (404, "AURORA-4040")
    assert await _code(running, key["key"], path=rotate, json={}) == (403, "AURORA-4030")
    assert (await _code(running, key["key"], json=[{}]))[0] < 300


async def test_a_key_that_is_over_gets_no_new_secret(running: Gateway, database: Any) -> None:
    key = await _create(running, "siem:write")
    await database.execute("UPDATE api_keys SET expires_at = now() WHERE id = $1", key["id"])
    status, answer, _ = await running.ask("POST", f"{KEYS}/{key['id']}/rotate", json={})
    assert (status, answer["error"]["code"]) == (409, "AURORA-4090")
    assert (await running.ask("DELETE", f"{KEYS}/{key['id']}"))[0] == 204
    status, answer, _ = await running.ask("POST", f"{KEYS}/{key['id']}/rotate", json={})
    assert (status, answer["error"]["code"]) == (404, "AURORA-4040")


async def test_of_old_secrets_only_the_latest_has_a_grace(running: Gateway) -> None:
    key = await _create(running, "siem:write")
    texts = [key["key"]]
    for _ in range(2):
        _, rotated, _ = await running.ask("POST", f"{KEYS}/{key['id']}/rotate", json={"grace_seconds": 600})
        texts.append(rotated["key"])
    assert await _code(running, texts[0], json=[{}]) == (401, "AURORA-4012")
    for text in texts[1:]:
        assert (await _code(running, text, json=[{}]))[0] < 300
    assert (await running.ask("DELETE", f"{KEYS}/{key['id']}"))[0] == 204
    for text in texts:
        assert await _code(running, text, json=[{}]) == (401, "AURORA-4012")


@pytest.mark.parametrize("grace", [-1, 7 * 24 * 3600 + 1, "soon"])
async def test_a_grace_has_its_bounds(running: Gateway, grace: Any) -> None:
    key = await _create(running, "siem:write")
    status, answer, _ = await running.ask("POST", f"{KEYS}/{key['id']}/rotate", json={"grace_seconds": grace})
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "body.grace_seconds")


async def test_what_is_done_with_keys_is_audited_without_their_secrets(running: Gateway) -> None:
    key = await _create(running, "siem:write")
    _, rotated, _ = await running.ask("POST", f"{KEYS}/{key['id']}/rotate", json={"grace_seconds": 5})
    assert (await running.ask("DELETE", f"{KEYS}/{key['id']}"))[0] == 204
    _, page, _ = await running.get(f"/api/v1/audit?target={key['id']}")
    assert [record["action"] for record in page["items"]] == ["key.revoked", "key.rotated", "key.created"]
    for text in (key["key"], rotated["key"]):
        assert text.split("_", 2)[2] not in str(page) + running.log_file.read_text()


async def test_a_key_makes_lists_and_revokes_no_keys(running: Gateway) -> None:
    key = await _create(running, "siem:write")
    body = {"name": "x", "scopes": ["siem:write"]}
    assert await _code(running, key["key"], path=KEYS, json=body) == (403, "AURORA-4030")
    assert await _code(running, key["key"], "GET", KEYS) == (403, "AURORA-4030")
    assert await _code(running, key["key"], "DELETE", f"{KEYS}/{key['id']}") == (403, "AURORA-4030")
    assert await _code(running, key["key"], path="/api/v1/auth/logout") == (403, "AURORA-4030")
    assert (await _code(running, key["key"], json=[{}]))[0] < 300


async def test_another_users_key_is_not_there(running: Gateway, database: Any) -> None:
    key = await _create(running, "siem:write")
    other = running.token_of("analyst", sub=await _user(database, "analyst"))
    _, page, _ = await running.get(KEYS, headers=running.bearer(other))
    assert page["items"] == []
    status, _, _ = await running.ask("DELETE", f"{KEYS}/{key['id']}", headers=running.bearer(other))
    assert status == 404
    assert (await _code(running, key["key"], json=[{}]))[0] < 300


async def test_no_wrong_key_opens_anything(running: Gateway) -> None:
    key = await _create(running, "siem:write")
    secret = key["key"].split("_", 2)[2]
    assert (await _code(running, key["key"], json=[{}]))[0] < 300
    wrong = [key["key"] + "x", key["key"][:-1], f"aur_{new_id().replace('-', '')}_{secret}", "aur_", "aur__", "aur_x_y"]
    wrong += ["aur_" + "9" * 5000 + "_x", f"aur_{key['id']}_"]
    for text in wrong:
        assert await _code(running, text, json=[{}]) == (401, "AURORA-4012"), text
        for scheme, value in (("Splunk", text), ("ApiKey", text), ("Basic", _base64("u:" + text)), ("ApiKey", "%%")):
            headers = {"Authorization": f"{scheme} {value}"}
            async with running.http.post(running.url + INGEST, json=[{}], headers=headers) as response:
                assert response.status == 401, (scheme, text)


async def test_a_users_password_opens_nothing_as_basic(running: Gateway) -> None:
    headers = {"Authorization": "Basic " + _base64("admin:correct horse battery staple")}
    async with running.http.post(running.url + INGEST, json=[{}], headers=headers) as response:
        assert response.status == 401


async def test_each_door_refuses_a_key_in_its_products_words(running: Gateway) -> None:
    revoked, poor = await _create(running, "siem:write"), await _create(running, "siem:read")
    assert (await running.ask("DELETE", f"{KEYS}/{revoked['id']}"))[0] == 204

    async def ask(path: str, authorization: str) -> tuple[int, str, Any]:
        headers = {"Authorization": authorization}
        async with running.http.post(running.url + path, data=b"{}", headers=headers) as response:
            if path == "/_bulk":
                assert response.headers["X-Elastic-Product"] == "Elasticsearch"
            return response.status, response.headers["X-Aurora-Error"], await response.json()

    for key, status, code in ((revoked, 401, "AURORA-4012"), (poor, 403, "AURORA-4030")):
        told = await ask("/_bulk", "Basic " + _base64("u:" + key["key"]))
        assert told[:2] == (status, code)
        assert told[2]["error"]["type"] == "security_exception"
        told = await ask("/services/collector/event", "Splunk " + key["key"])
        assert (told[:2], told[2]["code"]) == ((status, code), 4)
    arrived = len(running.upstreams["siem"].seen)
    assert (await ask("/services/collector", "Basic " + _base64("a:b")))[2] == {"text": "Token is required", "code": 2}
    assert len(running.upstreams["siem"].seen) == arrived


async def test_keys_are_kept_as_hashes_only(running: Gateway, database: Any) -> None:
    key = await _create(running, "siem:write")
    kept = await database.fetch("SELECT t::text, encode(secret_hash, 'escape') FROM api_keys t")
    assert key["key"].split("_", 2)[2] not in str(kept)
    assert key["key"] not in str(kept)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
