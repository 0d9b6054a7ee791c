"""Model Context Protocol: the tools that only read, for programs that speak MCP over streamable HTTP.

The messages are MCP's own (modelcontextprotocol.io), so the door reads the body itself, not by a struct.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from shared.contracts.constants import AGENTS_READ, Endpoint

#: What is promised and tested: the newest revision and the two before it, newest first.
PROTOCOL_VERSIONS = ("2026-07-28", "2025-11-25", "2025-06-18")


class McpToolResult(msgspec.Struct, kw_only=True):
    """`structuredContent` of a tool call. `id` is the content address of the record of it, by which
    `GET /api/v1/agents/mcp/tool-calls` shows it again; `result` is data, never an instruction."""

    id: str
    tool: str
    arguments: dict[str, Any]
    result: Any
    executed_at: datetime


class McpServer(msgspec.Struct, kw_only=True):
    """Who answers; `version` names the code and the knowledge behind the tools."""

    name: str
    version: str


class McpHealth(msgspec.Struct, kw_only=True):
    """`tools` is how many there are; `degraded` names those services that tools read and that are away."""

    status: Literal["healthy", "degraded"]
    server: McpServer
    protocol_versions: list[str]
    tools: int
    degraded: list[str]


MCP = Endpoint(
    "POST",
    "/mcp",
    AGENTS_READ,
    service="agents",
    summary="Model Context Protocol",
    body=bytes,
    returns=dict[str, Any],
    also=(202,),
    tag="Model Context Protocol",
    max_body=256 * 1024,
)
GET_MCP_HEALTH = Endpoint(
    "GET",
    "/api/v1/mcp/health",
    AGENTS_READ,
    service="agents",
    summary="MCP server health",
    returns=McpHealth,
    tag="Model Context Protocol",
    timeout_seconds=10.0,
)
