"""What every agent of the roster is, and how it is put on the wire: `analyze_threat` and `describe` over JSON-RPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from services.agents.toolkit.card import card_of, digest
from services.agents.toolkit.handing import Others, refused_path
from services.agents.toolkit.place import Place
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool, described
from services.agents.toolkit.version import version
from services.agents.toolkit.work import Publish, Work
from shared.contracts.agent_cards import CARD_PATH, RegisteredAgent
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
from shared.identity import Verifier
from shared.log import get_logger
from shared.rpc import About, Binding, CallContext, HttpAnswer, Server, bind, serve

_log = get_logger("agents")
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


class Process(Protocol):
    """What an agent's port needs of the process that it is in."""

    def verifier(self, audience: str | None = None) -> Verifier:
        """Checks tokens for that audience."""

    def mode(self) -> str:
        """dry_run, monitor or active, as it is now."""


@dataclass(frozen=True)
class Surroundings:
    """What the agents of a process share: what they read, who hears of their work, and the other agents."""

    sources: Sources
    publish: Publish
    others: Others


async def listen(process: Process, agent: Agent, place: Place, around: Surroundings) -> tuple[Server, RegisteredAgent]:
    """Serves one agent at its place, for tokens whose audience is `agent:<id>`; its entry for the registry."""

    def work_of(context: CallContext) -> Work:
        handoff = context.handoff
        refusal = None if handoff is None else refused_path(agent.id, handoff.hops, handoff.path)
        if refusal is not None:
            raise refusal
        return Work(agent.id, context, around.sources, around.publish, around.others)

    async def analyze(params: AnalyzeThreat, context: CallContext) -> Assessment:
        work = work_of(context)
        assessment = await _told(ANALYZE_THREAT.name, params.alert_id or "", work, agent.analyze(params, work))
        await work.tell("finished", f"{assessment.verdict} ({assessment.confidence:.2f}): {assessment.summary}")
        return work.settle(assessment)

    def own(skill: Skill[Any, Any]) -> Binding[Any, Any]:
        async def run(params: Any, context: CallContext) -> Any:
            work = work_of(context)
            result = await _told(skill.method.name, "", work, skill.run(params, work))
            await work.tell("finished", skill.method.name)
            return work.settle(result)

        return bind(skill.method, run)

    async def describe(_params: Nothing, _context: CallContext) -> AgentDescription:
        names = [tool.name for tool in agent.tools]
        served = [method.name for method in methods]
        return AgentDescription(
            agent.id, agent.description, served, names, version(), list(map(described, agent.tools))
        )

    async def answer(status: str) -> HttpAnswer:
        return HttpAnswer(200, encode({"status": status}))

    async def show() -> HttpAnswer:
        return HttpAnswer(200, encode(card), headers={"Cache-Control": "max-age=60", "ETag": f'"{digest(card)}"'})

    bindings = [bind(ANALYZE_THREAT, analyze), *map(own, agent.skills), bind(DESCRIBE, describe)]
    methods = [binding.method for binding in bindings]
    server = await serve(
        bindings,
        host=place.host,
        port=place.port,
        authenticate=process.verifier(f"agent:{agent.id}").verify,
        http_get={
            "/health/liveness": lambda: answer("alive"),
            "/health/readiness": lambda: answer("ready"),
            CARD_PATH: show,
        },
        headers=lambda: {"X-API-Version": "1.0", "X-AuroraSOC-Mode": process.mode()},
        about=About(agent.id, version(), agent.description),
    )
    url = place.url(server.port)
    card = card_of(agent.id, agent.description, methods, url)
    return server, RegisteredAgent(agent.id, url, digest(card))


async def _told(method: str, subject: str, work: Work, answer: Awaitable[R]) -> R:
    """The answer; who watches is told that the method began, and when it did not finish. The log has the end of each,
    with the trace that it belongs to."""
    await work.tell("started", f"{method} {subject}".strip())
    try:
        told = await answer
    except BaseException:
        await work.tell("failed", f"{method} did not finish")
        _log.info("not finished", agent=work.agent, method=method)
        raise
    _log.info("answered", agent=work.agent, method=method)
    return told
