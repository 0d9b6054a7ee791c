"""Runtime settings on real processes: changed with a reason, known everywhere, through restarts and without NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import orjson
import psutil
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from cli.main import main
from shared.clock import new_id
from tests import stack
from tests.gateway import Gateway, gateway, process
from tests.stack import Servers

SETTINGS = "/api/v1/settings/runtime"
MODE = "X-AuroraSOC-Mode"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def own_servers() -> AsyncIterator[Servers]:
    """Of their own: what one gateway tells by NATS, every process on it hears."""
    with stack.data_folder() as folder:
        async with stack.embedded_servers(folder) as running:
            yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(own_servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(own_servers, tmp_path_factory.mktemp("gateway"), requests_per_minute="5000") as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(running: Gateway) -> AsyncIterator[str]:
    """Another process of the same gateway: its URL."""
    async with process(running.environment, running.log_file.parent / "second.log") as (url, _):
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def agents(running: Gateway) -> AsyncIterator[str]:
    """A process of another service, which has no database: its URL."""
    async with _agents(running, "agents") as url:
        yield url


@asynccontextmanager
async def _agents(running: Gateway, name: str) -> AsyncIterator[str]:
    folder = running.log_file.parent
    environment = {
        **running.environment,
        "AURORA_IDENTITY_KEY_FILE": str(folder / "gateway.key"),
        "AURORA_AGENT_URLS": '{"triage": "ws://127.0.0.1:0"}',
        "AURORA_HTTP_PORT": "0",
        "AURORA_RUNTIME_SETTINGS_FILE": str(folder / "settings" / "agents.json"),
    }
    async with process(environment, folder / f"{name}.log", "agents") as (url, _):
        yield url


@contextmanager
def _frozen(servers: Servers, name: str) -> Iterator[None]:
    """The server answers nothing for a while."""
    server = psutil.Process(servers.processes[name].pid)
    server.suspend()
    try:
        yield
    finally:
        server.resume()


async def _change(running: Gateway, reason: str = "a test", **settings: Any) -> dict[str, Any]:
    status, state, headers = await running.ask("PATCH", SETTINGS, json={"reason": reason, **settings})
    assert status == 200, state
    assert headers["ETag"] == f'"{state["revision"]}"'
    changed: dict[str, Any] = state
    return changed


async def _until_mode(running: Gateway, url: str, mode: str) -> None:
    """Returns once the process says that it is in this mode."""
    async with asyncio.timeout(20):
        while True:
            async with running.http.get(f"{url}/health/liveness") as response:
                if response.headers[MODE] == mode:
                    return
            await asyncio.sleep(0.01)


async def test_a_change_is_shown_with_who_when_and_why(running: Gateway) -> None:
    before = (await running.get(SETTINGS))[1]
    state = await _change(running, "an exercise", mode="dry_run", log_retention_days=30)
    assert state["revision"] == before["revision"] + 1
    assert (state["settings"]["mode"], state["settings"]["log_retention_days"]) == ("dry_run", 30)
    assert {"mode", "log_retention_days"} <= set(state["overridden"])
    assert (state["changed_by_name"], state["reason"]) == ("admin", "an exercise")
    status, shown, headers = await running.get(SETTINGS)
    assert (status, shown, headers["ETag"]) == (200, state, f'"{state["revision"]}"')
    assert headers[MODE] == "dry_run"

    back = await _change(running, "over", mode=None, log_retention_days=None)
    assert (back["settings"]["mode"], back["settings"]["log_retention_days"]) == ("monitor", 365)
    _, history, _ = await running.get(f"{SETTINGS}/history", params={"limit": "1"})
    assert history["items"][0]["changed"]["mode"] == {"before": "dry_run", "after": None}
    _, history, _ = await running.get(f"{SETTINGS}/history", params={"cursor": history["next_cursor"]})
    assert (history["items"][0]["reason"], history["items"][0]["changed_by_name"]) == ("an exercise", "admin")
    _, audit, _ = await running.get("/api/v1/audit", params={"action": "settings.changed"})
    assert audit["items"][0]["detail"]["reason"] == "over"
    assert (audit["items"][0]["actor_name"], audit["items"][0]["address"]) == ("admin", "127.0.0.1")


async def test_what_is_no_change_is_refused_with_its_place(running: Gateway) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"mode": "active"}, "body.reason"),
        ({"reason": "", "mode": "active"}, "body.reason"),
        ({"reason": "why"}, "body"),
        ({"reason": "why", "mode": "berserk"}, "body.mode"),
        ({"reason": "why", "requests_per_minute": 0}, "body.requests_per_minute"),
        ({"reason": "why", "log_level": 3}, "body.log_level"),
        ({"reason": "why", "password": "x"}, "body.password"),
    ]
    for body, path in wrong:
        status, refusal, _ = await running.ask("PATCH", SETTINGS, json=body)
        assert (status, refusal["error"]["detail"][0]["path"]) == (422, path)
    before = (await running.get(SETTINGS))[1]
    assert (
        await _change(running, mode=before["settings"]["mode"] if "mode" in before["overridden"] else None)
    ) == before


async def test_settings_are_for_readers_and_changes_for_administrators(running: Gateway) -> None:
    for role in ("viewer", "operator", "analyst"):
        headers = running.bearer(running.token_of(role))
        assert (await running.get(SETTINGS, headers=headers))[0] == 200
        status, refusal, _ = await running.ask(
            "PATCH", SETTINGS, json={"reason": "x", "mode": "active"}, headers=headers
        )
        assert (status, refusal["error"]["detail"]) == (403, {"required": "system:write"})


async def test_of_two_changes_to_the_same_state_one_is_made(running: Gateway) -> None:
    _, state, headers = await running.get(SETTINGS)
    asked = [{"reason": "first", "chat_requests_per_minute": 30}, {"reason": "second", "chat_requests_per_minute": 40}]
    answers = await asyncio.gather(
        *(running.ask("PATCH", SETTINGS, json=body, headers={"If-Match": headers["ETag"]}) for body in asked)
    )
    assert sorted(status for status, _, _ in answers) == [200, 409]
    (refusal,) = (body for status, body, _ in answers if status == 409)
    assert (refusal["error"]["code"], refusal["error"]["detail"]) == (
        "AURORA-4090",
        {"revision": state["revision"] + 1},
    )
    status, refusal, _ = await running.ask(
        "PATCH", SETTINGS, json={"reason": "x", "mode": "active"}, headers={"If-Match": "latest"}
    )
    assert (status, refusal["error"]["detail"][0]["path"]) == (422, "header.If-Match")
    await _change(running, chat_requests_per_minute=None)


async def test_the_mode_follows_on_every_process(running: Gateway, second: str, agents: str) -> None:
    for mode in ("active", "dry_run", "monitor"):
        await _change(running, mode=mode)
        async with running.http.get(f"{running.url}/api/v1/nothing") as response:
            assert response.headers[MODE] == mode
        await _until_mode(running, second, mode)
        await _until_mode(running, agents, mode)
    await _change(running, mode=None)


async def test_limits_and_the_log_level_take_effect_at_once(running: Gateway) -> None:
    await _change(running, requests_per_minute=777)
    assert (await running.get("/api/v1/users/me"))[2]["X-RateLimit-Limit"] == "777"
    await _change(running, requests_per_minute=None, log_level="error")
    unheard, heard = new_id(), new_id()
    assert (await running.get("/api/v1/users/me", headers={"X-Request-ID": unheard}))[2]["X-RateLimit-Limit"] == "5000"
    await _change(running, log_level=None)
    await running.get("/api/v1/users/me", headers={"X-Request-ID": heard})
    assert await running.logged(heard)
    assert not [line for line in running.log() if line.get("request_id") == unheard]


async def test_changes_work_while_nats_is_away_and_are_told_when_it_is_back(
    running: Gateway, second: str, agents: str, own_servers: Servers
) -> None:
    await _until_mode(running, agents, "monitor")
    with _frozen(own_servers, "nats"):
        await _change(running, mode="dry_run")
        # Another gateway reads the truth besides.
        await _until_mode(running, second, "dry_run")
        async with running.http.get(f"{agents}/health/liveness") as response:
            assert response.headers[MODE] == "monitor"
    await _until_mode(running, agents, "dry_run")
    await _change(running, mode=None)


async def test_a_change_survives_restarts_and_a_start_without_nats(
    running: Gateway, agents: str, own_servers: Servers
) -> None:
    folder = running.log_file.parent
    await _change(running, mode="active")
    await _until_mode(running, agents, "active")
    held = orjson.loads((folder / "settings" / "agents.json").read_bytes())
    assert held["overrides"] == {"mode": "active"}
    with _frozen(own_servers, "nats"):
        async with (
            process(running.environment, folder / "later.log") as (later, _),
            _agents(running, "agents-later") as others,
        ):
            await _until_mode(running, later, "active")
            await _until_mode(running, others, "active")
            async with running.http.get(f"{later}/health") as response:
                health = await response.json()
            assert health["checks"]["nats"]["status"] == "degraded"
    await _change(running, mode=None)


@pytest.mark.parametrize("path", [SETTINGS, f"{SETTINGS}/history"])
async def test_settings_are_for_those_who_signed_in(running: Gateway, path: str) -> None:
    async with running.http.get(running.url + path) as response:
        assert response.status == 401


async def test_the_command_line_changes_settings_and_shows_who_did(running: Gateway) -> None:
    folder = running.log_file.parent
    environment = {"AURORA_CLI_URL": running.url, "AURORA_CLI_PASSWORD_FILE": str(folder / "admin.password")}

    async def aurora(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner(env=environment).invoke, main, arguments)

    changed = await aurora("settings", "set", "chat_requests_per_minute=33", "--reason", "a [bold]busy[/] day")
    assert (changed.exit_code, changed.output.startswith("revision ")) == (0, True)
    assert (await aurora("settings", "get", "chat_requests_per_minute")).output == "33\n"
    assert "administrators" in (await aurora("settings", "get")).output
    history = (await aurora("settings", "history", "--limit", "1")).output
    assert "chat_requests_per_minute: default -> 33" in history
    assert "a [bold]busy[/] day" in history
    stale = await aurora("settings", "set", "mode=active", "--reason", "late", "--if-revision", "0")
    assert (stale.exit_code, "AURORA-4090" in stale.output) == (1, True)
    wrong = await aurora("settings", "set", "mode=berserk", "--reason", "x")
    assert (wrong.exit_code, "one of dry_run, monitor, active" in wrong.output) == (2, True)
    audit = await aurora("audit", "--action", "settings", "--since", "2026-01-01T00:00:00Z", "--limit", "1")
    assert all(word in audit.output for word in ("settings.changed", "success", "admin", "127.0.0.1"))
    await _change(running, chat_requests_per_minute=None)
