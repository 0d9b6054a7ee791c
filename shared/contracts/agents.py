"""What agents speak: HandoffTool metadata, the methods, and the thoughts they publish (SOC page, "A2A protocol")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Finding, Prior, Refusal
from shared.contracts.common import Confidence, Observable, Severity, Verdict
from shared.contracts.constants import ALERTS_READ, SIEM_READ, Method, Topic

AgentId = Literal[
    "triage",
    "threat_intel",
    "threat_hunter",
    "endpoint_analyst",
    "malware_analyst",
    "network_analyst",
    "identity_analyst",
    "cloud_analyst",
    "forensic_analyst",
    "vulnerability_analyst",
    "incident_responder",
    "report_writer",
]
#: The roster, in the order in which the planner prefers them.
AGENT_IDS: tuple[AgentId, ...] = get_args(AgentId)
#: The permissions that specialists' tools need; a handoff grants some of them.
AGENT_CAPABILITIES: tuple[str, ...] = (ALERTS_READ, SIEM_READ)
#: How many agents one piece of work may pass through; beyond, `hops` is no valid number.
MAX_HOPS = 8


class Budget(msgspec.Struct, frozen=True):
    """What a handoff may spend: tool calls, and seconds of wall time."""

    tool_calls: Annotated[int, Meta(ge=0, le=1000)] = 40
    seconds: Annotated[float, Meta(ge=0, le=600)] = 60.0


#: `Refusal.reason` of a call that a replay wants and its record doesn't have.
NOT_RECORDED = "not recorded"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The tool calls of a handoff that was answered before, in place of the tools: the agent reads nothing else and
    publishes nothing. `asked_at` is when that handoff was made."""

    asked_at: Annotated[datetime, Meta(tz=True)]
    citations: Annotated[list[Citation], Meta(max_length=1000)] = []
    refusals: Annotated[list[Refusal], Meta(max_length=1000)] = []


class Handoff(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """`params._meta` of a HandoffTool call (DECISIONS, "Agents"). `capabilities` are tool permissions, a subset of
    the caller's; `deadline` is absolute. `path` are the agents that the work came through, none of which may be asked
    again, and `hops` is their number. `address` is the instance it was made for, which alone knows whether it ran.
    With `recorded` it is a replay."""

    handoff_id: Annotated[str, Meta(min_length=1, max_length=128)]
    from_: str
    to: str
    deadline: Annotated[datetime, Meta(tz=True)]
    hops: Annotated[int, Meta(ge=0, le=MAX_HOPS)] = 0
    budget: Budget = Budget()
    capabilities: list[str] = []
    evidence: list[str] = []
    reason: str = ""
    traceparent: str | None = None
    investigation_id: str | None = None
    path: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=MAX_HOPS)] = []
    address: Annotated[str, Meta(max_length=512)] | None = None
    recorded: Recorded | None = None


class AnalyzeThreat(msgspec.Struct, kw_only=True):
    """Params of `analyze_threat`: an alert, indicators, or both. `related` are further alerts of the same
    investigation; `prior` is what other specialists said before. `beside` are the others who were or are asked about
    it: what is theirs to say is left to them, so that nothing is looked up or counted twice. `heard` is what others
    asked this one about in the same round: its word on that is theirs already."""

    alert_id: Annotated[str, Meta(max_length=64)] | None = None
    iocs: Annotated[list[Observable], Meta(max_length=1000)] = []
    related: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=50)] = []
    prior: Annotated[list[Prior], Meta(max_length=12)] = []
    beside: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=12)] = []
    heard: Annotated[list[Annotated[str, Meta(max_length=2048)]], Meta(max_length=200)] = []


class Assessment(msgspec.Struct, kw_only=True):
    """Result of `analyze_threat`. The first four fields are the page's; every finding cites a tool result. `refused`
    are the tool calls that brought none."""

    severity: Severity
    confidence: Confidence
    mitre_techniques: list[str]
    iocs: list[Observable]
    verdict: Verdict = "undetermined"
    summary: str = ""
    findings: list[Finding] = []
    citations: list[Citation] = []
    ruled_out: list[str] = []
    not_checked: list[str] = []
    refused: list[Refusal] = []


class Thought(msgspec.Struct, kw_only=True):
    """One step of an agent's work, for people who watch. `text` is plain text and may quote untrusted data."""

    agent: str
    handoff_id: str
    investigation_id: str | None
    kind: Literal["started", "tool", "finding", "finished", "failed"]
    text: str
    tool_result_id: str | None
    timestamp: datetime


class AgentTool(msgspec.Struct, kw_only=True):
    """A tool that an agent uses. `arguments` is their JSON Schema; `permission` is what a handoff must grant, null
    where the tool reads no store."""

    name: str
    description: str
    arguments: dict[str, Any]
    permission: str | None


class AgentDescription(msgspec.Struct):
    """Result of `describe`: who this agent is and what it serves. `version` names its code and knowledge."""

    agent: str
    description: str
    methods: list[str]
    tools: list[str]
    version: str = ""
    tool_details: list[AgentTool] = []


class Nothing(msgspec.Struct):
    """No params."""


ANALYZE_THREAT = Method("analyze_threat", AnalyzeThreat, Assessment, "Assess an alert or indicators")
DESCRIBE = Method("describe", Nothing, AgentDescription, "Say who this agent is")

AGENT_THOUGHT = Topic("aurora.agents.*.thoughts", Thought, "What an agent is doing")


def tool_result_payload(tool: str, arguments: dict[str, Any], result: Any) -> dict[str, Any]:
    """The object whose canonical JSON is hashed into a Citation id."""
    return {"tool": tool, "arguments": arguments, "result": result}
