"""The edges of the MCP server: its one door, and its health."""

from __future__ import annotations

from aiohttp import web

from services.agents.mcp.hosting import Hosted
from services.agents.mcp.service import ToolDesk
from shared.contracts.mcp import GET_MCP_HEALTH, MCP, McpHealth
from shared.http import Call, Route, bind


def routes(desk: ToolDesk, hosted: Hosted) -> list[Route]:
    """`hosted` speaks the protocol for the desk."""

    async def speak(call: Call[None, bytes]) -> web.StreamResponse:
        return await hosted.answer(call.request, call.body, {"principal": call.principal})

    async def health(_call: Call[None, None]) -> McpHealth:
        return await desk.health()

    return [bind(MCP, speak), bind(GET_MCP_HEALTH, health)]
