"""What the agents' tests share: a handoff's context, a work that needs no process, recorded tool results."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from services.agents.toolkit.records import record
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.work import Work
from shared.client import Client
from shared.clock import utc_now
from shared.contracts.agents import AGENT_CAPABILITIES, Budget, Handoff, Thought
from shared.contracts.fleet import ToolCall
from shared.contracts.investigations import Citation
from shared.identity import service_principal
from shared.rpc import CallContext

NOW = datetime(2026, 11, 22, 2, 14, tzinfo=UTC)


def context(
    *, tool_calls: int = 40, seconds: float = 60.0, capabilities: tuple[str, ...] = AGENT_CAPABILITIES
) -> CallContext:
    """A call of the orchestrator with a handoff that grants this."""
    handoff = Handoff(
        handoff_id="handoff-1",
        from_="orchestrator",
        to="triage",
        deadline=utc_now() + timedelta(seconds=60),
        budget=Budget(tool_calls=tool_calls, seconds=seconds),
        capabilities=list(capabilities),
        investigation_id="investigation-1",
    )
    return CallContext(service_principal("orchestrator"), handoff, "1", None)


class Told:
    """A publisher that remembers."""

    def __init__(self) -> None:
        self.thoughts: list[Thought] = []
        self.calls: list[ToolCall] = []

    async def publish(self, told: Thought | ToolCall) -> None:
        if isinstance(told, Thought):
            self.thoughts.append(told)
        else:
            self.calls.append(told)


def work(call: CallContext | None = None, told: Told | None = None, siem: Client | None = None) -> Work:
    """One handoff at work. Without a `siem` no tool of it may ask one."""
    sources = Sources(siem or Client("http://nowhere.invalid"))
    return Work("triage", call or context(), sources, (told or Told()).publish)


def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def citation(result: Any, tool: str = "a_tool") -> Citation:
    """A recorded result."""
    return record("triage", tool, {}, result, NOW)


def event(message: str = "a line", **ecs: Any) -> Mapping[str, Any]:
    """A compact event with these ECS fields."""
    return {"log_id": "log-1", "timestamp": "2026-11-22T02:14:00.000Z", "dataset": "d", "message": message, "ecs": ecs}
