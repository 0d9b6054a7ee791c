"""What a replay answers from, and where two results first differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from services.orchestrator.handoffs import KeptCall, Stored
from shared.content import canonical, is_true
from shared.contracts.agents import NOT_RECORDED, Handoff, Recorded
from shared.contracts.claims import Citation, Refusal
from shared.contracts.fleet import ToolCall
from shared.contracts.replays import Difference, UnrecordedCall
from shared.contracts.wire import to_builtins

_MISSING = object()
_TEXT = 500
_BEFORE = 80


class _Answer(msgspec.Struct):
    """What every method's result may have."""

    citations: list[Citation] = []
    refused: list[Refusal] = []


def recorded_of(step: Stored, handoff: Handoff, kept: Sequence[KeptCall]) -> Recorded:
    """The record of a completed step: the calls that are kept of its handoff, and those its answer came with where none
    is kept. A handoff that ran twice may have two results of one call: the one that its answer rests on counts."""
    answer, agent = msgspec.convert(step.record.result, _Answer), step.record.agent
    others = [_told(one.call) for one in kept if not one.delivered]
    delivered = [_told(one.call) for one in kept if one.delivered]
    chosen = {_key(item, agent): item for item in [*others, *answer.citations, *answer.refused, *delivered]}
    return Recorded(
        asked_at=handoff.deadline - timedelta(seconds=handoff.budget.seconds),
        citations=[item for item in chosen.values() if isinstance(item, Citation)],
        refusals=[item for item in chosen.values() if isinstance(item, Refusal)],
    )


def _key(item: Citation | Refusal, agent: str) -> bytes:
    if isinstance(item, Citation) and item.agent != agent:
        # Brought by another agent that was asked: no call of this one's.
        return item.id.encode()
    return canonical([item.tool, item.arguments])


def _told(call: ToolCall) -> Citation | Refusal:
    """A kept call as its agent delivered it."""
    if call.status == "refused":
        return Refusal(tool=call.tool, arguments=call.arguments, reason=call.error or "", code=call.code)
    return Citation(
        id=call.id,
        agent=call.agent,
        tool=call.tool,
        arguments=call.arguments,
        result=call.result,
        executed_at=call.finished_at,
    )


def altered(kept: Sequence[KeptCall]) -> list[str]:
    """The addresses of the calls whose content isn't what they say."""
    return sorted({one.call.id for one in kept if not is_true(one.call)})


def unrecorded(result: Any) -> list[UnrecordedCall]:
    """The calls of a replay that the record doesn't have. `result` is the answer of any method."""
    refused: list[Refusal] = getattr(result, "refused", [])
    return [UnrecordedCall(tool=call.tool, arguments=call.arguments) for call in refused if call.reason == NOT_RECORDED]


def first_difference(recorded: Any, replayed: Any) -> Difference | None:
    """None when both are the same bytes as canonical JSON."""
    if canonical(recorded) == canonical(replayed):
        return None
    path, one, other = _walk(to_builtins(recorded), to_builtins(replayed), "") or ("", recorded, replayed)
    if isinstance(one, str) and isinstance(other, str):
        return Difference(path=path, recorded=_around(one, other), replayed=_around(other, one))
    return Difference(path=path, recorded=_shown(one), replayed=_shown(other))


def _walk(one: Any, other: Any, path: str) -> tuple[str, Any, Any] | None:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        pairs = [(f"{path}.{key}".lstrip("."), one.get(key, _MISSING), other.get(key, _MISSING)) for key in keys]
    elif isinstance(one, list) and isinstance(other, list):
        length = max(len(one), len(other))
        pairs = [(f"{path}[{place}]", _at(one, place), _at(other, place)) for place in range(length)]
    else:
        same = type(one) is type(other) and one == other
        return None if same else (path, one, other)
    return next((found for name, a, b in pairs if (found := _walk(a, b, name)) is not None), None)


def _at(items: list[Any], place: int) -> Any:
    return items[place] if place < len(items) else _MISSING


def _around(text: str, other: str) -> str:
    """Of a long text what stands where it begins to differ."""
    same = next(
        (place for place, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other))
    )
    start = max(0, same - _BEFORE) if max(len(text), len(other)) > _TEXT else 0
    cut = text[start : start + _TEXT]
    return ("…" if start else "") + cut + ("…" if start + _TEXT < len(text) else "")


def _shown(value: Any) -> Any:
    if value is _MISSING:
        return None
    text = canonical(value).decode()
    return value if len(text) <= _TEXT else text[:_TEXT] + "…"
