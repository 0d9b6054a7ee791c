"""`aurora login`: signed in at a stack elsewhere, between commands, without the password."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest_asyncio

from cli.logins import Login
from tests.gateway import ADMIN_PASSWORD, Gateway, gateway
from tests.stack import AURORA, Servers


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway")) as started:
        yield started


async def _aurora(home: Path, *arguments: str, typed: str = "") -> tuple[int, str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AURORA_")}
    child = await asyncio.create_subprocess_exec(
        *AURORA,
        *arguments,
        env={**inherited, "XDG_CONFIG_HOME": str(home)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await child.communicate(typed.encode())
    return child.returncode or 0, out.decode(), err.decode()


def _file(home: Path) -> Path:
    (file,) = (home / "aurora").glob("login-*.json")
    return file


async def _sign_in(home: Path, url: str) -> Path:
    code, _, err = await _aurora(home, "login", url, "--username", "admin", typed=ADMIN_PASSWORD + "\n")
    assert (code, "signed in at" in err) == (0, True), err
    return _file(home)


async def test_after_a_login_commands_need_no_password(running: Gateway, tmp_path: Path) -> None:
    file = await _sign_in(tmp_path, running.url)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ADMIN_PASSWORD not in file.read_text()
    code, out, err = await _aurora(tmp_path, "users", "list", "--url", running.url, "--json")
    assert (code, '"admin"' in out) == (0, True), err


async def test_two_commands_at_once_renew_an_old_token_once(running: Gateway, tmp_path: Path) -> None:
    file = await _sign_in(tmp_path, running.url)
    login = msgspec.json.decode(file.read_bytes(), type=Login)
    login.expires_at = 0.0
    file.write_bytes(msgspec.json.encode(login))
    listed = await asyncio.gather(*(_aurora(tmp_path, "users", "list", "--url", running.url) for _ in range(2)))
    assert [code for code, _, _ in listed] == [0, 0], listed
    assert msgspec.json.decode(file.read_bytes(), type=Login).refresh_token != login.refresh_token


async def test_a_logout_ends_the_session_and_forgets_it(running: Gateway, tmp_path: Path) -> None:
    file = await _sign_in(tmp_path, running.url)
    login = msgspec.json.decode(file.read_bytes(), type=Login)
    assert (await _aurora(tmp_path, "logout", running.url))[0] == 0
    assert not file.exists()
    assert (await running.get("/api/v1/users/me", headers=running.bearer(login.access_token)))[0] == 401
    code, _, err = await _aurora(tmp_path, "users", "list", "--url", running.url)
    assert (code, err.count("\n"), "aurora login" in err) == (1, 1, True)


async def test_a_session_that_ended_elsewhere_asks_for_a_login(running: Gateway, tmp_path: Path) -> None:
    file = await _sign_in(tmp_path, running.url)
    login = msgspec.json.decode(file.read_bytes(), type=Login)
    headers = running.bearer(login.access_token)
    assert (await running.ask("POST", "/api/v1/auth/logout", headers=headers))[0] == 204
    code, _, err = await _aurora(tmp_path, "users", "list", "--url", running.url)
    assert (code, "aurora login" in err) == (1, True)


async def test_a_password_doesnt_travel_in_the_clear(tmp_path: Path) -> None:
    for url in ("http://soc.example.org", "ftp://localhost", "soc.example.org"):
        code, _, err = await _aurora(tmp_path, "login", url, "--username", "admin", typed="x\n")
        assert (code, "https://" in err) == (2, True), url
