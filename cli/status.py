"""`aurora status`: what runs, where, and whether it answers now; which processes serve the agents, by their registry.

Asks with the keys of the data folder, in the operator's name: it needs no account and no gateway.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal

import click
import msgspec
from rich.text import Text

from cli import options
from cli.terminal import output, plain, print_json, safe, table
from deploy.local.keys import operator
from deploy.local.layout import DataFolder, holder_of
from deploy.local.readiness import serves
from deploy.local.runtime_file import Runtime, read_runtime
from shared.client import Client
from shared.config import read_secret
from shared.contracts.fleet import LIST_AGENTS, FleetAgent
from shared.contracts.wire import format_time
from shared.errors import AuroraError

_EXIT = {"running": 0, "starting": 1, "degraded": 1, "stopped": 3}
_REGISTRY_SECONDS = 8.0


class ProcessStatus(msgspec.Struct):
    """One process; `healthy` is the answer it gave just now."""

    name: str
    pid: int | None
    url: str
    healthy: bool


class Status(msgspec.Struct):
    """The whole answer, and what --json prints. `agents` is what the orchestrator knows of their registry; null when it
    doesn't answer."""

    state: Literal["running", "starting", "degraded", "stopped"]
    data_dir: str
    supervisor: int | None
    gateway: str | None
    processes: list[ProcessStatus]
    agents: list[FleetAgent] | None = None


@click.command("status")
@options.data_dir
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(data_dir: Path, as_json: bool) -> None:
    """Show each process, its address and its health; and each agent, its instances, since when and how many calls the
    orchestrator has under way there.

    Exit code: 0 when all are healthy, 1 when some aren't or the stack is still starting, 3 when nothing runs.
    """
    status = asyncio.run(_ask(DataFolder(data_dir)))
    if as_json:
        print_json(status)
    else:
        _show(status)
    sys.exit(_EXIT[status.state])


async def _ask(folder: DataFolder) -> Status:
    supervisor = holder_of(folder)
    if supervisor is None:
        return Status("stopped", str(folder.root), None, None, [])
    runtime = read_runtime(folder)
    if runtime is None:
        return Status("starting", str(folder.root), supervisor, None, [])
    processes, agents = await asyncio.gather(_processes(runtime), _agents(runtime, folder))
    healthy = all(process.healthy for process in processes)
    state: Literal["running", "degraded"] = "running" if healthy else "degraded"
    return Status(state, str(folder.root), supervisor, runtime.gateway, processes, agents)


async def _processes(runtime: Runtime) -> list[ProcessStatus]:
    pids = {name: process.pid for name, process in runtime.services.items()}
    urls = {name: process.url for name, process in runtime.services.items()}
    for name, agent in runtime.agents.items():
        urls[f"agent {name}"] = agent.url
    password = read_secret(Path(runtime.redis_password_file)) if runtime.redis_password_file else ""
    answers = await asyncio.gather(*(serves(url, password=password) for url in urls.values()))
    return [
        ProcessStatus(name, pids.get(name), url, healthy)
        for (name, url), healthy in zip(urls.items(), answers, strict=True)
    ]


async def _agents(runtime: Runtime, folder: DataFolder) -> list[FleetAgent] | None:
    orchestrator = runtime.services.get("orchestrator")
    if orchestrator is None:
        return None
    try:
        token = operator(folder).own_token("orchestrator")
        async with Client(orchestrator.url, token=lambda: token, timeout_seconds=_REGISTRY_SECONDS) as client:
            return (await client.call(LIST_AGENTS)).items
    except (AuroraError, OSError):
        return None


def _show(status: Status) -> None:
    if status.supervisor is None:
        click.echo(f"not running: {plain(status.data_dir)}")
        return
    click.echo(f"{status.state}: {plain(status.data_dir)}, supervisor pid {status.supervisor}")
    if not status.processes:
        return
    rows = table("process", "pid", "url", "health")
    for process in status.processes:
        rows.add_row(process.name, str(process.pid or ""), safe(process.url), _health(process.healthy))
    output().print(rows)
    if status.agents is None:
        click.echo("which processes serve the agents isn't known: the orchestrator doesn't answer")
    else:
        _show_agents(status.agents)


def _show_agents(agents: list[FleetAgent]) -> None:
    rows = table("agent", "status", "since", "calls", "card")
    for agent in agents:
        colour = "green" if agent.status == "up" else "red"
        for number, instance in enumerate(agent.instances):
            name, state = (safe(agent.id), Text(agent.status, colour)) if number == 0 else (Text(), Text())
            rows.add_row(name, state, format_time(instance.started_at), str(instance.under_way), safe(instance.card))
        if not agent.instances:
            rows.add_row(safe(agent.id), Text(agent.status, colour), "", "", "")
    output().print(rows)


def _health(healthy: bool) -> Text:
    return Text("healthy", "green") if healthy else Text("not answering", "red")
