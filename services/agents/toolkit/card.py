"""The Agent Card of one agent: A2A's description of who it is, where it listens and what it can do. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from services.agents.toolkit.version import version
from shared.contracts.agent_cards import (
    A2A_VERSION,
    HANDOFF_EXTENSION,
    JSONRPC_OVER_WEBSOCKET,
    AgentCapabilities,
    AgentCard,
    AgentExtension,
    AgentInterface,
    AgentSkill,
    HttpAuthentication,
    Scopes,
    SecurityRequirement,
    SecurityScheme,
)
from shared.contracts.constants import Method
from shared.contracts.wire import encode

_JSON = ["application/json"]
_SCHEME = "serviceToken"
_HANDOFF = AgentExtension(HANDOFF_EXTENSION, "Deadline, budget, capabilities and trace of a request, in params._meta")


def card_of(agent: str, description: str, methods: Sequence[Method[Any, Any]], url: str) -> AgentCard:
    """The card of an agent that serves these methods at `url`."""
    token = HttpAuthentication("Bearer", "JWT", f"A token of a service of this Aurora, for agent:{agent}")
    return AgentCard(
        name=agent,
        description=description,
        version=version(),
        supported_interfaces=[AgentInterface(url, JSONRPC_OVER_WEBSOCKET, A2A_VERSION)],
        capabilities=AgentCapabilities(
            streaming=False, push_notifications=False, extended_agent_card=False, extensions=[_HANDOFF]
        ),
        default_input_modes=_JSON,
        default_output_modes=_JSON,
        skills=[_skill(agent, method) for method in methods],
        security_schemes={_SCHEME: SecurityScheme(token)},
        security_requirements=[SecurityRequirement({_SCHEME: Scopes([])})],
    )


def digest(card: AgentCard) -> str:
    """The SHA-256 of the card's bytes, in hexadecimal: the same for as long as the card is."""
    return hashlib.sha256(encode(card)).hexdigest()


def _skill(agent: str, method: Method[Any, Any]) -> AgentSkill:
    name = method.name.replace("_", " ").capitalize()
    return AgentSkill(method.name, name, method.summary or name, ["security", agent])
