"""The composition root of the agents: each listens on its own port, all read through the siem, none keeps anything."""

from __future__ import annotations

from services.agents.roster.endpoint_analyst.agent import EndpointAnalyst
from services.agents.roster.threat_intel.agent import ThreatIntel
from services.agents.roster.triage.agent import Triage
from services.agents.settings import AgentsSettings
from services.agents.toolkit.agent import Agent, listen
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.thoughts import Thoughts
from shared.client import Client
from shared.config import ConfigError
from shared.runtime import Platform

ROSTER: tuple[Agent, ...] = (Triage(), EndpointAnalyst(), ThreatIntel())


async def start(platform: Platform) -> None:
    """Starts the configured agents. Raises ConfigError for an agent that isn't on the roster."""
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
    thoughts = Thoughts(await platform.bus())
    for name in chosen:
        server = await listen(platform, roster[name], settings.agent_urls[name], Sources(siem), thoughts.publish)
        platform.on_stop(server.close)
    await platform.serve([])
