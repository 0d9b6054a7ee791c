"""The audit log of a real gateway: who, what, when, from where and in which request; read by administrators only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import asyncpg
import orjson
import psutil
import pytest
import pytest_asyncio

from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.audit import AUDIT_RECORDED
from shared.contracts.wire import format_time
from shared.postgres import Database
from tests.gateway import ADMIN_PASSWORD, Gateway, gateway
from tests.stack import Servers

AUDIT = "/api/v1/audit"
TOKEN = "/api/v1/auth/token"
KEYS = "/api/v1/auth/api-keys"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway")) as started:
        yield started


async def _listed(running: Gateway, **filters: Any) -> list[dict[str, Any]]:
    status, page, _ = await running.get(AUDIT, params={name: str(value) for name, value in filters.items()})
    assert status == 200, page
    items: list[dict[str, Any]] = page["items"]
    return items


async def _at_least(running: Gateway, number: int, **filters: Any) -> list[dict[str, Any]]:
    """So many records, once they are written."""
    async with asyncio.timeout(20):
        while True:
            found = await _listed(running, **filters)
            if len(found) >= number:
                return found
            await asyncio.sleep(0.02)


async def _kept(running: Gateway, request_id: str, action: str) -> dict[str, Any]:
    """The record of this request, once it is written."""
    async with asyncio.timeout(20):
        while True:
            found = [item for item in await _listed(running, action=action) if item["request_id"] == request_id]
            if found:
                return found[0]
            await asyncio.sleep(0.02)


async def _ask(running: Gateway, method: str, path: str, **options: Any) -> tuple[int, Any, str]:
    """Status, body, and the request's id."""
    request_id = new_id()
    headers: Mapping[str, str] = {"X-Request-ID": request_id, **options.pop("headers", {})}
    async with running.http.request(method, running.url + path, headers=headers, **options) as response:
        data = await response.read()
        return response.status, orjson.loads(data) if data else None, request_id


async def _me(running: Gateway) -> str:
    _, me, _ = await running.get("/api/v1/users/me")
    return str(me["id"])


async def test_a_sign_in_is_kept(running: Gateway) -> None:
    before = utc_now()
    body = {"username": "admin", "password": ADMIN_PASSWORD}
    status, _, request_id = await _ask(running, "POST", TOKEN, json=body)
    assert status == 200
    record = await _kept(running, request_id, "session.created")
    assert (record["actor"], record["actor_name"]) == (await _me(running), "admin")
    assert (record["outcome"], record["address"]) == ("success", "127.0.0.1")
    assert record["detail"] == {"how": "password"}
    assert before <= datetime.fromisoformat(record["at"]) <= utc_now()


async def test_a_refused_sign_in_is_kept_with_the_name_that_was_tried(running: Gateway) -> None:
    name = "nobody\u202e" + "x" * 200
    status, _, request_id = await _ask(running, "POST", TOKEN, json={"username": name, "password": "secret words"})
    assert status == 401
    record = await _kept(running, request_id, "session.failed")
    assert (record["actor"], record["outcome"], record["address"]) == (None, "failure", "127.0.0.1")
    assert record["target"] == name
    assert "secret words" not in orjson.dumps(record).decode()


async def test_the_end_of_a_session_and_a_stolen_refresh_token_are_kept(running: Gateway) -> None:
    session = await running.sign_in()
    refresh = {"grant_type": "refresh_token", "refresh_token": session["refresh_token"]}
    assert (await _ask(running, "POST", TOKEN, json=refresh))[0] == 200
    status, _, request_id = await _ask(running, "POST", TOKEN, json=refresh)
    assert status == 401
    reused = await _kept(running, request_id, "session.refresh_reused")
    assert (reused["actor"], reused["outcome"]) == (await _me(running), "denied")

    headers = running.bearer((await running.sign_in())["access_token"])
    status, _, request_id = await _ask(running, "POST", "/api/v1/auth/logout", headers=headers)
    assert status == 204
    ended = await _kept(running, request_id, "session.ended")
    assert (ended["actor_name"], ended["outcome"], ended["address"]) == ("admin", "success", "127.0.0.1")


async def test_keys_made_and_revoked_are_kept_without_their_secret(running: Gateway) -> None:
    asked = {"name": "a shipper", "scopes": ["siem:write"]}
    _, key, request_id = await _ask(running, "POST", KEYS, json=asked, headers=running.bearer())
    made = await _kept(running, request_id, "key.created")
    assert (made["target"], made["actor_name"]) == (key["id"], "admin")
    assert (made["detail"]["name"], made["detail"]["scopes"]) == ("a shipper", ["siem:write"])
    assert key["key"].split("_", 2)[2] not in orjson.dumps(made).decode()
    # What the key itself does is told in its name, and so is what it may not do.
    headers = {"X-API-Key": key["key"]}
    status, _, request_id = await _ask(running, "GET", "/api/v1/alerts", headers=headers)
    assert status == 403
    denied = await _kept(running, request_id, "permission.denied")
    assert (denied["actor"], denied["actor_name"]) == (key["id"], "a shipper")
    _, _, request_id = await _ask(running, "DELETE", f"{KEYS}/{key['id']}", headers=running.bearer())
    assert (await _kept(running, request_id, "key.revoked"))["target"] == key["id"]


async def test_a_denied_permission_is_kept_and_only_administrators_read_the_log(running: Gateway) -> None:
    for role in ("viewer", "analyst", "operator"):
        headers = running.bearer(running.token_of(role))
        status, _, request_id = await _ask(running, "GET", AUDIT, headers=headers)
        assert status == 403
        record = await _kept(running, request_id, "permission.denied")
        assert (record["actor"], record["outcome"], record["target"]) == (f"user_{role}", "denied", f"GET {AUDIT}")
        assert (record["address"], record["detail"]) == ("127.0.0.1", {"required": "Admin"})


async def test_a_forged_token_is_kept(running: Gateway) -> None:
    for _ in range(3):
        status, _, _ = await _ask(running, "GET", AUDIT, headers=running.bearer("a.b.c"))
        assert status == 401
    kept = await _at_least(running, 1, action="authentication.failed")
    assert (kept[0]["actor"], kept[0]["address"], kept[0]["target"]) == (None, "127.0.0.1", f"GET {AUDIT}")


async def test_the_log_is_filtered_and_walked_newest_first(running: Gateway) -> None:
    since, names = utc_now(), [f"walker-{number}" for number in range(5)]
    for name in names:
        await _ask(running, "POST", KEYS, json={"name": name, "scopes": ["siem:read"]}, headers=running.bearer())
    await _at_least(running, len(names), action="key", since=format_time(since))
    walked: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", "action": "key.created", "actor": "admin", **({"cursor": cursor} if cursor else {})}
        _, page, _ = await running.get(AUDIT, params={**params, "since": format_time(since)})
        walked += [item["detail"]["name"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert walked == names[::-1]
    assert await _listed(running, action="key", until=format_time(since), address="192.0.2.1") == []
    assert await _listed(running, action="key", outcome="denied") == []
    assert await _listed(running, action="ke") == []
    for wrong in ({"outcome": "maybe"}, {"since": "yesterday"}, {"since": "2026-01-01T00:00:00"}, {"cursor": "x"}):
        status, body, _ = await running.get(AUDIT, params=wrong)
        assert (status, body["error"]["detail"][0]["path"]) == (422, f"query.{next(iter(wrong))}")


async def test_each_record_is_told_as_an_event_once(running: Gateway, bus: Bus) -> None:
    asked = {"name": "told", "scopes": ["siem:read"]}
    _, key, request_id = await _ask(running, "POST", KEYS, json=asked, headers=running.bearer())
    record = await _kept(running, request_id, "key.created")
    events = []
    async with asyncio.timeout(20):
        async for delivered in bus.read([AUDIT_RECORDED.name], since=0):
            event = orjson.loads(delivered.payload)
            if event["data"].get("target") == key["id"]:
                events.append(event)
                break
    assert events[0]["data"] == record
    assert (events[0]["type"], events[0]["requestid"]) == ("aurora.audit.recorded", request_id)


async def test_what_was_recorded_cannot_be_changed(running: Gateway) -> None:
    _, _, request_id = await _ask(running, "GET", AUDIT, headers=running.bearer(running.token_of("viewer")))
    await _kept(running, request_id, "permission")
    database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"], max_size=1)
    try:
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.execute(statement)
    finally:
        await database.close()


async def test_a_refusal_does_not_wait_for_a_database_that_is_away(running: Gateway, servers: Servers) -> None:
    server = psutil.Process(servers.processes["postgres"].pid)
    stopped = [server, *server.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        token = running.bearer(running.token_of("viewer"))
        status, _, request_id = await _ask(running, "GET", AUDIT, headers=token)
        assert status == 403
    finally:
        for process in stopped:
            process.resume()
    assert (await _kept(running, request_id, "permission.denied"))["actor"] == "user_viewer"
