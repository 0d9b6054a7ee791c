"""The gateway's own writes under an Idempotency-Key, what is kept of them, and keys of gateways that die."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio as redis

from shared.contracts.logs import INGEST_LOGS
from shared.http import Call
from tests.gateway import Gateway, Upstream, gateway, process
from tests.stack import Servers

KEYS, USERS, SETTINGS = "/api/v1/auth/api-keys", "/api/v1/users", "/api/v1/settings/runtime"
LEASE_SECONDS = 3
#: What must happen soon after a lease is waited for no longer than this, on a machine that is busy too.
SOON_SECONDS = 30


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    async with gateway(servers, folder, idempotency_lease_seconds=str(LEASE_SECONDS)) as started:
        yield started


@pytest.fixture
def siem(running: Gateway) -> Any:
    service = running.upstreams["siem"]
    yield service
    service.answers.clear()
    service.seen.clear()


async def _keyed(running: Gateway, method: str, path: str, key: str, **options: Any) -> tuple[int, Any, Any]:
    headers = {"Idempotency-Key": key, **options.pop("headers", {})}
    return await running.ask(method, path, headers=headers, **options)


def _user(**more: Any) -> dict[str, Any]:
    return {"username": f"user-{secrets.token_hex(6)}", "role": "viewer", "password": secrets.token_hex(8), **more}


async def _ingest(running: Gateway, url: str, key: str) -> int:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, **running.bearer()}
    async with running.http.post(url + INGEST_LOGS.path, data=b"[{}]", headers=headers) as response:
        await response.read()
        return response.status


async def test_a_user_is_made_once_under_a_key(running: Gateway) -> None:
    key, asked = secrets.token_hex(8), _user()
    first = await _keyed(running, "POST", USERS, key, json=asked)
    second = await _keyed(running, "POST", USERS, key, json=asked)
    assert (first[0], first[1]["username"]) == (201, asked["username"])
    assert second[:2] == first[:2]
    assert "Idempotency-Replayed" not in first[2]
    assert second[2]["Idempotency-Replayed"] == "true"
    assert second[2]["Content-Type"] == first[2]["Content-Type"]
    assert second[2]["X-Request-ID"] != first[2]["X-Request-ID"]


async def test_a_key_of_an_own_write_serves_no_other_write(running: Gateway) -> None:
    key, asked = secrets.token_hex(8), _user()
    assert (await _keyed(running, "POST", USERS, key, json=asked))[0] == 201
    for path, body in ((USERS, _user()), (KEYS, {"name": "a", "scopes": ["alerts:read"]})):
        status, answer, _ = await _keyed(running, "POST", path, key, json=body)
        assert (status, answer["error"]["code"]) == (409, "AURORA-4090")


async def test_the_secret_of_a_new_key_is_told_again_and_is_not_kept_readable(
    running: Gateway, servers: Servers
) -> None:
    key, asked = secrets.token_hex(8), {"name": "a shipper", "scopes": ["siem:write"]}
    _, made, _ = await _keyed(running, "POST", KEYS, key, json=asked)
    status, again, headers = await _keyed(running, "POST", KEYS, key, json=asked)
    assert (status, again, headers["Idempotency-Replayed"]) == (201, made, "true")
    async with redis.Redis.from_url(
        running.environment["AURORA_REDIS_URL"], password=servers.redis_password
    ) as connection:
        kept = [str(await connection.get(name)) async for name in connection.scan_iter("gateway:once:*")]
    secret = made["key"].split("_", 2)[2]
    assert kept
    assert not [value for value in kept if secret in value or made["id"] in value]


async def test_a_change_is_told_again_with_its_revision_and_not_made_again(running: Gateway) -> None:
    key, asked = secrets.token_hex(8), {"chat_requests_per_minute": 19, "reason": "a test"}
    first = await _keyed(running, "PATCH", SETTINGS, key, json=asked)
    second = await _keyed(running, "PATCH", SETTINGS, key, json=asked)
    assert first[0] == 200, first[1]
    assert second[:2] == first[:2]
    assert second[2]["ETag"] == first[2]["ETag"] == (await running.get(SETTINGS))[2]["ETag"]
    for condition in ("", '"999"'):
        status, answer, _ = await _keyed(running, "PATCH", SETTINGS, key, json=asked, headers={"If-Match": condition})
        assert (status, answer["error"]["code"]) == (409, "AURORA-4090"), "bound to a revision it is another request"


async def test_a_deletion_sent_again_is_no_404(running: Gateway) -> None:
    key, asked = secrets.token_hex(8), _user()
    assert (await running.ask("POST", USERS, json=asked))[0] == 201
    path = f"{USERS}/{asked['username']}"
    assert [(await _keyed(running, "DELETE", path, key))[0] for _ in range(2)] == [204, 204]
    assert (await running.ask("DELETE", path))[0] == 404


async def test_a_refusal_of_an_own_write_is_told_again(running: Gateway) -> None:
    key, asked = secrets.token_hex(8), _user(role="emperor")
    first = await _keyed(running, "POST", USERS, key, json=asked)
    second = await _keyed(running, "POST", USERS, key, json=asked)
    refusals = [answer["error"] for _, answer, _ in (first, second)]
    assert [refusal["detail"][0]["path"] for refusal in refusals] == ["body.role", "body.role"]
    assert (first[0], refusals[0]["request_id"]) == (second[0], refusals[1]["request_id"])
    assert second[2]["Idempotency-Replayed"] == "true"


async def test_a_kept_answer_is_told_to_nobody_who_may_not_ask(running: Gateway) -> None:
    key, asked = secrets.token_hex(8), _user()
    admin = {"sub": f"user_{secrets.token_hex(8)}"}
    as_admin, as_viewer = running.token_of("admin", **admin), running.token_of("viewer", **admin)
    assert (await _keyed(running, "POST", USERS, key, json=asked, headers=running.bearer(as_admin)))[0] == 201
    status, answer, _ = await _keyed(running, "POST", USERS, key, json=asked, headers=running.bearer(as_viewer))
    assert (status, answer["error"]["code"]) == (403, "AURORA-4030")


async def test_a_malformed_key_and_a_body_too_large_are_refused_and_leave_the_key_free(running: Gateway) -> None:
    key, asked = secrets.token_hex(8), _user()
    status, answer, _ = await _keyed(running, "POST", USERS, "a b", json=asked)
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "header.Idempotency-Key")
    assert (await _keyed(running, "POST", USERS, key, data=b"x" * 100_000))[0] == 413
    assert (await _keyed(running, "POST", USERS, key, json=asked))[0] == 201


async def test_a_key_stays_claimed_for_as_long_as_its_write_takes(running: Gateway, siem: Upstream) -> None:
    key, arrived, go_on = secrets.token_hex(8), asyncio.Event(), asyncio.Event()

    async def slow(_call: Call[Any, Any]) -> dict[str, bool]:
        arrived.set()
        await go_on.wait()
        return {"done": True}

    siem.answers[INGEST_LOGS] = slow
    clock = asyncio.get_running_loop()
    first = asyncio.create_task(_ingest(running, running.url, key))
    async with asyncio.timeout(SOON_SECONDS):
        await arrived.wait()
        until = clock.time() + 1.5 * LEASE_SECONDS
        while clock.time() < until:
            assert await _ingest(running, running.url, key) == 409
            await asyncio.sleep(0.1)
        go_on.set()
        assert await first == 202
        assert await _ingest(running, running.url, key) == 202
    assert len(siem.seen) == 1


async def test_a_key_of_a_gateway_that_died_is_free_soon(running: Gateway, siem: Upstream, tmp_path: Path) -> None:
    key, arrived, go_on = secrets.token_hex(8), asyncio.Event(), asyncio.Event()

    async def stuck(_call: Call[Any, Any]) -> dict[str, bool]:
        arrived.set()
        await go_on.wait()
        return {"done": True}

    siem.answers[INGEST_LOGS] = stuck
    async with asyncio.timeout(SOON_SECONDS), process(running.environment, tmp_path / "second.log") as (url, second):
        first = asyncio.create_task(_ingest(running, url, key))
        await arrived.wait()
        second.kill()
        await second.wait()
        with pytest.raises(Exception, match=r"(?i)disconnect|reset|payload"):
            await first
        assert await _ingest(running, running.url, key) == 409
        go_on.set()
        status = 409
        while status == 409:
            await asyncio.sleep(0.1)
            status = await _ingest(running, running.url, key)
        assert status == 202
