"""What an agent may hand on: the handoff to another agent, made from its own. Pure.

Everything gets narrower on the way: the deadline is never later, capabilities are never more, the budget comes out of
what is left, and no agent is asked by work that came through it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Generic, Protocol, TypeVar

from msgspec.structs import fields

from shared.content import content_address
from shared.contracts.agents import MAX_HOPS, Budget, Handoff
from shared.contracts.claims import Citation
from shared.contracts.constants import Method
from shared.contracts.wire import encode
from shared.errors import VALIDATION, AuroraError

P = TypeVar("P")
R = TypeVar("R")
#: The name under which an answer of another agent is recorded, like a tool's result.
HAND_OFF = "hand_off"
_ID_CHARS = 90
_MAX_EVIDENCE = 100
#: Results of another agent's tools that come along with its answer.
_MAX_BROUGHT = 12
#: Where the record of an answer names them.
_CITED = "cited"
#: Where it names the parts that it doesn't hold.
_LEFT_OUT = "parts_left_out"
_JUDGED = frozenset({"verdict", "confidence", "findings", "mitre_techniques", _CITED})
#: An agent that hangs leaves so much of the time to the one that asked it.
_SHARE_OF_TIME = 0.75


class Others(Protocol):
    """The other agents, wherever they run."""

    def place(self, agent: str) -> str | None:
        """The instance for a new handoff, None when there is none."""

    async def call(self, agent: str, method: Method[P, R], params: P, *, handoff: Handoff, timeout: float) -> R:
        """The result. Raises AuroraError."""


@dataclass(frozen=True)
class Standing:
    """An agent's own place in the work: whose handoff it has, and what is left of it."""

    agent: str
    handoff_id: str
    hops: int
    path: Sequence[str]
    deadline: datetime
    capabilities: Collection[str]
    investigation_id: str | None


def refused_path(agent: str, hops: int, path: Sequence[str]) -> AuroraError | None:
    """Why `agent` may not be asked by work that came this way, None when it may."""
    if agent in path:
        chain = " > ".join([*path, agent])
        return _refusal("path", f"a cycle: {chain}")
    if hops > MAX_HOPS or len(path) > MAX_HOPS:
        return _refusal("hops", f"handed on more than {MAX_HOPS} times")
    return None


def _refusal(field: str, text: str) -> AuroraError:
    return AuroraError(VALIDATION, [{"path": f"params._meta.{field}", "message": text}], message=text)


@dataclass(frozen=True)
class Answer(Generic[R]):
    """What another agent answered, the record of it that a claim may cite, and the results of the other's tools that
    it rests on, which may be cited too."""

    result: R
    citation: Citation
    brought: Sequence[Citation] = ()


@dataclass(frozen=True)
class Grant:
    """What goes along with a request: never more than the agent has itself."""

    budget: Budget
    capabilities: Collection[str]
    evidence: Sequence[str]
    reason: str


def handed_on(
    standing: Standing, to: str, call: tuple[str, Any], grant: Grant, *, now: datetime, address: str | None
) -> Handoff:
    """The handoff for a call (method, params) to another agent. The same work asks for the same under the same id, so
    that an agent which starts its work again is answered from what the other already did. Raises AURORA-4220 for a
    cycle or a hop too many."""
    path = [*standing.path, standing.agent]
    refusal = refused_path(to, standing.hops + 1, path)
    if refusal is not None:
        raise refusal
    asked = blake2b(encode([standing.handoff_id, to, *call]), digest_size=16).hexdigest()
    seconds = min(grant.budget.seconds, _SHARE_OF_TIME * max(0.0, (standing.deadline - now).total_seconds()))
    deadline = now + timedelta(seconds=seconds)
    return Handoff(
        handoff_id=f"{standing.handoff_id.partition('~')[0][:_ID_CHARS]}~{asked}",
        from_=standing.agent,
        to=to,
        deadline=deadline,
        hops=standing.hops + 1,
        budget=Budget(grant.budget.tool_calls, seconds),
        capabilities=sorted(set(grant.capabilities) & set(standing.capabilities)),
        evidence=list(grant.evidence)[-_MAX_EVIDENCE:],
        reason=grant.reason,
        investigation_id=standing.investigation_id,
        path=path,
        address=address,
    )


def bare(result: Any, shape: type, most_bytes: int) -> Any:
    """An answer as it is recorded: what the other agent's tools brought has records of its own, named by their ids. Of
    one that is longer than a record the largest parts that its `shape` can do without are left out, never what it
    judged: nobody hides that behind a file that has much to tell."""
    if not isinstance(result, dict):
        return result
    empty: dict[str, Any] = {name: [] for name in ("citations", "refused") if name in result}
    cited = {} if "citations" not in result else {_CITED: [item["id"] for item in result["citations"][:_MAX_BROUGHT]]}
    kept = {**result, **empty, **cited}
    spare = {item.encode_name for item in fields(shape) if not item.required} - _JUDGED
    for name in sorted(spare & kept.keys(), key=lambda name: -len(encode(kept[name]))):
        if len(encode(kept)) <= most_bytes:
            break
        kept[_LEFT_OUT] = [*kept.get(_LEFT_OUT, []), name]
        del kept[name]
    return kept


def brought_by(result: Any) -> list[Citation]:
    """The results that came along with an answer, each what its address says."""
    found: list[Citation] = getattr(result, "citations", [])
    return [item for item in found[:_MAX_BROUGHT] if item.id == content_address(item.tool, item.arguments, item.result)]


def cited_in(answer: Citation) -> list[str]:
    """The ids of the results that a recorded answer rests on."""
    cited = answer.result.get(_CITED, []) if isinstance(answer.result, dict) else []
    return [name for name in cited if isinstance(name, str)]
