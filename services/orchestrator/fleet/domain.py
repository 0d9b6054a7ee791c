"""Tool calls as they come with an answer. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from services.orchestrator.handoffs import Stored
from shared.content import is_true, refusal_address
from shared.contracts.claims import Citation, Refusal
from shared.contracts.fleet import ToolCall


class _Answer(msgspec.Struct):
    """What every method's result may have."""

    citations: list[Citation] = []
    refused: list[Refusal] = []


def delivered(dispatch: Stored, caller: str) -> list[ToolCall]:
    """The tool calls of its agent that a finished dispatch's answer rests on. One whose content isn't what its address
    says is none; neither is there any in an answer of another shape. What another agent brought was called in the
    handoff that this one made, and is kept with that."""
    record, handoff = dispatch.record, dispatch.handoff
    if handoff is None or record.finished_at is None or not isinstance(record.result, dict):
        return []
    try:
        answer = msgspec.convert(record.result, _Answer)
    except msgspec.ValidationError:
        return []
    common: dict[str, Any] = {
        "started_at": None,
        "caller": caller,
        "handoff_id": handoff.handoff_id,
        "investigation_id": record.investigation_id,
    }
    results = [
        ToolCall(
            id=citation.id,
            agent=citation.agent,
            tool=citation.tool,
            arguments=citation.arguments,
            status="completed",
            result=citation.result,
            error=None,
            finished_at=citation.executed_at,
            **common,
        )
        for citation in answer.citations
        if citation.agent == record.agent
    ]
    refusals = [
        ToolCall(
            id=refusal_address(refusal),
            agent=record.agent,
            tool=refusal.tool,
            arguments=refusal.arguments,
            status="refused",
            result=None,
            error=refusal.reason,
            code=refusal.code,
            finished_at=record.finished_at,
            **common,
        )
        for refusal in answer.refused
    ]
    return [call for call in (*results, *refusals) if is_true(call)]
