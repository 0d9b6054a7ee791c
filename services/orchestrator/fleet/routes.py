"""The HTTP edge of the agent fleet."""

from __future__ import annotations

from services.orchestrator.fleet.service import FleetService
from shared.contracts.agents import AgentTool
from shared.contracts.common import Page, PageQuery
from shared.contracts.fleet import (
    LIST_AGENT_TOOLS,
    LIST_AGENTS,
    LIST_TOOL_CALLS,
    FleetAgent,
    ToolCall,
    ToolCallQuery,
)
from shared.http import Call, Route, bind


def routes(fleet: FleetService) -> list[Route]:
    """Every endpoint of the fleet, bound."""

    async def agents(call: Call[PageQuery, None]) -> Page[FleetAgent]:
        return await fleet.agents(call.query)

    async def tools(call: Call[PageQuery, None]) -> Page[AgentTool]:
        return await fleet.tools(call.path["agent_id"], call.query)

    async def tool_calls(call: Call[ToolCallQuery, None]) -> Page[ToolCall]:
        return await fleet.tool_calls(call.path["agent_id"], call.query)

    return [bind(LIST_AGENTS, agents), bind(LIST_AGENT_TOOLS, tools), bind(LIST_TOOL_CALLS, tool_calls)]
