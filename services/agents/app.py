"""The composition root of the agents: each listens on its own port, all read through the siem, none keeps anything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from services.agents.mcp.hosting import Application, Hosted
from services.agents.mcp.routes import routes
from services.agents.mcp.service import ToolDesk
from services.agents.roster.cloud_analyst.agent import CloudAnalyst
from services.agents.roster.endpoint_analyst.agent import EndpointAnalyst
from services.agents.roster.forensic_analyst.agent import ForensicAnalyst
from services.agents.roster.identity_analyst.agent import IdentityAnalyst
from services.agents.roster.incident_responder.agent import IncidentResponder
from services.agents.roster.malware_analyst.agent import MalwareAnalyst
from services.agents.roster.network_analyst.agent import NetworkAnalyst
from services.agents.roster.report_writer.agent import ReportWriter
from services.agents.roster.threat_hunter.agent import ThreatHunter
from services.agents.roster.threat_intel.agent import ThreatIntel
from services.agents.roster.triage.agent import Triage
from services.agents.roster.vulnerability_analyst.agent import VulnerabilityAnalyst
from services.agents.settings import AgentsSettings
from services.agents.toolkit.agent import Agent, Surroundings, listen
from services.agents.toolkit.place import Place, place_of
from services.agents.toolkit.samples.sandbox import Sandbox
from services.agents.toolkit.samples.stored import StoredSamples
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.thoughts import Thoughts
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.version import version
from shared.client import Client
from shared.clock import new_id, utc_now
from shared.config import ConfigError
from shared.contracts.agent_cards import Registration
from shared.contracts.samples import SAMPLES_BUCKET
from shared.objects import Objects
from shared.registry import Directory, announce
from shared.rpc import Fleet
from shared.runtime import Platform

ROSTER: tuple[Agent, ...] = (
    Triage(),
    ThreatIntel(),
    ThreatHunter(),
    EndpointAnalyst(),
    MalwareAnalyst(),
    NetworkAnalyst(),
    IdentityAnalyst(),
    CloudAnalyst(),
    ForensicAnalyst(),
    VulnerabilityAnalyst(),
    IncidentResponder(),
    ReportWriter(),
)


async def start(platform: Platform) -> None:
    """Starts the configured agents and tells the registry. Raises ConfigError for an agent that isn't on the roster."""
    settings = platform.settings(AgentsSettings)
    roster = {agent.id: agent for agent in ROSTER}
    chosen = settings.agents or tuple(settings.agent_urls)
    unknown = [name for name in chosen if name not in roster or name not in settings.agent_urls]
    if unknown:
        raise ConfigError(f"AURORA_AGENTS or AURORA_AGENT_URLS names no agent of the roster: {', '.join(unknown)}")
    siem = Client(
        settings.siem_url,
        token=lambda: platform.signer.own_token("siem"),
        timeout_seconds=settings.query_seconds,
    )
    platform.on_stop(siem.close)
    bus = await platform.bus()
    others = Fleet(lambda agent: platform.signer.own_token(f"agent:{agent}"), _fixed(settings.agent_urls))
    platform.on_stop(others.close)
    folders = () if settings.yara_rules is None else (settings.yara_rules,)
    samples = StoredSamples(Objects(bus, SAMPLES_BUCKET), Sandbox(folders))
    around = Surroundings(Sources(siem, samples), Thoughts(bus).publish, others)
    listening = [await listen(platform, roster[name], _place(name, settings), around) for name in chosen]

    async def drain() -> None:
        # Together: one after the other, those that wait would still take calls.
        await asyncio.gather(*(server.close() for server, _ in listening))

    platform.on_stop(drain)
    registered = [entry for _, entry in listening]
    # Cancelled first of all when it stops: nobody calls an agent any more that is about to end.
    platform.spawn("registry", announce(bus, Registration(new_id(), version(), utc_now(), registered)))
    platform.spawn("fleet", Directory(others.follow).follow(bus))
    desk = ToolDesk(_tools(), around.sources, around.publish)
    hosted = Hosted(lambda: _speaking(desk))
    platform.spawn("mcp", hosted.run())
    await platform.serve(routes(desk, hosted))


def _tools() -> list[Tool[Any]]:
    """What the specialists use, each once."""
    return list({tool.name: tool for agent in ROSTER for tool in agent.tools}.values())


def _speaking(desk: ToolDesk) -> Application:
    # Imported when somebody speaks it: it costs a start a second or more, and 16 MB.
    from services.agents.mcp.server import manager

    return manager(desk)


def _place(agent: str, settings: AgentsSettings) -> Place:
    try:
        return place_of(settings.agent_urls[agent], settings.advertised_host)
    except ValueError as error:
        raise ConfigError(f"AURORA_AGENT_URLS: {agent}: {error}") from error


def _fixed(urls: Mapping[str, str]) -> dict[str, str]:
    """Those where somebody may listen: port 0 is a request for a free one."""
    return {agent: url for agent, url in urls.items() if not url.rstrip("/").endswith(":0")}
