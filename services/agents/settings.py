"""The agents' settings, read from the environment by shared.config."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AgentsSettings:
    """`agent_urls` maps an agent to the WebSocket URL it listens on (its host and port; port 0 is a free one)."""

    agent_urls: dict[str, str]
    siem_url: str = "http://127.0.0.1:5081"
    # the agents of this process; empty = every one that has a URL
    agents: tuple[str, ...] = ()
    # the host by which others reach this process, where it isn't the one of agent_urls
    advertised_host: str | None = None
    # one question to the siem
    query_seconds: float = 15.0
    # a folder of YARA rules of your own, beside those that Aurora brings
    yara_rules: Path | None = None
