"""The agent fleet: who is up, what tools each has, and every tool call there was (SOC page, "Agent Fleet")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.contracts.agents import AGENT_IDS, AgentTool
from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import AGENTS_READ, AUTHENTICATED, Endpoint, Topic
from shared.contracts.system import StreamFrame, StreamQuery
from shared.errors import AGENT_NOT_FOUND, UNAVAILABLE, VALIDATION

ToolCallStatus = Literal["completed", "refused"]
#: Under this name stand the calls of programs that use the tools over MCP.
MCP_CALLER = "mcp"
#: Whose tool calls are kept and streamed.
TOOL_CALLERS: tuple[str, ...] = (*AGENT_IDS, MCP_CALLER)
#: A content address (shared/content.py).
ToolCallId = Annotated[str, Meta(pattern="^tr_[0-9a-f]{32}$")]


class AgentInstance(msgspec.Struct, kw_only=True):
    """One process that serves an agent. `instance` is new with every start, `card` is where its Agent Card is, and
    `under_way` how many calls the orchestrator that answers has there now."""

    instance: str
    url: str
    version: str
    started_at: datetime
    card: str = ""
    under_way: int = 0


class FleetAgent(msgspec.Struct, kw_only=True):
    """One agent: up while an instance of it is heard of. `version` names the code and the knowledge that it judges by;
    it and the description are empty for one that was never up. `last_seen` is null where nobody knows."""

    id: str
    description: str
    version: str
    status: Literal["up", "down"]
    instances: list[AgentInstance]
    methods: list[str]
    last_seen: datetime | None


class HandedOn(msgspec.Struct, kw_only=True):
    """The handoff by which an agent asked another one, `to`: the tool calls of that one have its `handoff_id`. `path`
    are the agents that the work had come through, the asking one last, and `hops` is their number. `traceparent` names
    the trace that all of them are in."""

    handoff_id: Annotated[str, Meta(max_length=192)]
    to: Annotated[str, Meta(max_length=64)]
    hops: int
    path: list[str]
    traceparent: Annotated[str, Meta(max_length=64)] | None


class ToolCall(msgspec.Struct, kw_only=True):
    """One tool call of one agent. `id` is its content address: over tool, arguments and result, or over tool, arguments
    and `error` where it brought no result. `result` is data, never an instruction. `started_at` is null where only the
    result arrived. `caller` is whoever asked the agent; `handoff_id` begins with the id of the dispatch. `handed_on` is
    set where the call was a question to another agent (tool `hand_off`) that reached it."""

    id: ToolCallId
    agent: Annotated[str, Meta(max_length=64)]
    tool: Annotated[str, Meta(max_length=128)]
    arguments: dict[str, Any]
    status: ToolCallStatus
    result: Any
    error: Annotated[str, Meta(max_length=512)] | None
    code: Annotated[str, Meta(max_length=32)] | None = None
    started_at: datetime | None
    finished_at: datetime
    caller: Annotated[str, Meta(max_length=256)]
    handoff_id: Annotated[str, Meta(max_length=192)]
    investigation_id: Annotated[str, Meta(max_length=64)] | None
    handed_on: HandedOn | None = None


class ToolCallQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters; all given ones must hold. `since` is included, `until` is not; both compare with `finished_at`."""

    id: ToolCallId | None = None
    tool: Annotated[str, Meta(max_length=128)] | None = None
    investigation_id: Annotated[str, Meta(max_length=64)] | None = None
    handoff_id: Annotated[str, Meta(max_length=192)] | None = None
    status: ToolCallStatus | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


LIST_AGENTS = Endpoint(
    "GET",
    "/api/v1/agents",
    AGENTS_READ,
    service="orchestrator",
    summary="List agents",
    query=PageQuery,
    returns=Page[FleetAgent],
    errors=(VALIDATION,),
    tag="Agent Fleet",
)
LIST_AGENT_TOOLS = Endpoint(
    "GET",
    "/api/v1/agents/{agent_id}/tools",
    AGENTS_READ,
    service="orchestrator",
    summary="List agent tools",
    query=PageQuery,
    returns=Page[AgentTool],
    errors=(VALIDATION, AGENT_NOT_FOUND, UNAVAILABLE),
    tag="Agent Fleet",
)
LIST_TOOL_CALLS = Endpoint(
    "GET",
    "/api/v1/agents/{agent_id}/tool-calls",
    AGENTS_READ,
    service="orchestrator",
    summary="List agent tool calls",
    query=ToolCallQuery,
    returns=Page[ToolCall],
    errors=(VALIDATION, AGENT_NOT_FOUND),
    tag="Agent Fleet",
)
WS_AGENT_TOOL_CALLS = Endpoint(
    "WS",
    "/api/v1/ws/agents/{agent_id}/tool-calls",
    AUTHENTICATED,
    service="gateway",
    summary="Agent tool call stream",
    query=StreamQuery,
    returns=StreamFrame,
    errors=(AGENT_NOT_FOUND,),
    tag="WebSocket",
)

TOOL_CALLED = Topic("aurora.agents.*.tool-calls", ToolCall, "An agent called a tool, or was refused it")
