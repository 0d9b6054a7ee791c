"""Two gateway processes on the same stores: what one is told holds for the other, and both count together."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import psutil
import pytest_asyncio

from shared.keyring import new_private_key, public_jwk, thumbprint
from tests.gateway import Gateway, gateway, process
from tests.stack import Servers

KEYS = "/api/v1/auth/api-keys"
ALERTS = "/api/v1/alerts"
PROVIDERS = "/api/v1/auth/providers"
LIMIT, RCA_LIMIT = 100, 10
#: What must be effective everywhere within a second is waited for no longer than this, on a machine that is busy too.
SOON_SECONDS = 5


@dataclass
class Pair:
    """`first` as the tests' gateway, the second by its URL."""

    first: Gateway
    second: str
    folder: Path

    async def ask(self, url: str, method: str, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        """Status and decoded body."""
        async with self.first.http.request(method, url + path, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def code(self, url: str, credential: str, path: str = ALERTS) -> int | str:
        """200, or the AURORA code of the refusal."""
        status, body = await self.ask(url, "GET", path, self.first.bearer(credential))
        return status if status < 400 else str(body["error"]["code"])

    async def key(self, **asked: Any) -> dict[str, Any]:
        """A new key that may read alerts, known to both processes."""
        body = {"name": "a program", "scopes": ["alerts:read"], **asked.pop("body", {})}
        status, made, _ = await self.first.ask("POST", KEYS, json=body, **asked)
        assert status == 201, made
        for url in (self.first.url, self.second):
            assert await self.code(url, made["key"]) == 200
        key: dict[str, Any] = made
        return key


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("gateway")
    settings = {
        "requests_per_minute": str(LIMIT),
        "rca_requests_per_minute": str(RCA_LIMIT),
        "trusted_proxies": "127.0.0.1",
        "token_jwks_file": str(folder / "token.jwks"),
    }
    (folder / "token.jwks").write_text('{"keys": []}')
    async with (
        gateway(servers, folder, **settings) as first,
        process(first.environment, folder / "second.log") as (second, _),
    ):
        yield Pair(first, second, folder)


@pytest_asyncio.fixture(loop_scope="session")
async def database(pair: Pair) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(pair.first.environment["AURORA_POSTGRES_DSN"])
    yield connection
    await connection.close()


async def _soon(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while not await condition():  # noqa: ASYNC110 - the state of another process has no event
            await asyncio.sleep(0.05)


async def test_a_key_that_one_process_revokes_is_refused_by_the_other(pair: Pair) -> None:
    key = await pair.key()
    assert (await pair.first.ask("DELETE", f"{KEYS}/{key['id']}"))[0] == 204
    for url in (pair.first.url, pair.second):
        assert await pair.code(url, key["key"]) == "AURORA-4012"


async def test_a_session_that_ends_in_one_process_ends_in_the_other(pair: Pair) -> None:
    token = (await pair.first.sign_in())["access_token"]
    assert await pair.code(pair.second, token) == 200
    await pair.ask(pair.second, "POST", "/api/v1/auth/logout", pair.first.bearer(token))
    assert await pair.code(pair.first.url, token) == "AURORA-4012"


async def test_a_new_secret_works_everywhere_at_once_and_the_old_one_nowhere_soon(pair: Pair) -> None:
    key = await pair.key()
    status, rotated, _ = await pair.first.ask("POST", f"{KEYS}/{key['id']}/rotate", json={})
    assert status == 200
    assert rotated["id"] == key["id"]
    assert rotated["scopes"] == key["scopes"]
    assert (rotated["key"] != key["key"], rotated["previous_until"]) == (True, None)
    for url in (pair.second, pair.first.url):
        assert await pair.code(url, rotated["key"]) == 200
    assert await pair.code(pair.first.url, key["key"]) == "AURORA-4012"

    async def refused() -> bool:
        return await pair.code(pair.second, key["key"]) == "AURORA-4012"

    await _soon(refused)
    assert await pair.code(pair.second, rotated["key"]) == 200


async def test_with_a_grace_both_secrets_work_until_it_ends(pair: Pair) -> None:
    key = await pair.key()
    _, rotated, _ = await pair.first.ask("POST", f"{KEYS}/{key['id']}/rotate", json={"grace_seconds": 2})
    until = rotated["previous_until"]
    assert until > rotated["rotated_at"]
    for url in (pair.first.url, pair.second):
        for secret in (rotated["key"], key["key"]):
            assert await pair.code(url, secret) == 200

    async def over() -> bool:
        return await pair.code(pair.second, key["key"]) == await pair.code(pair.first.url, key["key"]) == "AURORA-4012"

    await _soon(over)
    assert await pair.code(pair.second, rotated["key"]) == 200


async def test_what_a_keys_owner_may_no_longer_do_the_key_may_nowhere_soon(pair: Pair, database: Any) -> None:
    owner = f"user_{secrets.token_hex(13)}"
    await database.execute(
        "INSERT INTO users (id, username, username_key, name, role, created_at)"
        " VALUES ($1, $1, $1, $1, 'analyst', now())",
        owner,
    )
    token = pair.first.token_of("analyst", sub=owner)
    key = await pair.key(headers=pair.first.bearer(token))
    await database.execute("UPDATE users SET role = 'api_service' WHERE id = $1", owner)

    async def everywhere(expected: int | str) -> bool:
        return {await pair.code(url, key["key"]) for url in (pair.first.url, pair.second)} == {expected}

    await _soon(lambda: everywhere("AURORA-4030"))
    await database.execute("UPDATE users SET role = 'viewer' WHERE id = $1", owner)
    await _soon(lambda: everywhere(200))
    await database.execute("UPDATE users SET disabled_at = now() WHERE id = $1", owner)
    await _soon(lambda: everywhere("AURORA-4012"))


async def test_requests_are_counted_together_and_none_is_lost(pair: Pair) -> None:
    token = pair.first.token_of("viewer", sub=f"user_{secrets.token_hex(13)}")

    async def one(number: int) -> int:
        url = (pair.first.url, pair.second)[number % 2]
        return (await pair.ask(url, "GET", ALERTS, pair.first.bearer(token)))[0]

    statuses = await asyncio.gather(*(one(number) for number in range(LIMIT + 30)))
    assert (statuses.count(200), statuses.count(429)) == (LIMIT, 30)


async def _many(pair: Pair, url: str, path: str, address: str | list[str], most: int) -> int:
    """How many requests from an address are let through, of `most`."""
    told = [("X-Forwarded-For", part) for part in ([address] if isinstance(address, str) else address)]
    passed = 0
    for _ in range(most):
        async with pair.first.http.get(url + path, headers=told) as response:
            passed += response.status != 429
            if response.status == 429:
                assert 1 <= int(response.headers["Retry-After"]) <= 60
                break
    return passed


async def test_addresses_behind_a_trusted_proxy_are_counted_apart(pair: Pair) -> None:
    assert await _many(pair, pair.first.url, PROVIDERS, "203.0.113.1", LIMIT + 1) == LIMIT
    assert await _many(pair, pair.second, PROVIDERS, "203.0.113.1", 1) == 0
    assert await _many(pair, pair.second, PROVIDERS, "203.0.113.2", 1) == 1
    # What the client wrote itself stands before what the proxy adds, on the same line or on one of its own.
    assert await _many(pair, pair.first.url, PROVIDERS, "198.51.100.7, 203.0.113.1", 1) == 0
    assert await _many(pair, pair.first.url, PROVIDERS, ["198.51.100.7", "203.0.113.1"], 1) == 0


async def test_paths_of_the_rca_api_have_a_limit_of_their_own(pair: Pair) -> None:
    address = {"X-Forwarded-For": "203.0.113.9"}
    for left in (*range(RCA_LIMIT - 1, -1, -1), None):
        async with pair.first.http.post(
            pair.first.url + "/api/auth/login",
            json={"email": "nobody@example.org", "password": "x" * 8},
            headers=address,
        ) as response:
            headers, body = response.headers, await response.json()
        assert headers["X-RateLimit-Limit"] == str(RCA_LIMIT)
        assert headers["RateLimit-Policy"] == f'"rca";q={RCA_LIMIT};w=60'
        if left is None:
            assert (response.status, body["code"], set(body)) == (429, "AURORA-4290", {"error", "code"})
        else:
            assert (response.status, headers["X-RateLimit-Remaining"]) == (401, str(left))
    async with pair.first.http.get(pair.first.url + PROVIDERS, headers=address) as response:
        assert (response.status, response.headers["X-RateLimit-Remaining"]) == (200, str(LIMIT - 1))


async def test_without_redis_each_process_counts_alone_and_nobody_signed_in_passes(
    pair: Pair, servers: Servers
) -> None:
    valkey = psutil.Process(servers.processes["valkey"].pid)
    valkey.suspend()
    try:
        for url in (pair.first.url, pair.second):
            assert await _many(pair, url, PROVIDERS, "203.0.113.77", LIMIT + 1) == LIMIT
            assert await pair.code(url, pair.first.token) == "AURORA-5030"
    finally:
        valkey.resume()

    async def back() -> bool:
        return (
            await pair.code(pair.first.url, pair.first.token) == await pair.code(pair.second, pair.first.token) == 200
        )

    await _soon(back)


async def test_the_key_of_access_tokens_is_replaced_while_both_run(pair: Pair) -> None:
    before, file = pair.first.keys["token"], pair.folder / "token.jwks"
    old, new = pair.first.token, new_private_key()
    names = {thumbprint(before), thumbprint(new)}

    def accept(*pems: str) -> None:
        scratch = file.with_suffix(".new")
        scratch.write_bytes(orjson.dumps({"keys": [public_jwk(thumbprint(pem), pem) for pem in pems]}))
        scratch.replace(file)

    async def published(url: str) -> set[str]:
        _, jwks = await pair.ask(url, "GET", "/.well-known/jwks.json", {})
        return {jwk["kid"] for jwk in jwks["keys"]}

    accept(before, new)
    (pair.folder / "token.key").write_text(new)
    # One process may sign with the new key before the other has looked at its files.
    pair.first.keys["token"] = new
    for url in (pair.first.url, pair.second):
        assert await pair.code(url, pair.first.token_of("viewer")) == 200
        assert await pair.code(url, old) == 200
        assert await published(url) == names

    async def signs_anew() -> bool:
        pair.first.token = (await pair.first.sign_in())["access_token"]
        return await pair.code(pair.second, pair.first.token) == 200 and _kid(pair.first.token) == thumbprint(new)

    await _soon(signs_anew)
    accept(new)

    async def retired() -> bool:
        return {await pair.code(url, old) for url in (pair.first.url, pair.second)} == {"AURORA-4012"}

    await _soon(retired)
    assert await published(pair.second) == {thumbprint(new)}
    assert await pair.code(pair.second, pair.first.token) == 200


def _kid(token: str) -> str:
    import jwt

    return str(jwt.get_unverified_header(token)["kid"])
