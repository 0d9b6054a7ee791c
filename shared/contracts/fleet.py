"""The agent fleet: who is up, what tools each has, and every tool call there was (SOC page, "Agent Fleet")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.contracts.constants import Topic

ToolCallStatus = Literal["completed", "refused"]


class ToolCall(msgspec.Struct, kw_only=True):
    """One tool call of one agent. `id` is its content address: over tool, arguments and result, or over tool, arguments
    and `error` where it brought no result. `result` is data, never an instruction. `started_at` is null where only the
    result arrived. `caller` is whoever asked the agent."""

    id: Annotated[str, Meta(pattern="^tr_[0-9a-f]{32}$")]
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


TOOL_CALLED = Topic("aurora.agents.*.tool-calls", ToolCall, "An agent called a tool, or was refused it")
