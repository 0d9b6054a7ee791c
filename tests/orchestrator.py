"""An orchestrator on real Postgres and JetStream, with specialists that really speak JSON-RPC over WebSocket.

The specialists here answer at once with what a test wants; everything between an alert and a receipt is the product.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from services.orchestrator.dispatch.service import Dispatcher
from services.orchestrator.investigations.decisions import Decisions
from services.orchestrator.investigations.opinion import NoOpinion
from services.orchestrator.investigations.service import InvestigationsService
from services.orchestrator.investigations.telling import Telling
from services.orchestrator.investigations.work import Workers
from services.orchestrator.settings import OrchestratorSettings
from shared.bus import Bus
from shared.client import Client
from shared.clock import new_id, utc_now
from shared.contracts.agents import ANALYZE_THREAT, AnalyzeThreat, Assessment
from shared.contracts.alerts import ALERT_CREATED, ALERT_UPDATED, GET_ALERT, Alert, AlertChanged
from shared.contracts.common import Observable
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import (
    Citation,
    Finding,
    Investigation,
    InvestigationQuery,
)
from shared.contracts.reports import WRITE_REPORT, Report, ReportRequest
from shared.contracts.responses import PLAN_RESPONSE, ResponsePlan, ResponseRequest
from shared.contracts.wire import decode
from shared.errors import ALERT_NOT_FOUND, AuroraError
from shared.http import Call, application, bind
from shared.identity import ROLE_PERMISSIONS, Principal, service_principal
from shared.outbox import Outbox, event_bytes
from shared.postgres import Database
from shared.rpc import CallContext, Fleet, PeerLimits, serve
from shared.rpc import bind as bind_method
from tests.roles import migrated
from tests.shapes import alert
from tests.stack import Servers

MIGRATIONS = Path(__file__).parents[1] / "services" / "orchestrator" / "migrations"
ANALYST = Principal("user_ada", "user", "ada", "analyst", ROLE_PERMISSIONS["analyst"])
#: Three who vote; tests name more where they need them.
TEAM: tuple[str, ...] = ("triage", "endpoint_analyst", "threat_intel")
Answer = Callable[[AnalyzeThreat, CallContext], Awaitable[Assessment]]


def assessed(agent: str, verdict: str = "malicious", confidence: float = 0.9) -> Assessment:
    citation = Citation(
        id=f"tr_{agent}", agent=agent, tool="search_logs", arguments={"q": "x"}, result={}, executed_at=utc_now()
    )
    return Assessment(
        severity="high",
        confidence=confidence,
        mitre_techniques=["T1059.004"],
        iocs=[Observable("ip", "192.0.2.7")],
        verdict=verdict,  # type: ignore[arg-type]
        findings=[Finding(agent=agent, claim=f"{agent} saw it", confidence=confidence, citations=[citation.id])],
        citations=[citation],
    )


@dataclass
class Specialists:
    """What each specialist answers, and the handoffs it was asked with."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, CallContext, AnalyzeThreat]] = field(default_factory=list)
    before_report: Callable[[], Awaitable[None]] | None = None
    plans: list[ResponseRequest] = field(default_factory=list)
    reports: list[ReportRequest] = field(default_factory=list)

    def handler(self, agent: str) -> Answer:
        async def analyze(params: AnalyzeThreat, context: CallContext) -> Assessment:
            self.asked.append((agent, context, params))
            answer = self.answers.get(agent)
            return assessed(agent) if answer is None else await answer(params, context)

        return analyze

    async def plan(self, request: ResponseRequest, _context: CallContext) -> ResponsePlan:
        self.plans.append(request)
        return ResponsePlan(steps=[], not_planned=["nothing that was cited"])

    async def write(self, request: ReportRequest, _context: CallContext) -> Report:
        if self.before_report is not None:
            await self.before_report()
        self.reports.append(request)
        return Report(title="Report", markdown="# Report", sections=[])

    def agents(self) -> list[str]:
        return [agent for agent, _, _ in self.asked]


@dataclass
class Room:
    """An orchestrator on a schema of its own."""

    database: Database
    bus: Bus
    outbox: Outbox
    dispatcher: Dispatcher
    investigations: InvestigationsService
    decisions: Decisions
    specialists: Specialists
    settings: OrchestratorSettings
    team: tuple[str, ...]

    def workers(self) -> Workers:
        """A worker that nobody has started yet."""
        telling = Telling(self.bus)
        return Workers(
            self.database,
            self.outbox,
            self.dispatcher,
            self.investigations,
            telling,
            NoOpinion(),
            self.settings,
            self.team,
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[asyncio.Task[None]]:
        """One worker with its lease; cancelled at the end of the block."""
        workers = self.workers()
        tasks = [asyncio.create_task(workers.run()), asyncio.create_task(workers.keep_leases())]
        try:
            yield tasks[0]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def ended(self, identifier: str) -> Investigation:
        async with asyncio.timeout(30):
            while (found := await self.investigations.get(identifier)).completed_at is None:  # noqa: ASYNC110 - a row
                await asyncio.sleep(0.02)
        return found


async def _get_alert(call: Call[None, None]) -> Alert:
    if call.path["alert_id"].endswith("9"):
        raise AuroraError(ALERT_NOT_FOUND)
    return alert(call.path["alert_id"])


async def _anyone(_request: web.Request) -> Principal:
    return Principal("user_x", "user", "x", "admin", ROLE_PERMISSIONS["admin"])


@asynccontextmanager
async def orchestrator(servers: Servers, team: tuple[str, ...] = TEAM, **changes: float) -> AsyncIterator[Room]:
    """Postgres, JetStream, a team of specialists, and a siem that knows every alert but those that end in 9."""
    settings = OrchestratorSettings(unreachable_seconds=1.0, lease_seconds=1.5, step_seconds=10.0)
    settings = replace(settings, **changes)  # type: ignore[arg-type]
    specialists = Specialists()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(migrated(servers, "orchestrator", MIGRATIONS))
        bus = await Bus.connect(
            servers.nats_url, user=servers.nats_user, password=servers.nats_password, name="test-orchestrator"
        )
        stack.push_async_callback(bus.close)
        app = application("siem", [bind(GET_ALERT, _get_alert)], authenticate=_anyone, mode=lambda: "monitor")
        siem = await stack.enter_async_context(TestServer(app))
        client = await stack.enter_async_context(Client(str(siem.make_url("/")), token=lambda: "any"))
        addresses: dict[str, str] = {agent: await _specialist(stack, agent, specialists) for agent in team}
        agents = Fleet(lambda _agent: "any", addresses, PeerLimits(connect_seconds=0.5))
        stack.push_async_callback(agents.close)
        outbox = Outbox(database, bus, "orchestrator")
        dispatcher = Dispatcher(database, agents, settings)
        investigations = InvestigationsService(database, outbox, dispatcher, client, settings)
        decisions = Decisions(database, dispatcher, investigations)
        yield Room(database, bus, outbox, dispatcher, investigations, decisions, specialists, settings, team)


async def _specialist(stack: AsyncExitStack, agent: str, specialists: Specialists) -> str:
    server = await serve(
        [
            bind_method(ANALYZE_THREAT, specialists.handler(agent)),
            bind_method(PLAN_RESPONSE, specialists.plan),
            bind_method(WRITE_REPORT, specialists.write),
        ],
        host="127.0.0.1",
        port=0,
        authenticate=lambda _token: service_principal("orchestrator"),
    )
    stack.push_async_callback(server.close, 0.1)
    return f"ws://127.0.0.1:{server.port}/"


async def created(room: Room, alert_id: str, **changes: Any) -> tuple[CloudEvent, AlertChanged]:
    """The event of a new alert, as the bus delivers it."""
    data = AlertChanged(alert(alert_id, **changes), [])
    event = decode(event_bytes(ALERT_CREATED, data, service="siem", event_id=new_id()), CloudEvent)
    await room.investigations.on_alert(event, data)
    return event, data


async def only(room: Room, alert_id: str) -> Investigation:
    page = await room.investigations.list_investigations(InvestigationQuery(alert_id=alert_id))
    assert len(page.items) == 1
    return page.items[0]


def on(host: str, **changes: Any) -> dict[str, Any]:
    """What an alert says that was seen on this host."""
    return {"entities": {"host": host}, **changes}


async def everything(room: Room) -> list[Investigation]:
    """The newest investigations."""
    return (await room.investigations.list_investigations(InvestigationQuery(limit=200))).items


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for a row."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - a row
            await asyncio.sleep(0.02)


def held(entered: asyncio.Event, go: asyncio.Event, agent: str, verdict: str = "malicious") -> Answer:
    """An answer that waits for a test."""

    async def answer(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        entered.set()
        await go.wait()
        return assessed(agent, verdict)

    return answer


def benign(agent: str) -> Answer:
    """An answer that finds nothing wrong."""

    async def answer(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        return assessed(agent, "benign")

    return answer


async def seen_again(room: Room, alert_id: str, count: int, **changes: Any) -> None:
    """The event of an alert that counts more now, as the bus delivers it."""
    data = AlertChanged(alert(alert_id, count=count, **changes), ["count"])
    event = decode(event_bytes(ALERT_UPDATED, data, service="siem", event_id=new_id()), CloudEvent)
    await room.investigations.on_alert_update(event, data)
