"""JSON-RPC implementations that nobody here wrote: jayson and json-rpc-2.0 (npm, over ws) call an agent's port, and
our Peer calls a jayson server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.contracts.agents import (
    ANALYZE_THREAT,
    DESCRIBE,
    AgentDescription,
    AnalyzeThreat,
    Assessment,
    Nothing,
)
from shared.errors import INTERNAL, METHOD_NOT_ALLOWED, AuroraError
from shared.rpc import CallContext, Peer, Server, bind, serve
from tests import rpc_kit as kit

SCRIPTS = Path(__file__).parent / "jsonrpc"
SECONDS = 60.0


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and the pinned packages; skips where npm is missing or can't reach a registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("jsonrpc") / "peers"
    shutil.copytree(SCRIPTS, folder)
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode != 0:
        pytest.skip(f"npm install failed: {installed.stderr[-300:]}")
    return folder


async def run_node(folder: Path, script: str, *arguments: str) -> Any:
    """What a script prints, as objects."""
    process = await asyncio.create_subprocess_exec(
        "node", str(folder / script), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, errors.decode()
    return json.loads(output)


async def analyze(params: AnalyzeThreat, _context: CallContext) -> Assessment:
    return Assessment(severity="high", confidence=0.89, mitre_techniques=["T1566.001"], iocs=params.iocs)


async def describe(_params: Nothing, _context: CallContext) -> AgentDescription:
    return AgentDescription("triage", "Looks first.", ["analyze_threat", "describe"], [])


@pytest_asyncio.fixture
async def agent() -> AsyncIterator[Server]:
    server = await serve(
        [bind(ANALYZE_THREAT, analyze), bind(DESCRIBE, describe)],
        host=kit.HOST,
        port=0,
        authenticate=kit.authenticate,
    )
    yield server
    await server.close(grace=0)


async def test_jayson_calls_an_agent(packages: Path, agent: Server) -> None:
    got = await run_node(packages, "jayson_client.js", kit.address(agent), kit.TOKEN)
    assert got["assessment"]["id"] == "req-001"
    assert got["assessment"]["result"]["mitre_techniques"] == ["T1566.001"]
    assert got["assessment"]["result"]["iocs"] == [{"type": "ip", "value": "45.33.32.156"}]
    assert got["unknown"] == {
        "jsonrpc": "2.0",
        "error": {"code": -32601, "message": "Method not found"},
        "id": "req-002",
    }
    assert got["positional"]["error"]["code"] == -32602
    assert got["generated"]["result"]["agent"] == "triage"
    assert [(reply["id"], "result" in reply) for reply in got["batch"]] == [("first", True), ("second", False)]
    assert got["many"] == [f"many-{number}" for number in range(100)]


async def test_jayson_without_a_valid_token_is_refused(packages: Path, agent: Server) -> None:
    assert await run_node(packages, "jayson_client.js", kit.address(agent), "wrong") == {"status": 401}


async def test_json_rpc_2_calls_an_agent(packages: Path, agent: Server) -> None:
    got = await run_node(packages, "json_rpc_2_client.js", kit.address(agent), kit.TOKEN)
    assert got["assessment"]["severity"] == "high"
    assert got["unknown"] == {"code": -32601, "message": "Method not found"}
    assert got["invalid"]["code"] == -32602
    assert got["invalid"]["data"] == {
        "code": "AURORA-4220",
        "detail": [{"path": "params.iocs[0]", "message": "Object missing required field `value`"}],
    }
    assert got["afterwards"] == "triage"


async def test_what_a_port_serves_is_an_openrpc_document(packages: Path, agent: Server, tmp_path: Path) -> None:
    async with kit.raw(agent) as socket:
        reply = await kit.ask(socket, {"jsonrpc": "2.0", "method": "rpc.discover", "id": 1})
    file = tmp_path / "openrpc.json"
    file.write_text(json.dumps(reply["result"]), encoding="utf-8")
    found = await run_node(packages, "openrpc_document.js", str(file))
    assert found == {"valid": True, "errors": [], "refusesNonsense": True}


async def test_our_peer_calls_a_jayson_server(packages: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(packages / "jayson_server.js"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SECONDS):
            port = int(await process.stdout.readline())
            async with Peer(f"ws://{kit.HOST}:{port}/", lambda: "any") as peer:
                differences = await asyncio.gather(
                    *(peer.call(kit.SUBTRACT, kit.Subtract(42, n), timeout=SECONDS) for n in range(50))
                )
                with pytest.raises(AuroraError) as unknown:
                    await peer.call(kit.UNKNOWN, kit.Empty(), timeout=SECONDS)
                with pytest.raises(AuroraError) as refused:
                    await peer.call(kit.REFUSE, kit.Empty(), timeout=SECONDS)
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), SECONDS)
    assert differences == [42 - n for n in range(50)]
    assert unknown.value.code is METHOD_NOT_ALLOWED
    assert refused.value.code is INTERNAL
    assert refused.value.detail == {"rpc_code": -32000}
