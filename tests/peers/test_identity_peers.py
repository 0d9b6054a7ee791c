"""Identity providers that nobody here wrote: oidc-provider and samlp (npm). People sign in at them and end up here."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest
import pytest_asyncio

from tests.gateway import Gateway
from tests.saml_idp import Idp
from tests.sign_in import API, free_port, gateway_with
from tests.stack import Servers

SCRIPTS = Path(__file__).parent / "identity"
ME = "/api/v1/users/me"
_STEPS = 12


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and the pinned packages; skips where npm is missing or can't reach a registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("identity") / "peers"
    shutil.copytree(SCRIPTS, folder)
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode != 0:
        pytest.skip(f"npm install failed: {installed.stderr[-300:]}")
    return folder


@asynccontextmanager
async def node(folder: Path, script: str, *arguments: str) -> AsyncIterator[str]:
    """Runs a server; its address."""
    process = await asyncio.create_subprocess_exec(
        "node",
        script,
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        await process.wait()


@dataclass
class Peers:
    """A gateway and the two providers that it knows."""

    gateway: Gateway
    oidc: str
    saml: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def peers(packages: Path, servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Peers]:
    folder, port, idp = tmp_path_factory.mktemp("gateway"), free_port(), Idp()
    here = f"http://127.0.0.1:{port}{API}"
    (folder / "client.secret").write_text("a secret: of/the+client")
    (folder / "key.pem").write_bytes(idp.key_pem)
    (folder / "certificate.pem").write_bytes(idp.certificate_pem)
    pair = [str(folder / "key.pem"), str(folder / "certificate.pem")]
    async with (
        node(packages, "oidc.js", f"{here}/oidc/callback") as oidc,
        node(packages, "saml.js", *pair, f"{here}/saml/acs", f"{here}/saml/metadata") as saml,
    ):
        async with aiohttp.ClientSession() as session, session.get(f"{saml}/metadata") as response:
            (folder / "idp.xml").write_text(await response.text())
        by_oidc = {
            "id": "node",
            "name": "oidc-provider",
            "issuer": oidc,
            "client_id": "aurora",
            "client_secret_file": "client.secret",
            "scopes": ["profile", "email", "groups"],
            "roles": {"map": {"soc-leads": "admin"}},
        }
        claims = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
        by_saml = {
            "id": "samlp",
            "name": "samlp",
            "metadata_file": "idp.xml",
            "email_attribute": f"{claims}/emailaddress",
            "name_attribute": f"{claims}/name",
        }
        async with gateway_with(servers, folder, port, oidc=[by_oidc], saml=[by_saml]) as running:
            yield Peers(running, oidc, saml)


@dataclass
class Page:
    """What a browser shows."""

    url: str
    status: int
    text: str


class Person:
    """Somebody with a browser, who follows links, fills in forms and keeps cookies."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def go(self, url: str) -> Page:
        """Where the way ends that begins with this address."""
        page = await self._show(self.http.get(url))
        for _ in range(_STEPS):
            form = re.search(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', page.text, re.DOTALL)
            if form is None:
                return page
            target = urljoin(page.url, html.unescape(form[1]))
            page = await self._show(self.http.post(target, data=self._filled(form[2])))
        raise AssertionError(f"no end of forms: {page.text}")

    def _filled(self, form: str) -> Mapping[str, str]:
        given = {"login": self.name, "password": "anything"}
        fields = {}
        for tag in re.findall(r"<input[^>]*>", form):
            attributes = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            if "name" in attributes:
                name = attributes["name"]
                fields[name] = given.get(name) or html.unescape(attributes.get("value", ""))
        return fields

    async def _show(self, asked: Any) -> Page:
        async with asked as response:
            return Page(str(response.url), response.status, await response.text())


@asynccontextmanager
async def person(name: str) -> AsyncIterator[Person]:
    """Somebody who closes the browser in the end."""
    somebody = Person(name)
    try:
        yield somebody
    finally:
        await somebody.http.close()


async def _profile(peers: Peers, page: Page) -> Any:
    assert page.status == 200, page
    token = json.loads(page.text)["access_token"]
    _, profile, _ = await peers.gateway.get(ME, headers=peers.gateway.bearer(token))
    return profile


async def test_a_program_signs_in_at_oidc_provider(peers: Peers) -> None:
    async with person("lead-ada") as ada:
        profile = await _profile(peers, await ada.go(f"{peers.gateway.url}{API}/oidc/login"))
    assert (profile["username"], profile["role"]) == ("lead-ada", "admin")
    assert (profile["email"], profile["name"]) == ("lead-ada@example.org", "Person lead-ada")


async def test_a_browser_signs_in_at_oidc_provider(peers: Peers) -> None:
    async with person("grace") as grace:
        page = await grace.go(f"{peers.gateway.url}{API}/oidc/login?next={ME}")
        assert page.url == peers.gateway.url + ME
        assert json.loads(page.text)["username"] == "grace"
        assert json.loads(page.text)["role"] == "viewer"


async def test_oidc_provider_may_replace_its_keys_while_everything_runs(peers: Peers) -> None:
    async with person("before") as before:
        await _profile(peers, await before.go(f"{peers.gateway.url}{API}/oidc/login"))
        async with before.http.post(f"{peers.oidc}/rotate") as response:
            assert response.status == 200
    async with person("after") as after:
        profile = await _profile(peers, await after.go(f"{peers.gateway.url}{API}/oidc/login"))
    assert profile["username"] == "after"


async def test_a_program_signs_in_at_samlp_by_its_metadata(peers: Peers) -> None:
    async with person("hopper") as hopper:
        await hopper.http.post(f"{peers.saml}/user/hopper")
        profile = await _profile(peers, await hopper.go(f"{peers.gateway.url}{API}/saml/login"))
    assert (profile["username"], profile["email"]) == ("hopper@example.org", "hopper@example.org")
    assert (profile["name"], profile["role"]) == ("Person hopper", "viewer")


async def test_a_browser_signs_in_at_samlp(peers: Peers) -> None:
    async with person("lovelace") as lovelace:
        await lovelace.http.post(f"{peers.saml}/user/lovelace")
        page = await lovelace.go(f"{peers.gateway.url}{API}/saml/login?next={ME}")
        assert page.url == peers.gateway.url + ME
        assert json.loads(page.text)["email"] == "lovelace@example.org"
