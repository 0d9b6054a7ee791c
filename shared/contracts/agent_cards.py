"""How agents are found: the Agent Card on their port (A2A 1.0, section 4.4), and their process's entry in the registry.

Field names of the card are A2A's, in camelCase. A card holds nothing secret: it is shown to whoever reaches the port.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

#: Where the card is on the agent's port.
CARD_PATH = "/.well-known/agent-card.json"
#: The version of A2A whose card this is.
A2A_VERSION = "1.0"
#: What is spoken on the port: JSON-RPC 2.0, one text frame of a WebSocket a message (ADR 4). A2A leaves bindings of
#: others' own to be named by a URI.
JSONRPC_OVER_WEBSOCKET = "urn:aurora:a2a:binding:jsonrpc-websocket"
#: `params._meta` of a request, as Handoff in shared/contracts/agents.py has it.
HANDOFF_EXTENSION = "urn:aurora:a2a:extension:handoff"


class AgentInterface(msgspec.Struct, frozen=True, rename="camel"):
    """Where the agent listens, and what it speaks there."""

    url: str
    protocol_binding: str
    protocol_version: str


class AgentExtension(msgspec.Struct, frozen=True, rename="camel"):
    """What the agent understands beside A2A."""

    uri: str
    description: str
    required: bool = False


class AgentCapabilities(msgspec.Struct, frozen=True, rename="camel"):
    """Optional parts of A2A."""

    streaming: bool
    push_notifications: bool
    extended_agent_card: bool
    extensions: list[AgentExtension]


class AgentSkill(msgspec.Struct, frozen=True, rename="camel"):
    """One method. `id` is its JSON-RPC name."""

    id: str
    name: str
    description: str
    tags: list[str]


class HttpAuthentication(msgspec.Struct, frozen=True, rename="camel"):
    """A scheme of the Authorization header."""

    scheme: str
    bearer_format: str
    description: str


class SecurityScheme(msgspec.Struct, frozen=True, rename="camel"):
    """One of A2A's kinds of scheme; ours is the only one that agents use."""

    http_auth_security_scheme: HttpAuthentication


class Scopes(msgspec.Struct, frozen=True, rename={"names": "list"}):
    """Scopes that a scheme must grant."""

    names: list[str]


class SecurityRequirement(msgspec.Struct, frozen=True):
    """Schemes that a caller needs together, by their names in the card."""

    schemes: dict[str, Scopes]


class AgentCard(msgspec.Struct, frozen=True, rename="camel"):
    """`GET /.well-known/agent-card.json`."""

    name: str
    description: str
    version: str
    supported_interfaces: list[AgentInterface]
    capabilities: AgentCapabilities
    default_input_modes: list[str]
    default_output_modes: list[str]
    skills: list[AgentSkill]
    security_schemes: dict[str, SecurityScheme]
    security_requirements: list[SecurityRequirement]


class RegisteredAgent(msgspec.Struct, frozen=True):
    """One agent of a process: where it listens, and the SHA-256 of its card in hexadecimal."""

    agent: Annotated[str, Meta(min_length=1, max_length=64)]
    url: Annotated[str, Meta(max_length=512, pattern="^wss?://")]
    card_digest: Annotated[str, Meta(max_length=64)]


class Registration(msgspec.Struct, frozen=True):
    """One process that serves agents, as it says once a second. `instance` is new with every start."""

    instance: Annotated[str, Meta(min_length=1, max_length=64)]
    version: Annotated[str, Meta(max_length=64)]
    started_at: datetime
    agents: Annotated[list[RegisteredAgent], Meta(max_length=100)]
