"""`aurora agents`: who is up, which tools an agent has, and what it called."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from cli import options, session
from cli.paging import every
from cli.terminal import output, print_json, safe, table
from shared.contracts.agents import AgentTool
from shared.contracts.common import PageQuery
from shared.contracts.fleet import (
    LIST_AGENT_TOOLS,
    LIST_AGENTS,
    LIST_TOOL_CALLS,
    FleetAgent,
    ToolCall,
    ToolCallQuery,
)
from shared.contracts.wire import encode, format_time

_LENGTH = 100


@click.group("agents")
def command() -> None:
    """Agents: the specialists that investigate."""


@command.command("list")
@options.data_dir
@options.url
@options.as_json
def list_(data_dir: Path, url: str | None, as_json: bool) -> None:
    """List the agents and how many processes serve each."""
    agents = asyncio.run(_agents(session.find(data_dir, url)))
    if as_json:
        for agent in agents:
            print_json(agent)
        return
    rows = table("agent", "status", "instances", "version", "what it does")
    for agent in agents:
        rows.add_row(
            safe(agent.id), agent.status, str(len(agent.instances)), safe(agent.version), safe(agent.description)
        )
    output().print(rows)


async def _agents(target: session.Target) -> list[FleetAgent]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_AGENTS, PageQuery())


@command.command("tools")
@click.argument("agent")
@options.data_dir
@options.url
@options.as_json
def tools(agent: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """List the tools of an agent; --json has their arguments as JSON Schema."""
    found = asyncio.run(_tools(session.find(data_dir, url), agent))
    if as_json:
        for tool in found:
            print_json(tool)
        return
    rows = table("tool", "permission", "what it does")
    for tool in found:
        rows.add_row(safe(tool.name), safe(tool.permission or "none"), safe(tool.description))
    output().print(rows)


async def _tools(target: session.Target, agent: str) -> list[AgentTool]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_AGENT_TOOLS, PageQuery(), path={"agent_id": agent})


@command.command("calls")
@click.argument("agent")
@click.option("--id", "identifier", help="The one with this address, as verdicts cite it.")
@click.option("--tool", help="Those of this tool.")
@click.option("--investigation", help="Those of this investigation.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def calls(
    agent: str,
    identifier: str | None,
    tool: str | None,
    investigation: str | None,
    limit: int,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """List the tool calls of an agent, newest first; --json has their results."""
    query = ToolCallQuery(id=identifier, tool=tool, investigation_id=investigation)
    found = asyncio.run(_calls(session.find(data_dir, url), agent, query, limit))
    if as_json:
        for call in found:
            print_json(call)
        return
    rows = table("id", "ended", "tool", "arguments", "outcome")
    for call in found:
        arguments = encode(call.arguments).decode()
        shown = arguments if len(arguments) <= _LENGTH else arguments[: _LENGTH - 1] + "…"
        rows.add_row(
            call.id, format_time(call.finished_at), safe(call.tool), safe(shown), safe(call.error or "completed")
        )
    output().print(rows)


async def _calls(target: session.Target, agent: str, query: ToolCallQuery, limit: int) -> list[ToolCall]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_TOOL_CALLS, query, limit=limit, path={"agent_id": agent})
