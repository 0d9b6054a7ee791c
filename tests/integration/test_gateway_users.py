"""Users: made, listed, changed and deleted by administrators, and what each does with its own account."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.gateway import ADMIN_PASSWORD, Gateway, gateway, process
from tests.stack import AURORA, Servers

USERS = "/api/v1/users"
ME = "/api/v1/users/me"
PASSWORD = "a quiet afternoon"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    settings = {"requests_per_minute": "100000"}
    async with gateway(servers, tmp_path_factory.mktemp("gateway"), **settings) as started:
        yield started


async def _create(running: Gateway, role: str = "analyst", **fields: Any) -> dict[str, Any]:
    body = {"username": f"u{secrets.token_hex(4)}", "role": role, "password": PASSWORD, **fields}
    status, user, _ = await running.ask("POST", USERS, json=body)
    assert status == 201, user
    made: dict[str, Any] = user
    return made


async def _token(running: Gateway, user: dict[str, Any], password: str = PASSWORD) -> dict[str, str]:
    return running.bearer((await running.sign_in(user["username"], password))["access_token"])


async def _refused(running: Gateway, username: str, password: str = PASSWORD) -> int:
    body = {"username": username, "password": password}
    async with running.http.post(f"{running.url}/api/v1/auth/token", json=body) as response:
        return response.status


async def _audited(running: Gateway, action: str, target: str) -> list[dict[str, Any]]:
    """The audit records of an act, once there are any."""
    async with asyncio.timeout(10):
        while True:
            _, page, _ = await running.get("/api/v1/audit", params={"action": action, "target": target})
            if page["items"]:
                records: list[dict[str, Any]] = page["items"]
                return records
            await asyncio.sleep(0.05)


async def test_a_created_user_signs_in_with_its_role(running: Gateway) -> None:
    user = await _create(running, "operator", email="Olga@Example.org", name="Olga")
    assert user["id"].startswith("user_")
    assert (user["email"], user["name"], user["role"], user["disabled"]) == (
        "Olga@Example.org",
        "Olga",
        "operator",
        False,
    )
    status, profile, _ = await running.get(ME, headers=await _token(running, user))
    assert (status, profile["id"], profile["role"]) == (200, user["id"], "operator")
    status, shown, _ = await running.get(f"{USERS}/{user['username'].upper()}")
    assert (status, shown["id"]) == (200, user["id"])
    assert "password_hash" not in str(shown)
    assert shown["last_login_at"] is not None
    (record,) = await _audited(running, "user.created", user["username"])
    assert record["request_id"]


async def test_names_and_addresses_are_taken_whatever_their_case(running: Gateway) -> None:
    user = await _create(running, email=f"{secrets.token_hex(4)}@example.org")
    same_name = {"username": user["username"].upper(), "role": "viewer"}
    status, answer, _ = await running.ask("POST", USERS, json=same_name)
    assert (status, answer["error"]["code"]) == (409, "AURORA-4090")
    assert answer["error"]["detail"][0]["path"] == "body.username"
    same_email = {"username": "x" + secrets.token_hex(4), "role": "viewer", "email": user["email"].upper()}
    status, answer, _ = await running.ask("POST", USERS, json=same_email)
    assert (status, answer["error"]["detail"][0]["path"]) == (409, "body.email")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"username": "", "role": "viewer"}, "body.username"),
        ({"username": "a b", "role": "viewer"}, "body.username"),
        ({"username": "me", "role": "viewer"}, "body.username"),
        ({"username": "a/b", "role": "viewer"}, "body.username"),
        ({"username": "paul", "role": "root"}, "body.role"),
        ({"username": "paul"}, "body.role"),
        ({"username": "paul", "role": "viewer", "password": "short"}, "body.password"),
        ({"username": "paul", "role": "viewer", "email": "no address"}, "body.email"),
        ({"username": "paul", "role": "viewer", "admin": True}, "body.admin"),
    ],
)
async def test_what_cant_be_a_user_is_refused_by_field(running: Gateway, body: dict[str, Any], path: str) -> None:
    status, answer, _ = await running.ask("POST", USERS, json=body)
    assert (status, answer["error"]["code"]) == (422, "AURORA-4220")
    assert path in [problem["path"] for problem in answer["error"]["detail"]]


async def test_users_are_listed_in_pages_newest_first_and_filtered(running: Gateway) -> None:
    part = "p" + secrets.token_hex(4)
    made = [await _create(running, "viewer", username=f"{part}-{number}", password=None) for number in range(5)]
    await running.ask("PATCH", f"{USERS}/{made[0]['username']}", json={"disabled": True})
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"limit": "2", "q": part.upper(), **({"cursor": cursor} if cursor else {})}
        status, page, _ = await running.get(USERS, params=query)
        assert status == 200
        seen += [user["username"] for user in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == [user["username"] for user in reversed(made)]
    _, disabled, _ = await running.get(USERS, params={"q": part, "disabled": "true", "role": "viewer"})
    assert [user["username"] for user in disabled["items"]] == [made[0]["username"]]
    _, admins, _ = await running.get(USERS, params={"role": "admin", "q": part})
    assert admins["items"] == []
    status, answer, _ = await running.get(USERS, params={"cursor": "nonsense"})
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "query.cursor")


async def _key_of(running: Gateway, headers: dict[str, str]) -> dict[str, str]:
    body = {"name": "mine", "scopes": ["alerts:read"]}
    status, key, _ = await running.ask("POST", "/api/v1/auth/api-keys", json=body, headers=headers)
    assert status == 201
    return {"Authorization": f"Bearer {key['key']}"}


@pytest.mark.parametrize("act", ["disable", "delete"])
async def test_an_account_that_ends_takes_sessions_and_keys_along_in_every_process(
    running: Gateway, tmp_path: Path, act: str
) -> None:
    user = await _create(running)
    session = await running.sign_in(user["username"], PASSWORD)
    headers = running.bearer(session["access_token"])
    key = await _key_of(running, headers)
    path = f"{USERS}/{user['username']}"
    async with process(running.environment, tmp_path / "second.log") as (second, _):

        async def statuses() -> list[int]:
            found = []
            for url in (running.url, second):
                for presented in (headers, key):
                    async with running.http.get(f"{url}/api/v1/alerts", headers=presented) as response:
                        found.append(response.status)
            return found

        async with running.http.get(f"{second}{ME}", headers=headers) as response:
            assert response.status == 200
        await statuses()
        method, body = ("PATCH", {"disabled": True}) if act == "disable" else ("DELETE", None)
        status, _, _ = await running.ask(method, path, json=body)
        assert status in (200, 204)
        assert await statuses() == [401] * 4
        async with running.http.get(f"{second}{ME}", headers=headers) as response:
            assert response.status == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": session["refresh_token"]}
    async with running.http.post(f"{running.url}/api/v1/auth/token", json=refresh) as response:
        assert response.status == 401
    assert await _refused(running, user["username"]) == 401


async def test_an_enabled_account_signs_in_again_but_its_old_sessions_stay_over(running: Gateway) -> None:
    user = await _create(running)
    old = await _token(running, user)
    path = f"{USERS}/{user['username']}"
    await running.ask("PATCH", path, json={"disabled": True})
    status, shown, _ = await running.ask("PATCH", path, json={"disabled": False})
    assert (status, shown["disabled"], shown["disabled_at"]) == (200, False, None)
    assert (await running.get(ME, headers=old))[0] == 401
    assert (await running.get(ME, headers=await _token(running, user)))[0] == 200


async def test_a_changed_role_ends_the_sessions_that_had_the_former(running: Gateway) -> None:
    user = await _create(running, "analyst")
    before = await _token(running, user)
    status, shown, _ = await running.ask("PATCH", f"{USERS}/{user['username']}", json={"role": "viewer"})
    assert (status, shown["role"]) == (200, "viewer")
    assert (await running.get(ME, headers=before))[0] == 401
    _, profile, _ = await running.get(ME, headers=await _token(running, user))
    assert profile["role"] == "viewer"
    (record,) = await _audited(running, "user.changed", user["username"])
    assert record["detail"]["role"] == "viewer"


async def test_a_deleted_name_and_address_are_free_again_and_the_new_user_is_somebody_else(running: Gateway) -> None:
    user = await _create(running, email=f"{secrets.token_hex(4)}@example.org")
    assert (await running.ask("DELETE", f"{USERS}/{user['username']}"))[0] == 204
    assert (await running.get(f"{USERS}/{user['username']}"))[0] == 404
    assert (await running.ask("DELETE", f"{USERS}/{user['username']}"))[0] == 404
    again = await _create(running, username=user["username"], email=user["email"])
    assert again["id"] != user["id"]
    (record,) = await _audited(running, "user.deleted", user["username"])
    assert record["detail"]["user_id"] == user["id"]


async def test_a_user_of_the_role_api_service_never_signs_in(running: Gateway) -> None:
    user = await _create(running, "api_service")
    assert await _refused(running, user["username"]) == 401


async def test_only_administrators_see_and_change_users(running: Gateway) -> None:
    user = await _create(running, "analyst")
    headers = await _token(running, user)
    for method, path, body in (
        ("GET", USERS, None),
        ("POST", USERS, {"username": "eve", "role": "admin"}),
        ("GET", f"{USERS}/admin", None),
        ("PATCH", f"{USERS}/{user['username']}", {"role": "admin"}),
        ("PUT", f"{USERS}/admin/password", {"password": "taken over"}),
        ("DELETE", f"{USERS}/admin", None),
    ):
        status, answer, _ = await running.ask(method, path, json=body, headers=headers)
        assert (status, answer["error"]["code"]) == (403, "AURORA-4030"), (method, path)


async def test_a_user_changes_its_own_name_and_address_and_nothing_else(running: Gateway) -> None:
    user, other = await _create(running), await _create(running, email=f"{secrets.token_hex(4)}@example.org")
    headers = await _token(running, user)
    mine = f"{secrets.token_hex(4)}@example.org"
    status, profile, _ = await running.ask("PATCH", ME, json={"name": "New Name", "email": mine}, headers=headers)
    assert (status, profile["name"], profile["email"]) == (200, "New Name", mine)
    status, profile, _ = await running.ask("PATCH", ME, json={"email": None}, headers=headers)
    assert (status, profile["email"], profile["name"]) == (200, None, "New Name")
    status, answer, _ = await running.ask("PATCH", ME, json={"role": "admin"}, headers=headers)
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "body.role")
    status, answer, _ = await running.ask("PATCH", ME, json={"email": other["email"].upper()}, headers=headers)
    assert (status, answer["error"]["detail"][0]["path"]) == (409, "body.email")


async def test_a_changed_password_ends_every_other_session(running: Gateway) -> None:
    user = await _create(running)
    mine, other = await _token(running, user), await _token(running, user)
    path = f"{ME}/password"
    wrong = {"current_password": "not this one", "new_password": "another evening"}
    status, answer, _ = await running.ask("POST", path, json=wrong, headers=mine)
    assert (status, answer["error"]["code"]) == (401, "AURORA-4012")
    short = {"current_password": PASSWORD, "new_password": "short"}
    status, answer, _ = await running.ask("POST", path, json=short, headers=mine)
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "body.new_password")
    right = {"current_password": PASSWORD, "new_password": "another evening"}
    assert (await running.ask("POST", path, json=right, headers=mine))[0] == 204
    assert (await running.get(ME, headers=mine))[0] == 200
    assert (await running.get(ME, headers=other))[0] == 401
    assert await _refused(running, user["username"]) == 401
    assert (await running.get(ME, headers=await _token(running, user, "another evening")))[0] == 200


async def test_an_administrator_sets_a_password_and_the_users_sessions_end(running: Gateway) -> None:
    user = await _create(running)
    before = await _token(running, user)
    path = f"{USERS}/{user['username']}/password"
    assert (await running.ask("PUT", path, json={"password": "given by hand"}))[0] == 204
    assert (await running.get(ME, headers=before))[0] == 401
    assert (await running.get(ME, headers=await _token(running, user, "given by hand")))[0] == 200
    assert (await running.ask("PUT", f"{USERS}/nobody/password", json={"password": "given by hand"}))[0] == 404


async def test_a_password_longer_than_bcrypt_reads_counts_whole(running: Gateway) -> None:
    long = "x" * 100
    user = await _create(running, password=long + "a")
    assert await _refused(running, user["username"], long + "b") == 401
    assert (await running.get(ME, headers=await _token(running, user, long + "a")))[0] == 200


async def test_the_last_administrator_stays(running: Gateway) -> None:
    for method, body in (("DELETE", None), ("PATCH", {"disabled": True}), ("PATCH", {"role": "viewer"})):
        status, answer, _ = await running.ask(method, f"{USERS}/admin", json=body)
        assert (status, answer["error"]["code"]) == (409, "AURORA-4090")
    assert (await running.get(ME))[0] == 200


async def test_of_two_administrators_who_delete_each_other_at_once_one_stays(servers: Servers, tmp_path: Path) -> None:
    async with gateway(servers, tmp_path) as alone:
        for _ in range(3):
            other = await _create(alone, "admin")
            theirs = await _token(alone, other)
            results = await asyncio.gather(
                alone.ask("PATCH", f"{USERS}/{other['username']}", json={"disabled": True}),
                alone.ask("PATCH", f"{USERS}/admin", json={"disabled": True}, headers=theirs),
            )
            assert sorted(status == 200 for status, _, _ in results) == [False, True], results
            if results[0][0] == 200:
                continue
            # The first administrator lost: the other one brings it back.
            status, _, _ = await alone.ask("PATCH", f"{USERS}/admin", json={"disabled": False}, headers=theirs)
            assert status == 200
            alone.token = (await alone.sign_in("admin", ADMIN_PASSWORD))["access_token"]
            assert (await alone.ask("DELETE", f"{USERS}/{other['username']}"))[0] == 204


async def test_a_user_sees_and_ends_its_own_sessions_only(running: Gateway) -> None:
    user, stranger = await _create(running), await _create(running)
    first, second = await _token(running, user), await _token(running, user)
    strangers = await _token(running, stranger)
    _, listed, _ = await running.get("/api/v1/auth/sessions", headers=second)
    assert [session["current"] for session in listed["sessions"]] == [True, False]
    assert {session["how"] for session in listed["sessions"]} == {"password"}
    assert {session["address"] for session in listed["sessions"]} == {"127.0.0.1"}
    path = f"/api/v1/auth/sessions/{listed['sessions'][1]['id']}"
    assert (await running.ask("DELETE", path, headers=strangers))[0] == 404
    assert (await running.get(ME, headers=first))[0] == 200
    assert (await running.ask("DELETE", path, headers=second))[0] == 204
    assert (await running.get(ME, headers=first))[0] == 401
    assert (await running.ask("DELETE", path, headers=second))[0] == 404
    assert (await running.ask("DELETE", "/api/v1/auth/sessions/nonsense", headers=second))[0] == 404
    assert (await running.get(ME, headers=second))[0] == 200


async def test_signing_out_everywhere_ends_every_session(running: Gateway) -> None:
    user = await _create(running)
    first, second = await _token(running, user), await _token(running, user)
    assert (await running.ask("POST", "/api/v1/auth/logout?all=true", headers=first))[0] == 204
    assert [(await running.get(ME, headers=headers))[0] for headers in (first, second)] == [401, 401]
    status, answer, _ = await running.ask("POST", "/api/v1/auth/logout?everything=1")
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "query.everything")


async def _aurora(running: Gateway, *arguments: str, typed: str = "") -> tuple[int, str, str]:
    """Runs `aurora users ...` as the administrator."""
    environment = {
        **running.environment,
        "AURORA_CLI_URL": running.url,
        "AURORA_CLI_PASSWORD_FILE": running.environment["AURORA_ADMIN_PASSWORD_FILE"],
    }
    child = await asyncio.create_subprocess_exec(
        *AURORA,
        "users",
        *arguments,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await child.communicate(typed.encode())
    return child.returncode or 0, out.decode(), err.decode()


async def test_the_command_line_administers_users(running: Gateway, tmp_path: Path) -> None:
    name, secret = f"cli{secrets.token_hex(4)}", tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    create = ("create", name, "--role", "viewer", "--email", f"{name}@example.org", "--password-file", str(secret))
    code, out, err = await _aurora(running, *create, "--json")
    assert (code, err) == (0, "")
    user = orjson.loads(out)
    assert (user["username"], user["role"]) == (name, "viewer")
    assert PASSWORD not in out
    assert await _refused(running, name) == 200
    assert (await _aurora(running, "role", name, "operator"))[0] == 0
    assert (await _aurora(running, "disable", name))[0] == 0
    assert await _refused(running, name) == 401
    assert (await _aurora(running, "enable", name))[0] == 0
    assert (await _aurora(running, "password", name, typed="another evening\nanother evening\n"))[0] == 0
    assert await _refused(running, name, "another evening") == 200
    _, out, _ = await _aurora(running, "list", "--role", "operator", "--json")
    assert name in [orjson.loads(line)["username"] for line in out.splitlines()]
    assert (await _aurora(running, "delete", name))[0] == 0
    code, _, err = await _aurora(running, "delete", name)
    assert (code, err.count("\n"), "AURORA-4040" in err) == (1, 1, True)
