"""What the tests of signing in elsewhere share: a gateway with providers, and a browser's way through it."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from tests.gateway import Gateway, gateway
from tests.stack import Servers

API = "/api/v1/auth"
REFUSAL = "Sign-in failed"


def free_port() -> int:
    """A port that nobody listens on: a gateway must know its address before it starts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@asynccontextmanager
async def gateway_with(
    servers: Servers, folder: Path, port: int, *, oidc: list[Any] | None = None, saml: list[Any] | None = None
) -> AsyncIterator[Gateway]:
    """A gateway at `port` that knows these providers. Files that they name are in `folder`."""
    settings = {"gateway_http_port": str(port), "public_url": f"http://127.0.0.1:{port}"}
    for kind, providers in (("oidc", oidc), ("saml", saml)):
        if providers is not None:
            path = folder / f"{kind}.json"
            path.write_bytes(msgspec.json.encode({"providers": providers}))
            settings[f"{kind}_providers_file"] = str(path)
    async with gateway(servers, folder, **settings) as running:
        yield running


@dataclass
class Sent:
    """Where a browser was sent, and the cookies it was given for its way back."""

    location: str
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.location).query).items()}


async def begin(running: Gateway, kind: str, **query: str) -> Sent:
    """GET /auth/<kind>/login: where it sends the browser."""
    url = f"{running.url}{API}/{kind}/login"
    async with running.http.get(url, params=query, allow_redirects=False) as response:
        assert response.status == 302, await response.text()
        cookies = {name: morsel.value for name, morsel in response.cookies.items()}
        running.http.cookie_jar.clear()
        return Sent(response.headers["Location"], cookies)


async def answer(
    running: Gateway, method: str, url: str, cookies: Mapping[str, str], **options: Any
) -> tuple[int, Any, Mapping[str, str], SimpleCookie]:
    """Status, decoded body, headers and cookies of a request that brings these cookies and nothing else."""
    running.http.cookie_jar.clear()
    brought = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
    async with running.http.request(method, url, headers=brought, allow_redirects=False, **options) as response:
        body = await response.json() if response.content_type == "application/json" else await response.text()
        given = response.cookies
    running.http.cookie_jar.clear()
    return response.status, body, response.headers, given


def reasons(running: Gateway) -> list[str]:
    """Why sign-ins were refused, as logged, oldest first."""
    return [line["reason"] for line in running.log() if line["message"] == "sign-in refused" and "reason" in line]
