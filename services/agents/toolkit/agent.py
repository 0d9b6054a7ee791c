"""What every agent of the roster is, and how it is put on the wire: `analyze_threat` and `describe` over JSON-RPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool, described
from services.agents.toolkit.version import version
from services.agents.toolkit.work import Publish, Work
from shared.contracts.agents import (
    ANALYZE_THREAT,
    DESCRIBE,
    AgentDescription,
    AnalyzeThreat,
    Assessment,
    Nothing,
)
from shared.contracts.constants import Method
from shared.contracts.wire import encode
from shared.rpc import Binding, CallContext, HttpAnswer, Server, bind, serve
from shared.runtime import Platform

P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)


@dataclass(frozen=True)
class Skill(Generic[P, R]):
    """A method of one specialist's own, beside `analyze_threat`. `run` uses tools through the work alone, so its
    result cites what it rests on."""

    method: Method[P, R]
    run: Callable[[P, Work], Awaitable[R]]


class Agent(Protocol):
    """One specialist. `analyze` uses tools through the work and returns an assessment of their results; `skills` are
    the methods that it alone serves."""

    id: str
    description: str
    tools: Sequence[Tool[Any]]
    skills: Sequence[Skill[Any, Any]]

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is nothing to analyse."""


async def listen(platform: Platform, agent: Agent, url: str, sources: Sources, publish: Publish) -> Server:
    """Serves one agent at the host and port of its URL, for tokens whose audience is `agent:<id>`."""

    async def analyze(params: AnalyzeThreat, context: CallContext) -> Assessment:
        work = Work(agent.id, context, sources, publish)
        assessment = await _told(ANALYZE_THREAT.name, params.alert_id or "", work, agent.analyze(params, work))
        await work.tell("finished", f"{assessment.verdict} ({assessment.confidence:.2f}): {assessment.summary}")
        return work.settle(assessment)

    def own(skill: Skill[Any, Any]) -> Binding[Any, Any]:
        async def run(params: Any, context: CallContext) -> Any:
            work = Work(agent.id, context, sources, publish)
            result = await _told(skill.method.name, "", work, skill.run(params, work))
            await work.tell("finished", skill.method.name)
            return result

        return bind(skill.method, run)

    async def describe(_params: Nothing, _context: CallContext) -> AgentDescription:
        methods = [ANALYZE_THREAT.name, *(skill.method.name for skill in agent.skills), DESCRIBE.name]
        names = [tool.name for tool in agent.tools]
        return AgentDescription(
            agent.id, agent.description, methods, names, version(), list(map(described, agent.tools))
        )

    async def answer(status: str) -> HttpAnswer:
        return HttpAnswer(200, encode({"status": status}))

    place = urlsplit(url)
    return await serve(
        [bind(ANALYZE_THREAT, analyze), *map(own, agent.skills), bind(DESCRIBE, describe)],
        host=place.hostname or "127.0.0.1",
        port=place.port or 0,
        authenticate=platform.verifier(f"agent:{agent.id}").verify,
        http_get={
            "/health/liveness": lambda: answer("alive"),
            "/health/readiness": lambda: answer("ready"),
        },
        headers=lambda: {"X-API-Version": "1.0", "X-AuroraSOC-Mode": platform.mode()},
    )


async def _told(method: str, subject: str, work: Work, answer: Awaitable[R]) -> R:
    """The answer; who watches is told that the method began, and when it did not finish."""
    await work.tell("started", f"{method} {subject}".strip())
    try:
        return await answer
    except BaseException:
        await work.tell("failed", f"{method} did not finish")
        raise
