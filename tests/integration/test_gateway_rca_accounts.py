"""Accounts as the RCA page has them: register, login, change-password, the session cookie and X-User-ID."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio

from tests.gateway import Gateway, gateway
from tests.stack import Servers

PASSWORD = "securepassword123"
CHANGE = "/api/auth/change-password"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    settings = {
        "trusted_proxies": "127.0.0.0/8",
        "registration_role": "analyst",
        "rca_requests_per_minute": "100000",
        "frontend_url": "https://soc.example.org",
    }
    async with gateway(servers, tmp_path_factory.mktemp("gateway"), **settings) as started:
        yield started


async def _post(
    running: Gateway, path: str, body: Any, **headers: str
) -> tuple[int, dict[str, Any], aiohttp.ClientResponse]:
    """Without any cookie jar: each request says what it says."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http,
        http.post(running.url + path, json=body, headers=named) as response,
    ):
        return response.status, await response.json(), response


async def _registered(running: Gateway) -> dict[str, Any]:
    body = {"email": f"J.{secrets.token_hex(4)}@Example.org", "password": PASSWORD, "name": "John Doe"}
    status, user, _ = await _post(running, "/api/auth/register", body)
    assert status == 201, user
    return user


async def _cookie(running: Gateway, user: Mapping[str, Any], password: str = PASSWORD) -> str:
    status, _, response = await _post(running, "/api/auth/login", {"email": user["email"], "password": password})
    assert status == 200
    return f"aurora_session={response.cookies['aurora_session'].value}"


async def test_registering_answers_with_id_address_and_name(running: Gateway) -> None:
    user = await _registered(running)
    assert user.keys() == {"id", "email", "name"}
    assert user["id"].startswith("user_")
    assert user["name"] == "John Doe"
    _, page, _ = await running.get("/api/v1/users", params={"q": user["email"]})
    assert [(shown["id"], shown["role"]) for shown in page["items"]] == [(user["id"], "analyst")]


async def test_an_address_registers_once_whatever_its_case(running: Gateway) -> None:
    user = await _registered(running)
    body = {"email": user["email"].upper(), "password": PASSWORD, "name": "Somebody Else"}
    status, answer, _ = await _post(running, "/api/auth/register", body)
    assert (status, answer["code"]) == (409, "AURORA-4090")
    assert answer.keys() == {"error", "code"}


async def test_what_cant_be_registered_is_a_bad_request_that_names_the_field(running: Gateway) -> None:
    good = {"email": "somebody@example.org", "password": PASSWORD, "name": "Somebody"}
    for field, value in (("password", "seven77"), ("email", "nowhere"), ("email", 5), ("name", ["x"])):
        status, answer, _ = await _post(running, "/api/auth/register", {**good, field: value})
        assert (status, answer["code"]) == (400, "AURORA-4000"), field
        assert f"body.{field}" in answer["error"]
    status, answer, _ = await _post(running, "/api/auth/register", {"email": "somebody@example.org"})
    assert (status, "body.password" in answer["error"]) == (400, True)


async def test_login_answers_with_the_user_and_sets_a_cookie_no_script_reads(running: Gateway) -> None:
    user = await _registered(running)
    body = {"email": user["email"].lower(), "password": PASSWORD}
    status, answer, response = await _post(running, "/api/auth/login", body)
    assert (status, answer) == (200, user)
    (header,) = response.headers.getall("Set-Cookie")
    cookie = SimpleCookie(header)["aurora_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert not cookie["secure"]
    assert int(cookie["max-age"]) > 3600
    assert cookie.value not in running.log_file.read_text()


async def test_off_loopback_the_cookie_needs_tls(running: Gateway) -> None:
    user = await _registered(running)
    body = {"email": user["email"], "password": PASSWORD}
    _, _, response = await _post(running, "/api/auth/login", body, Host="soc.example.org")
    assert SimpleCookie(response.headers["Set-Cookie"])["aurora_session"]["secure"]


async def test_a_wrong_password_and_an_unknown_address_read_the_same_and_are_logged(running: Gateway) -> None:
    user = await _registered(running)
    wrong = await _post(running, "/api/auth/login", {"email": user["email"], "password": "not this one"})
    unknown = await _post(running, "/api/auth/login", {"email": "nobody@example.org", "password": "not this one"})
    assert wrong[0] == unknown[0] == 401
    assert wrong[1] == unknown[1] == {"error": "Invalid credentials", "code": "AURORA-4012"}
    refused = [line["account"] for line in running.log() if line["message"] == "sign-in refused"]
    assert {user["email"], "nobody@example.org"} <= set(refused)
    assert "not this one" not in running.log_file.read_text()


async def test_the_account_is_the_one_of_the_other_api(running: Gateway) -> None:
    user = await _registered(running)
    token = (await running.sign_in(user["email"].upper(), PASSWORD))["access_token"]
    _, profile, _ = await running.get("/api/v1/users/me", headers=running.bearer(token))
    assert profile["id"] == user["id"]


async def test_the_password_changes_with_the_header_and_every_session_ends(running: Gateway) -> None:
    user = await _registered(running)
    token = (await running.sign_in(user["email"], PASSWORD))["access_token"]
    body = {"currentPassword": "not this one", "newPassword": "newsecurepassword"}
    status, answer, _ = await _post(running, CHANGE, body, X_User_ID=user["id"])
    assert (status, answer["code"]) == (401, "AURORA-4012")
    short = {"currentPassword": PASSWORD, "newPassword": "short"}
    status, answer, _ = await _post(running, CHANGE, short, X_User_ID=user["id"])
    assert (status, "body.newPassword" in answer["error"]) == (400, True)
    body["currentPassword"] = PASSWORD
    status, answer, _ = await _post(running, CHANGE, body, X_User_ID=user["id"])
    assert (status, answer) == (200, {"message": "Password changed successfully"})
    assert (await running.get("/api/v1/users/me", headers=running.bearer(token)))[0] == 401
    await _cookie(running, user, "newsecurepassword")


async def test_a_cookie_is_a_session_until_it_is_signed_out(running: Gateway) -> None:
    user = await _registered(running)
    cookie = await _cookie(running, user)
    origin = {"Cookie": cookie, "Origin": running.url}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        async with http.get(f"{running.url}/api/v1/users/me", headers={"Cookie": cookie}) as response:
            assert (response.status, (await response.json())["id"]) == (200, user["id"])
        async with http.get(f"{running.url}/api/v1/auth/sessions", headers={"Cookie": cookie}) as response:
            (session,) = (await response.json())["sessions"]
            assert (session["browser"], session["current"]) == (True, True)
        async with http.post(f"{running.url}/api/v1/auth/logout", headers=origin) as response:
            assert response.status == 204
            assert SimpleCookie(response.headers["Set-Cookie"])["aurora_session"].value == ""
        async with http.get(f"{running.url}/api/v1/users/me", headers={"Cookie": cookie}) as response:
            assert response.status == 401


async def test_registration_can_be_closed(servers: Servers, tmp_path: Path) -> None:
    async with gateway(servers, tmp_path, registration="off") as closed:
        body = {"email": "john@example.org", "password": PASSWORD, "name": "John Doe"}
        status, answer, _ = await _post(closed, "/api/auth/register", body)
        assert (status, answer["code"]) == (403, "AURORA-4030")
        # And nothing is trusted to name a user where nobody said so.
        _, me, _ = await closed.get("/api/v1/users/me")
        status, answer, _ = await _post(closed, CHANGE, {}, X_User_ID=me["id"])
        assert (status, answer["code"]) == (401, "AURORA-4010")


async def test_each_use_of_the_header_is_audited(running: Gateway) -> None:
    user = await _registered(running)
    body = {"currentPassword": PASSWORD, "newPassword": "newsecurepassword"}
    await _post(running, CHANGE, body, X_User_ID=user["id"])
    async with asyncio.timeout(10):
        while True:
            query = {"action": "identity.header", "actor": user["id"]}
            _, page, _ = await running.get("/api/v1/audit", params=query)
            if page["items"]:
                break
            await asyncio.sleep(0.05)
    assert page["items"][0]["target"] == f"POST {CHANGE}"
