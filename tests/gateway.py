"""A real gateway process on the real servers, and a small real service behind it."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import redis.asyncio as redis
from aiohttp import web

from shared.clock import new_id, utc_now
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.constants import Endpoint
from shared.contracts.system import Health
from shared.http import Call, Route, application, json_response
from shared.identity import Principal, Verifier, bearer, sign_claims
from shared.keyring import load_private_key, new_private_key, service_jwk, thumbprint
from shared.migrate import provision
from tests.stack import Servers

ADMIN_PASSWORD = "correct horse battery staple"
_START_SECONDS = 30
#: Valkey has sixteen; the first is everybody's.
_REDIS_DATABASES = set(range(1, 16))

Answer = Callable[[Call[Any, Any]], Awaitable[Any]]


@dataclass
class Upstream:
    """A service behind the gateway: checks the signed identity, and answers what the test says.

    `answers` maps an endpoint to its handler; without one the answer tells what arrived.
    """

    name: str
    url: str = ""
    answers: dict[Endpoint[Any, Any, Any], Answer] = field(default_factory=dict)
    seen: list[web.Request] = field(default_factory=list)
    principals: list[Principal] = field(default_factory=list)

    async def answer(self, endpoint: Endpoint[Any, Any, Any], call: Call[Any, Any]) -> Any:
        """The test's answer, or an account of what arrived."""
        self.seen.append(call.request)
        self.principals.append(call.principal)
        if endpoint in self.answers:
            return await self.answers[endpoint](call)
        body = call.body if isinstance(call.body, bytes) else b""
        return {
            "endpoint": str(endpoint),
            "path": dict(call.path),
            "query": dict(call.request.query),
            "headers": {name.lower(): value for name, value in call.request.headers.items()},
            "principal": {"id": call.principal.id, "role": call.principal.role},
            "body_bytes": len(body),
        }


@asynccontextmanager
async def upstream(name: str, jwks: Mapping[str, Any]) -> AsyncIterator[Upstream]:
    """Serves every endpoint of the service `name` on a free port."""
    service = Upstream(name)
    verifier = Verifier(name, jwks)

    async def authenticate(request: web.Request) -> Principal:
        return verifier.verify(bearer(request.headers.get("Authorization")))

    def route(endpoint: Endpoint[Any, Any, Any]) -> Route:
        async def handle(call: Call[Any, Any]) -> Any:
            return await service.answer(endpoint, call)

        return Route(endpoint, handle)

    routes = [route(endpoint) for endpoint in ENDPOINTS.values() if endpoint.service == name]
    app = application(name, routes, authenticate=authenticate, mode=lambda: "monitor")

    async def health(_request: web.Request) -> web.Response:
        return json_response(Health("healthy", utc_now(), 0.0, {}))

    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield service
    finally:
        await runner.cleanup()


@dataclass
class Gateway:
    """A gateway that runs. `token` is of the admin."""

    url: str
    process: asyncio.subprocess.Process
    log_file: Path
    upstreams: dict[str, Upstream]
    http: aiohttp.ClientSession
    environment: dict[str, str]
    keys: dict[str, str]
    token: str = ""

    def bearer(self, token: str | None = None) -> dict[str, str]:
        """The Authorization header of a token, the admin's by default."""
        return {"Authorization": f"Bearer {token or self.token}"}

    async def sign_in(self, username: str = "admin", password: str = ADMIN_PASSWORD) -> dict[str, Any]:
        """The token response."""
        body = {"username": username, "password": password}
        async with self.http.post(f"{self.url}/api/v1/auth/token", json=body) as response:
            assert response.status == 200, await response.text()
            answer: dict[str, Any] = await response.json()
            return answer

    async def get(self, path: str, **options: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Status, decoded body and headers of a GET with the admin's token."""
        return await self.ask("GET", path, **options)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any, Mapping[str, str]]:
        """Status, decoded body and headers; with the admin's token unless `headers` has another."""
        headers = {**self.bearer(), **options.pop("headers", {})}
        async with self.http.request(method, self.url + path, headers=headers, **options) as response:
            data = await response.read()
            decoded = orjson.loads(data) if response.content_type.endswith("json") else data
            return response.status, decoded, response.headers

    def token_of(self, role: str, **claims: Any) -> str:
        """An access token of a user with this role; `claims` replace its own."""
        now = int(time.time())
        own = {"iss": "aurora", "aud": "aurora", "iat": now, "exp": now + 600, "jti": new_id()}
        person = {"sub": f"user_{role}", "sid": new_id(), "name": role, "role": role}
        return self.sign({**own, **person, **claims})

    def sign(self, claims: Mapping[str, Any], key: str = "token", kid: str | None = None) -> str:
        """A JWT with one of the gateway's keys."""
        pem = self.keys[key]
        return sign_claims(claims, kid or thumbprint(pem), load_private_key(pem))

    async def logged(self, request_id: str) -> list[dict[str, Any]]:
        """What was logged about a request, once anything was."""
        async with asyncio.timeout(_START_SECONDS):
            while True:
                found = [line for line in self.log() if line.get("request_id") == request_id]
                if found:
                    return found
                await asyncio.sleep(0.02)

    def log(self) -> list[dict[str, Any]]:
        """What the gateway has logged."""
        return _lines(self.log_file)


@asynccontextmanager
async def _redis_database(servers: Servers) -> AsyncIterator[str]:
    """The URL of an empty database that no other running gateway has: its counters count for one gateway."""
    database = _REDIS_DATABASES.pop()
    url = servers.redis_url.rpartition("/")[0] + f"/{database}"
    try:
        async with redis.Redis.from_url(url, password=servers.redis_password) as connection:
            await connection.flushdb()
        yield url
    finally:
        _REDIS_DATABASES.add(database)


async def _environment(servers: Servers, folder: Path, upstreams: Mapping[str, str], redis_url: str) -> dict[str, str]:
    name = f"gateway_{secrets.token_hex(4)}"
    password = secrets.token_urlsafe(16)
    await provision(servers.postgres_admin_dsn, name, password)
    passfile = folder / "postgres.pass"
    passfile.write_text(f"*:*:*:*:{password}\n")
    passfile.chmod(0o600)
    base = servers.postgres_admin_dsn.split("?")[0].split("@")[1]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AURORA_")},
        "AURORA_POSTGRES_DSN": f"postgresql://aurora_{name}@{base}?passfile={passfile}",
        "AURORA_NATS_URL": servers.nats_url,
        "AURORA_NATS_USER": servers.nats_user,
        "AURORA_NATS_PASSWORD_FILE": str(servers.nats_password_file),
        "AURORA_REDIS_URL": redis_url,
        "AURORA_REDIS_PASSWORD_FILE": str(servers.redis_password_file),
        "AURORA_IDENTITY_KEY_FILE": str(folder / "gateway.key"),
        "AURORA_IDENTITY_JWKS_FILE": str(folder / "identity.jwks"),
        "AURORA_TOKEN_KEY_FILE": str(folder / "token.key"),
        "AURORA_ADMIN_PASSWORD_FILE": str(folder / "admin.password"),
        "AURORA_GATEWAY_HTTP_PORT": "0",
        "AURORA_DRAIN_SECONDS": "3",
        # All tests sign in from one address.
        "AURORA_LOGIN_ATTEMPTS_PER_MINUTE": "1000",
        # The least that is allowed: a quarter of the time at each sign-in.
        "AURORA_PASSWORD_COST": "10",
    }
    for service, url in upstreams.items():
        environment[f"AURORA_{service.upper()}_URL"] = url
    return environment


@asynccontextmanager
async def process(
    environment: Mapping[str, str], log_file: Path, service: str = "gateway"
) -> AsyncIterator[tuple[str, Any]]:
    """A process of the service with this environment: its URL and the process. Stopped with SIGTERM at the end."""
    with log_file.open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services", service, env=dict(environment), stderr=log
        )
    try:
        yield f"http://127.0.0.1:{await _port(child, log_file)}", child
    finally:
        if child.returncode is None:
            child.terminate()
            try:
                async with asyncio.timeout(15):
                    await child.wait()
            except TimeoutError:
                child.kill()
                await child.wait()
                raise


async def _port(child: asyncio.subprocess.Process, log_file: Path) -> int:
    async with asyncio.timeout(_START_SECONDS):
        while not (serving := _lines(log_file, "serving")):
            assert child.returncode is None, _lines(log_file)
            await asyncio.sleep(0.02)
    return int(serving[0]["port"])


def _lines(log_file: Path, message: str | None = None) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in log_file.read_bytes().splitlines(keepends=True) if line.endswith(b"}\n")]
    return [line for line in lines if message in (None, line["message"])]


@asynccontextmanager
async def gateway(servers: Servers, folder: Path, **settings: str) -> AsyncIterator[Gateway]:
    """A gateway with `siem` and `orchestrator` behind it, and the admin signed in."""
    keys = {name: new_private_key() for name in ("gateway", "token", "siem")}
    jwks = {"keys": [service_jwk("gateway", keys["gateway"]), service_jwk("siem", keys["siem"])]}
    for name, text in (("gateway.key", keys["gateway"]), ("token.key", keys["token"])):
        (folder / name).write_text(text)
    (folder / "identity.jwks").write_bytes(orjson.dumps(jwks))
    (folder / "admin.password").write_text(ADMIN_PASSWORD + "\n")
    async with AsyncExitStack() as stack:
        behind = {name: await stack.enter_async_context(upstream(name, jwks)) for name in ("siem", "orchestrator")}
        urls = {name: service.url for name, service in behind.items()}
        redis_url = await stack.enter_async_context(_redis_database(servers))
        environment = await _environment(servers, folder, urls, redis_url)
        environment.update({f"AURORA_{name.upper()}": value for name, value in settings.items()})
        log_file = folder / "gateway.log"
        url, child = await stack.enter_async_context(process(environment, log_file))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), auto_decompress=True)
        )
        running = Gateway(url, child, log_file, behind, http, environment, keys)
        running.token = (await running.sign_in())["access_token"]
        yield running
