"""What must not be possible with cookies, with a header that names a user, and by guessing."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import redis.asyncio as redis

from tests.gateway import Gateway, gateway
from tests.stack import Servers

PASSWORD = "securepassword123"
CHANGE = "/api/auth/change-password"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    settings = {
        "trusted_proxies": "127.0.0.0/8",
        "registration_role": "analyst",
        "requests_per_minute": "100000",
        "rca_requests_per_minute": "100000",
        "frontend_url": "https://soc.example.org",
    }
    async with gateway(servers, tmp_path_factory.mktemp("gateway"), **settings) as started:
        yield started


async def _ask(
    running: Gateway, method: str, path: str, headers: Mapping[str, str], body: Any = None
) -> tuple[int, Any, aiohttp.ClientResponse]:
    """Without any cookie jar: each request says what it says."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.request(method, running.url + path, headers=headers, json=body) as response,
    ):
        return response.status, await response.json() if response.content_type.endswith("json") else None, response


async def _registered(running: Gateway) -> dict[str, Any]:
    body = {"email": f"{secrets.token_hex(6)}@example.org", "password": PASSWORD, "name": "Mallory"}
    status, user, _ = await _ask(running, "POST", "/api/auth/register", {}, body)
    assert status == 201, user
    made: dict[str, Any] = user
    return made


async def _cookie(running: Gateway, user: Mapping[str, Any]) -> str:
    body = {"email": user["email"], "password": PASSWORD}
    _, _, response = await _ask(running, "POST", "/api/auth/login", {}, body)
    return f"aurora_session={response.cookies['aurora_session'].value}"


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example.org", "null", "http://127.0.0.1:1", "https://soc.example.org.evil"]
)
async def test_a_cookie_changes_nothing_for_a_page_of_somebody_else(running: Gateway, origin: str | None) -> None:
    user = await _registered(running)
    headers = {"Cookie": await _cookie(running, user), **({} if origin is None else {"Origin": origin})}
    for method, path, body in (
        ("POST", CHANGE, {"currentPassword": PASSWORD, "newPassword": "taken over now"}),
        ("PATCH", "/api/v1/users/me", {"email": "evil@example.org"}),
        ("POST", "/api/v1/auth/api-keys", {"name": "x", "scopes": ["alerts:read"]}),
        ("POST", "/api/v1/auth/logout", None),
    ):
        status, _, _ = await _ask(running, method, path, headers, body)
        assert status == 403, (method, path)
    status, _, _ = await _ask(running, "GET", "/api/v1/ws/alerts", {**headers, **UPGRADE})
    assert status == 403
    assert (await _ask(running, "GET", "/api/v1/users/me", headers))[0] == 200


@pytest.mark.parametrize("origin", ["https://soc.example.org", "own"])
async def test_a_cookie_works_for_a_page_of_ours(running: Gateway, origin: str) -> None:
    user = await _registered(running)
    headers = {"Cookie": await _cookie(running, user), "Origin": running.url if origin == "own" else origin}
    status, profile, _ = await _ask(running, "PATCH", "/api/v1/users/me", headers, {"name": "Alice"})
    assert (status, profile["name"]) == (200, "Alice")


async def test_no_page_of_somebody_else_signs_a_browser_in(running: Gateway) -> None:
    user = await _registered(running)
    evil = {"Origin": "https://evil.example.org"}
    body = {"email": user["email"], "password": PASSWORD}
    status, _, response = await _ask(running, "POST", "/api/auth/login", evil, body)
    assert status == 403
    assert "Set-Cookie" not in response.headers
    assert (await _ask(running, "POST", "/api/auth/register", evil, {**body, "name": "x"}))[0] == 403


@pytest.mark.parametrize("value", ["", "x", "x" * 43, "x" * 5000, "../../etc", "aurr_" + "x" * 43])
async def test_no_wrong_cookie_opens_anything(running: Gateway, value: str) -> None:
    status, answer, _ = await _ask(running, "GET", "/api/v1/users/me", {"Cookie": f"aurora_session={value}"})
    assert (status, answer["error"]["code"][:10]) == (401, "AURORA-401")


async def test_a_header_names_a_user_on_the_paths_of_its_page_only(running: Gateway) -> None:
    _, me, _ = await running.get("/api/v1/users/me")
    for method, path in (
        ("GET", "/api/v1/users/me"),
        ("GET", "/api/v1/users"),
        ("GET", "/metrics"),
        ("POST", "/services/collector"),
        ("POST", "/_bulk"),
    ):
        status, _, _ = await _ask(running, method, path, {"X-User-ID": me["id"]})
        assert status == 401, path


async def test_a_header_from_a_page_of_somebody_else_is_refused(running: Gateway) -> None:
    user = await _registered(running)
    headers = {"X-User-ID": user["id"], "Origin": "https://evil.example.org"}
    body = {"currentPassword": PASSWORD, "newPassword": "taken over now"}
    status, answer, _ = await _ask(running, "POST", CHANGE, headers, body)
    assert (status, answer["code"]) == (403, "AURORA-4030")


async def test_a_header_that_names_somebody_else_than_the_token_is_refused(running: Gateway) -> None:
    user, other = await _registered(running), await _registered(running)
    token = (await running.sign_in(user["email"], PASSWORD))["access_token"]
    body = {"currentPassword": PASSWORD, "newPassword": "another evening"}
    for shown in ({**running.bearer(token)}, {"Cookie": await _cookie(running, user), "Origin": running.url}):
        status, answer, _ = await _ask(running, "POST", CHANGE, {**shown, "X-User-ID": other["id"]}, body)
        assert (status, answer["code"]) == (401, "AURORA-4012")
    shown = {**running.bearer(token), "X-User-ID": user["id"]}
    assert (await _ask(running, "POST", CHANGE, shown, body))[0] == 200


@pytest.mark.parametrize("named", ["user_abc123", "admin", "x" * 5000, "user_" + "a" * 26, "' OR 1=1 --"])
async def test_an_unknown_user_named_by_header_is_nobody(running: Gateway, named: str) -> None:
    status, answer, _ = await _ask(running, "POST", CHANGE, {"X-User-ID": named}, {})
    assert (status, answer["code"]) == (401, "AURORA-4012")


async def test_a_disabled_user_is_not_named_by_header(running: Gateway) -> None:
    user = await _registered(running)
    path = f"/api/v1/users/{user['email']}"
    assert (await running.ask("PATCH", path, json={"disabled": True}))[0] == 200
    body = {"currentPassword": PASSWORD, "newPassword": "another evening"}
    assert (await _ask(running, "POST", CHANGE, {"X-User-ID": user["id"]}, body))[0] == 401


async def test_nobody_registers_as_more_than_the_operator_said(running: Gateway) -> None:
    body = {"email": f"{secrets.token_hex(6)}@example.org", "password": PASSWORD, "name": "x", "role": "admin"}
    status, user, _ = await _ask(running, "POST", "/api/auth/register", {}, {**body, "id": "user_admin"})
    assert (status, user["id"] != "user_admin") == (201, True)
    _, shown, _ = await running.get(f"/api/v1/users/{body['email']}")
    assert shown["role"] == "analyst"


async def test_an_unknown_address_costs_what_a_wrong_password_costs(running: Gateway) -> None:
    user = await _registered(running)

    async def seconds(email: str) -> float:
        started = time.perf_counter()
        await _ask(running, "POST", "/api/auth/login", {}, {"email": email, "password": "wrong password"})
        return time.perf_counter() - started

    known = [await seconds(user["email"]) for _ in range(5)]
    unknown = [await seconds("nobody@example.org") for _ in range(5)]
    assert 0.4 < median(unknown) / median(known) < 2.5


async def test_ids_of_users_are_told_to_administrators_and_their_owner_only(running: Gateway) -> None:
    user = await _registered(running)
    token = running.bearer((await running.sign_in(user["email"], PASSWORD))["access_token"])
    assert (await running.get("/api/v1/users", headers=token))[0] == 403
    assert (await running.get("/api/v1/audit", headers=token))[0] == 403
    _, me, _ = await running.get("/api/v1/users/me")
    for path in ("/api/v1/users/me", "/api/v1/auth/sessions", "/api/v1/auth/api-keys", "/api/v1/auth/providers"):
        _, told, _ = await running.get(path, headers=token)
        assert me["id"] not in str(told)


async def test_guessing_is_held_back_on_both_doors_and_longer_each_time(servers: Servers, tmp_path: Path) -> None:
    settings = {"login_attempts_per_minute": "2", "rca_requests_per_minute": "1000"}
    async with gateway(servers, tmp_path, **settings) as strict:
        user = await _registered(strict)
        wrong = {"email": user["email"], "password": "wrong password"}
        statuses = [(await _ask(strict, "POST", "/api/auth/login", {}, wrong))[0] for _ in range(4)]
        assert statuses == [401, 401, 429, 429]
        _, answer, response = await _ask(strict, "POST", "/api/auth/login", {}, {**wrong, "password": PASSWORD})
        assert (response.status, answer["code"]) == (429, "AURORA-4290")
        assert 0 < int(response.headers["Retry-After"]) <= 60
        token = {"username": user["email"].upper(), "password": PASSWORD}
        assert (await _ask(strict, "POST", "/api/v1/auth/token", {}, token))[0] == 429
        await _end_windows(strict, servers)
        statuses = [(await _ask(strict, "POST", "/api/auth/login", {}, wrong))[0] for _ in range(3)]
        assert statuses == [401, 401, 429]
        _, _, response = await _ask(strict, "POST", "/api/auth/login", {}, wrong)
        assert 60 < int(response.headers["Retry-After"]) <= 120
        await _end_windows(strict, servers)
        body = {"email": user["email"], "password": PASSWORD}
        assert (await _ask(strict, "POST", "/api/auth/login", {}, body))[0] == 200


async def _end_windows(running: Gateway, servers: Servers) -> None:
    """What the minutes of a window do."""
    url = running.environment["AURORA_REDIS_URL"]
    connection = redis.Redis.from_url(url, password=servers.redis_password)
    try:
        keys = [key async for key in connection.scan_iter("gateway:sign-in:*")]
        assert keys
        await connection.delete(*keys)
    finally:
        await connection.aclose()
