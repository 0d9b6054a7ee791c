"""`aurora status`: what runs, where, and whether it answers now."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal

import click
import msgspec
from rich.console import Console
from rich.table import Table

from cli import options
from deploy.local.layout import DataFolder, holder_of
from deploy.local.readiness import serves
from deploy.local.runtime_file import Runtime, read_runtime
from shared.config import read_secret

_EXIT = {"running": 0, "starting": 1, "degraded": 1, "stopped": 3}


class ProcessStatus(msgspec.Struct):
    """One process; `healthy` is the answer it gave just now."""

    name: str
    pid: int | None
    url: str
    healthy: bool


class Status(msgspec.Struct):
    """The whole answer, and what --json prints."""

    state: Literal["running", "starting", "degraded", "stopped"]
    data_dir: str
    supervisor: int | None
    gateway: str | None
    processes: list[ProcessStatus]


@click.command("status")
@options.data_dir
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(data_dir: Path, as_json: bool) -> None:
    """Show each process, its address and its health.

    Exit code: 0 when all are healthy, 1 when some aren't or the stack is still starting, 3 when nothing runs.
    """
    status = asyncio.run(_ask(DataFolder(data_dir)))
    if as_json:
        click.echo(msgspec.json.encode(status))
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
    processes = await _processes(runtime)
    healthy = all(process.healthy for process in processes)
    return Status("running" if healthy else "degraded", str(folder.root), supervisor, runtime.gateway, processes)


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


def _show(status: Status) -> None:
    if status.supervisor is None:
        click.echo(f"not running: {status.data_dir}")
        return
    click.echo(f"{status.state}: {status.data_dir}, supervisor pid {status.supervisor}")
    if not status.processes:
        return
    table = Table("process", "pid", "url", "health", box=None)
    for process in status.processes:
        colour, word = ("green", "healthy") if process.healthy else ("red", "not answering")
        table.add_row(process.name, str(process.pid or ""), process.url, f"[{colour}]{word}")
    Console().print(table)
