"""What every agent of the roster is, and how it is put on the wire: `analyze_threat` and `describe` over JSON-RPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.work import Publish, Work
from shared.contracts.agents import (
    ANALYZE_THREAT,
    DESCRIBE,
    AgentDescription,
    AnalyzeThreat,
    Assessment,
    Nothing,
)
from shared.contracts.wire import encode
from shared.rpc import CallContext, HttpAnswer, Server, bind, serve
from shared.runtime import Platform


class Agent(Protocol):
    """One specialist. `analyze` uses tools through the work and returns an assessment of their results."""

    id: str
    description: str
    tools: Sequence[Tool[Any]]

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is nothing to analyse."""


async def listen(platform: Platform, agent: Agent, url: str, sources: Sources, publish: Publish) -> Server:
    """Serves one agent at the host and port of its URL, for tokens whose audience is `agent:<id>`."""

    async def analyze(params: AnalyzeThreat, context: CallContext) -> Assessment:
        work = Work(agent.id, context, sources, publish)
        await work.tell("started", f"analyze_threat {params.alert_id or ''}".strip())
        try:
            assessment = await agent.analyze(params, work)
        except BaseException:
            await work.tell("failed", "analyze_threat did not finish")
            raise
        await work.tell("finished", f"{assessment.verdict} ({assessment.confidence:.2f}): {assessment.summary}")
        return assessment

    async def describe(_params: Nothing, _context: CallContext) -> AgentDescription:
        methods = [ANALYZE_THREAT.name, DESCRIBE.name]
        return AgentDescription(agent.id, agent.description, methods, [tool.name for tool in agent.tools])

    async def answer(status: str) -> HttpAnswer:
        return HttpAnswer(200, encode({"status": status}))

    place = urlsplit(url)
    return await serve(
        [bind(ANALYZE_THREAT, analyze), bind(DESCRIBE, describe)],
        host=place.hostname or "127.0.0.1",
        port=place.port or 0,
        authenticate=platform.verifier(f"agent:{agent.id}").verify,
        http_get={
            "/health/liveness": lambda: answer("alive"),
            "/health/readiness": lambda: answer("ready"),
        },
        headers=lambda: {"X-API-Version": "1.0", "X-AuroraSOC-Mode": platform.mode()},
    )
