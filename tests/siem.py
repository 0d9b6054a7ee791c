"""A real siem process on the real servers: started, killed, started again on the same data.

With `--clickhouse-server` it uses ClickHouse's HTTP interface, with the same engine behind it in a process of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from shared.clickhouse import Embedded, Server
from shared.client import Client
from shared.clock import new_id
from shared.config import child_environment
from shared.contracts.constants import SCOPES
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogQuery
from shared.identity import Principal, Signer
from shared.keyring import new_private_key, service_jwk
from tests.roles import service_dsn
from tests.stack import Servers

ADMIN = Principal("user_test", "user", "test", "admin", frozenset(SCOPES))
INGEST = "/api/v1/siem/logs/ingest"
#: Set by `--clickhouse-server`, for whoever doesn't name a place for the logs.
ON_A_SERVER = False
_START_SECONDS = 60
_STOP_SECONDS = 15


@dataclass
class Siem:
    """A siem and the data it keeps between starts."""

    environment: dict[str, str]
    log_file: Path
    signer: Signer
    #: What the process is started by, such as a command that gives it a disk of its own.
    under: tuple[str, ...] = ()
    url: str = ""
    process: asyncio.subprocess.Process | None = None
    _http: aiohttp.ClientSession | None = field(default=None, repr=False)

    def headers(self, principal: Principal = ADMIN) -> dict[str, str]:
        """The Authorization that the gateway would send."""
        return {"Authorization": f"Bearer {self.signer.token_for(principal, 'siem')}"}

    def place(self) -> Embedded | Server:
        """Where its logs are; in process, only for whoever has stopped it."""
        url = self.environment.get("AURORA_CLICKHOUSE_URL")
        return Server(url) if url else Embedded(Path(self.environment["AURORA_CLICKHOUSE_PATH"]))

    def client(self) -> Client:
        """A typed client with the admin's identity; close it."""
        return Client(self.url, token=lambda: self.signer.token_for(ADMIN, "siem"))

    async def start(self) -> None:
        """Starts the process and waits until it serves."""
        already = len(self.log_file.read_bytes()) if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.under, sys.executable, "-m", "services", "siem", env=self.environment, stderr=log
            )
        async with asyncio.timeout(_START_SECONDS):
            while not (serving := [line for line in self._lines(already) if line["message"] == "serving"]):
                assert self.process.returncode is None, self._lines(already)
                await asyncio.sleep(0.02)
        self.url = f"http://127.0.0.1:{serving[0]['port']}"

    async def kill(self) -> None:
        """kill -9."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                return await self.process.wait()
        except TimeoutError:
            await self.kill()
            raise

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged in all its starts."""
        return self._lines(0)

    def _lines(self, already: int) -> list[dict[str, Any]]:
        whole = [line for line in self.log_file.read_bytes()[already:].splitlines(True) if line.endswith(b"}\n")]
        return [orjson.loads(line) for line in whole]

    async def ingest(
        self,
        body: bytes | str | list[Any] | dict[str, Any],
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, decoded body and headers of an intake request."""
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else orjson.dumps(body)
        sent = {"Content-Type": content_type, **self.headers(), **(headers or {})}
        http = self.http()
        async with http.post(self.url + INGEST, data=data, params=dict(query or {}), headers=sent) as response:
            return response.status, orjson.loads(await response.read()), response.headers

    async def search(self, q: str = "", **query: Any) -> list[LogEvent]:
        """The first page of a search."""
        async with self.client() as client:
            return (await client.call(SEARCH_LOGS, query=LogQuery(q=q, **query))).items

    def http(self) -> aiohttp.ClientSession:
        """A session that `close` closes."""
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        return self._http

    async def close(self) -> None:
        """Ends the process, if it still runs, and the session."""
        if self._http is not None:
            await self._http.close()
        if self.process is not None and self.process.returncode is None:
            await self.stop()


@asynccontextmanager
async def siem(servers: Servers, folder: Path, *under: str, **settings: str) -> AsyncIterator[Siem]:
    """A siem with data under `folder` and a schema of its own, started by the command `under`; `settings` are AURORA_
    variables in lower case."""
    keys = {name: new_private_key() for name in ("gateway", "siem")}
    (folder / "siem.key").write_text(keys["siem"])
    jwks = {"keys": [service_jwk(name, key) for name, key in keys.items()]}
    (folder / "identity.jwks").write_bytes(orjson.dumps(jwks))
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {
        "AURORA_POSTGRES_DSN": await service_dsn(servers, f"siem_{new_id().replace('-', '')[-12:]}"),
        "AURORA_NATS_URL": servers.nats_url,
        "AURORA_NATS_USER": servers.nats_user,
        "AURORA_NATS_PASSWORD_FILE": str(servers.nats_password_file),
        "AURORA_REDIS_URL": servers.redis_url,
        "AURORA_REDIS_PASSWORD_FILE": str(servers.redis_password_file),
        "AURORA_IDENTITY_KEY_FILE": str(folder / "siem.key"),
        "AURORA_IDENTITY_JWKS_FILE": str(folder / "identity.jwks"),
        "AURORA_HTTP_PORT": "0",
        "AURORA_CLICKHOUSE_PATH": str(folder / "clickhouse"),
        "TMPDIR": str(temporary),
        **{f"AURORA_{name.upper()}": value for name, value in settings.items()},
    }
    async with AsyncExitStack() as servers_of_its_own:
        if ON_A_SERVER and not settings.keys() & {"clickhouse_url", "clickhouse_path"}:
            from tests.clickhouse_http import clickhouse_server  # loads the engine, which nobody else needs here

            url = await servers_of_its_own.enter_async_context(clickhouse_server(folder))
            environment["AURORA_CLICKHOUSE_URL"] = url
        signer = Signer("gateway", keys["gateway"])
        running = Siem(child_environment(environment), folder / "siem.log", signer, under)
        try:
            await running.start()
            yield running
        finally:
            await running.close()
