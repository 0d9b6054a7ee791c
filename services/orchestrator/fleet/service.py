"""The agent fleet: who is up, which tools each has, and every tool call there was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from services.orchestrator.fleet import domain, store
from services.orchestrator.handoffs import KeptCall, Stored
from shared.bus import Discard
from shared.clock import new_id, utc_now
from shared.content import is_true
from shared.contracts.agent_cards import CARD_PATH, Registration
from shared.contracts.agents import AGENT_IDS, DESCRIBE, AgentDescription, AgentTool, Budget, Handoff, Nothing
from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import Method
from shared.contracts.events import CloudEvent
from shared.contracts.fleet import TOOL_CALLERS, AgentInstance, FleetAgent, ToolCall, ToolCallQuery
from shared.errors import AGENT_NOT_FOUND, AuroraError
from shared.identity import service_principal
from shared.log import get_logger
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")
_CALLER = service_principal("orchestrator").id
_DESCRIBE_SECONDS = 5.0
_CLEANING_SECONDS = 3600.0
_log = get_logger("fleet")


class Agents(Protocol):
    """How agents are called, wherever they run."""

    def has(self, agent: str) -> bool:
        """Whether there is somewhere to call this agent."""

    def names(self) -> list[str]:
        """Every agent that may be called now."""

    def under_way(self, agent: str, url: str) -> int:
        """How many calls of ours an instance has now."""

    async def call(self, agent: str, method: Method[P, R], params: P, *, handoff: Handoff, timeout: float) -> R:
        """The method's result. Raises AuroraError."""


class FleetService:
    """Answers for the agents. `keep_days` is how long tool calls are kept."""

    def __init__(self, database: Database, agents: Agents, keep_days: int) -> None:
        self._database = database
        self._agents = agents
        self._keep = timedelta(days=keep_days)
        self._processes: Sequence[Registration] = ()
        self._described: dict[str, tuple[str, AgentDescription]] = {}
        self._left: dict[str, datetime] = {}

    def follow(self, processes: Sequence[Registration]) -> None:
        """Takes over which processes serve agents now, each time that this changes."""
        left = _agents_of(self._processes) - _agents_of(processes)
        self._left.update(dict.fromkeys(left, utc_now()))
        self._processes = processes

    async def agents(self, query: PageQuery) -> Page[FleetAgent]:
        """A page of every agent of the roster, and whoever else is up. Raises AURORA-4220 for a cursor that isn't of
        this list."""
        page = _page(list(dict.fromkeys([*AGENT_IDS, *self._agents.names()])), query)
        return Page(list(await asyncio.gather(*map(self._shown, page.items))), page.next_cursor)

    async def _shown(self, agent: str) -> FleetAgent:
        up = self._agents.has(agent)
        try:
            described = await self.describe(agent)
        except AuroraError as error:
            _log.info("agent doesn't answer", agent=agent, reason=error.code.code)
            up, described = False, self._known(agent)
        return FleetAgent(
            id=agent,
            description=described.description,
            version=described.version,
            status="up" if up else "down",
            instances=self._instances(agent),
            methods=described.methods,
            last_seen=utc_now() if up else self._left.get(agent),
        )

    def _known(self, agent: str) -> AgentDescription:
        _, described = self._described.get(agent, ("", AgentDescription(agent, "", [], [])))
        return described

    def _instances(self, agent: str) -> list[AgentInstance]:
        return [
            AgentInstance(
                instance=process.instance,
                url=entry.url,
                version=process.version,
                started_at=process.started_at,
                card=f"http{entry.url.removeprefix('ws').rstrip('/')}{CARD_PATH}",
                under_way=self._agents.under_way(agent, entry.url),
            )
            for process in self._processes
            for entry in process.agents
            if entry.agent == agent
        ]

    async def describe(self, agent: str) -> AgentDescription:
        """What an agent says of itself: asked once for the processes that serve it, and what it said last while none
        does. Raises AURORA-4043 for an unknown agent, 5030 or 5040 for one that was never heard."""
        if agent not in AGENT_IDS and not self._agents.has(agent):
            raise AuroraError(AGENT_NOT_FOUND, {"agent": agent, "agents": sorted({*AGENT_IDS, *self._agents.names()})})
        serving = " ".join(sorted(instance.instance for instance in self._instances(agent)))
        known = self._described.get(agent)
        if known is not None and ((serving and known[0] == serving) or not self._agents.has(agent)):
            return known[1]
        handoff = Handoff(
            handoff_id=new_id(),
            from_="orchestrator",
            to=agent,
            deadline=utc_now() + timedelta(seconds=_DESCRIBE_SECONDS),
            budget=Budget(0, _DESCRIBE_SECONDS),
            reason="describe",
        )
        described = await self._agents.call(agent, DESCRIBE, Nothing(), handoff=handoff, timeout=_DESCRIBE_SECONDS)
        self._described[agent] = (serving, described)
        return described

    async def tools(self, agent: str, query: PageQuery) -> Page[AgentTool]:
        """A page of an agent's tools, as it said last where it doesn't answer now. Raises as `describe` does, and
        AURORA-4220 for a cursor that isn't of this list."""
        try:
            described = await self.describe(agent)
        except AuroraError:
            described = self._known(agent)
            if not described.tool_details:
                raise
        return _page(described.tool_details, query)

    async def tool_calls(self, agent: str, query: ToolCallQuery) -> Page[ToolCall]:
        """A page of an agent's calls, newest first. Raises AURORA-4043."""
        rows = await store.page(self._database, agent, query, decode_position(query.cursor))
        if not rows and agent not in TOOL_CALLERS and not self._agents.has(agent):
            raise AuroraError(AGENT_NOT_FOUND, {"agent": agent})
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([call for _, call in shown], encode_position(shown[-1][0]) if more else None)

    async def on_tool_call(self, _event: CloudEvent, call: ToolCall) -> None:
        """On aurora.agents.<id>.tool-calls: keeps the call, once. Raises Discard for one whose content isn't what its
        address says."""
        if not is_true(call):
            raise Discard("the content isn't what its address says")
        await store.insert(self._database, call)

    async def keep(self, connection: Connection, dispatch: Stored) -> None:
        """Keeps what a finished dispatch's answer rests on, in the transaction that keeps the answer."""
        calls = domain.delivered(dispatch, _CALLER)
        if calls:
            await store.insert_delivered(connection, calls)
        version = self._version(dispatch)
        if version and dispatch.handoff is not None:
            await store.note_version(connection, dispatch.handoff.handoff_id, version)

    def _version(self, dispatch: Stored) -> str:
        """The version of the instance that a dispatch went to; empty when nobody knows it."""
        agent, address = dispatch.record.agent, None if dispatch.handoff is None else dispatch.handoff.address
        instances = self._instances(agent)
        versions = {item.version for item in instances if item.url.rstrip("/") == address}
        versions = versions or {item.version for item in instances}
        return versions.pop() if len(versions) == 1 else ""

    async def version_of(self, agent: str) -> str:
        """The version of an agent as it is now; empty when nobody knows it."""
        try:
            return (await self.describe(agent)).version
        except AuroraError:
            return ""

    async def version_then(self, handoff_id: str) -> str:
        """The version of the agent that answered a handoff; empty when nobody knows it."""
        return await store.version(self._database, handoff_id)

    async def of_handoff(self, handoff_id: str) -> list[KeptCall]:
        """The calls of a handoff, in their order."""
        return await store.of_handoff(self._database, handoff_id)

    async def clean(self) -> None:
        """Runs until cancelled: deletes what is older than it is to be kept."""
        while True:
            try:
                while await store.forget(self._database, utc_now() - self._keep):
                    pass
            except AuroraError as error:
                _log.warning("tool calls not cleaned", reason=error.code.code)
            await asyncio.sleep(_CLEANING_SECONDS)


def _page(items: list[T], query: PageQuery) -> Page[T]:
    begin = max(0, decode_position(query.cursor) or 0)
    end = begin + query.limit
    return Page(items[begin:end], encode_position(end) if end < len(items) else None)


def _agents_of(processes: Sequence[Registration]) -> set[str]:
    return {entry.agent for process in processes for entry in process.agents}
