"""A gateway that is set up for cloud sign-in, and the ways through it that tests take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from shared.sealing import new_key_line
from tests.cloud_providers import REDIRECT_URI, Providers, answer_of, cloud_providers
from tests.gateway import Gateway, gateway
from tests.stack import Servers


@dataclass
class Clouds:
    """A gateway and the providers it is set up for."""

    gateway: Gateway
    providers: Providers
    me: str
    dsn: str

    @property
    def keys(self) -> str:
        """The text of the gateway's key file."""
        return Path(self.gateway.environment["AURORA_CLOUD_KEY_FILE"]).read_text()

    async def begin(self, user: str | None = None, token: str | None = None) -> tuple[str, str]:
        """POST /login: the URL of Google's page, and the cookie for the way back."""
        body, headers = {"userId": user or self.me}, self.gateway.bearer(token)
        async with self.gateway.http.post(f"{self.gateway.url}/login", json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            return (await response.json())["login_url"], response.cookies["aurora_cloud"].value

    async def consent(self, login_url: str) -> str:
        """The user agrees (or not): the query that the browser comes back with."""
        async with self.gateway.http.get(login_url, allow_redirects=False) as response:
            assert response.status == 302, await response.text()
            return answer_of(response.headers["Location"])

    async def back(self, query: str, **headers: str) -> tuple[int, Any]:
        """GET /callback as a browser; without more in `headers` it is nobody known."""
        async with self.gateway.http.get(f"{self.gateway.url}/callback?{query}", headers=headers) as response:
            return response.status, await response.json()

    async def connect_google(self, user: str | None = None, token: str | None = None) -> dict[str, Any]:
        """The whole way, in one browser; as the admin unless as another user."""
        login_url, cookie = await self.begin(user, token)
        status, connection = await self.back(await self.consent(login_url), Cookie=f"aurora_cloud={cookie}")
        assert status == 200, connection
        return dict(connection)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and answer, as the admin."""
        status, answer, _ = await self.gateway.ask(method, path, **options)
        return status, answer

    async def rows(self, sql: str) -> list[Any]:
        """What the database holds."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return list(await connection.fetch(sql))
        finally:
            await connection.close()

    async def until_rows(self, sql: str, count: int) -> None:
        """Waits until the database holds so many rows."""
        async with asyncio.timeout(20):
            while len(await self.rows(sql)) != count:  # noqa: ASYNC110 - another process writes them
                await asyncio.sleep(0.02)

    async def disconnected(self) -> None:
        """Nothing is connected and nothing left to revoke."""
        self.providers.away = self.providers.denies = self.providers.redirects = False
        for path in ("/api/gcp/force-disconnect", "/api/aws/disconnect", "/api/azure/disconnect"):
            assert (await self.ask("POST", path))[0] == 200
        await self.until_rows("SELECT * FROM cloud_revocations", 0)


def settings_of(providers: Providers, folder: Path) -> dict[str, str]:
    """The gateway's settings for these providers."""
    files = {"google.secret": providers.client_secret, "aws.secret": providers.aws_secret, "cloud.key": new_key_line()}
    for name, text in files.items():
        (folder / name).write_text(text)
    return {
        "cloud_key_file": str(folder / "cloud.key"),
        "cloud_retry_seconds": "0.1",
        "gcp_client_id": providers.client_id,
        "gcp_client_secret_file": str(folder / "google.secret"),
        "gcp_auth_url": f"{providers.url}/o/oauth2/auth",
        "gcp_token_url": f"{providers.url}/token",
        "gcp_revoke_url": f"{providers.url}/revoke",
        "gcp_redirect_uri": REDIRECT_URI,
        "aws_access_key_id": providers.aws_key_id,
        "aws_secret_access_key_file": str(folder / "aws.secret"),
        "aws_sts_url": providers.url,
        "azure_login_url": providers.url,
        "frontend_url": "https://console.example.org",
        "rca_requests_per_minute": "100000",
    }


@asynccontextmanager
async def clouds_running(servers: Servers, folder: Path, **settings: str) -> AsyncIterator[Clouds]:
    """The gateway and the stand-ins."""
    async with cloud_providers() as providers:  # noqa: SIM117 - the second needs the first
        async with gateway(servers, folder, **{**settings_of(providers, folder), **settings}) as running:
            _, me, _ = await running.get("/api/v1/users/me")
            yield Clouds(running, providers, me["id"], running.environment["AURORA_POSTGRES_DSN"])
