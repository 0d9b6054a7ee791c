"""The stored steps of an investigation, read as rounds: who was asked, who answered what, who gave nothing and why.

Pure: the same steps always read the same, so a verdict can be reached again from what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from services.orchestrator.handoffs import Stored
from shared.contracts.agents import ANALYZE_THREAT, Assessment
from shared.contracts.claims import Citation
from shared.contracts.investigations import DispatchRecord
from shared.contracts.reports import WRITE_REPORT, Report
from shared.contracts.responses import PLAN_RESPONSE, ResponsePlan

#: The tool by which one specialist asks another (services/agents).
_HAND_OFF = "hand_off"


@dataclass(slots=True)
class Round:
    """One round. `alerts` are those that it looked at. `asked` holds agent and method of every step, also of those that
    were left out; `failures` maps an agent that gave nothing to the reason. `heard` maps an agent that others asked
    themselves to what they asked it about and what it named. Spent are tool calls and seconds of specialists."""

    number: int
    alerts: tuple[str, ...] = ()
    asked: set[tuple[str, str]] = field(default_factory=set)
    assessments: dict[str, Assessment] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    heard: dict[str, set[str]] = field(default_factory=dict)
    plan: ResponsePlan | None = None
    report: Report | None = None
    tool_calls: int = 0
    seconds: float = 0.0


def read(steps: Iterable[Stored]) -> list[Round]:
    """The rounds of an investigation in their order; unfinished steps count as asked and as nothing else."""
    found: dict[int, Round] = {}
    for step in steps:
        of = found.setdefault(step.record.round, Round(step.record.round))
        of.asked.add((step.record.agent, step.record.method))
        of.alerts = of.alerts or _looked_at(step.record)
        _read_step(of, step)
    return [found[number] for number in sorted(found)]


def unfinished(steps: Sequence[Stored]) -> list[str]:
    """The ids of the steps that have no end yet."""
    return [step.record.id for step in steps if step.record.status in ("pending", "running")]


def _looked_at(record: DispatchRecord) -> tuple[str, ...]:
    """The alerts that a step is about. The first steps of a round are about its own, the last ones about all."""
    if record.method != ANALYZE_THREAT.name or not record.params.get("alert_id"):
        return ()
    return (record.params["alert_id"], *record.params.get("related", ()))


def _read_step(of: Round, step: Stored) -> None:
    record = step.record
    if record.status in ("failed", "skipped"):
        of.failures[record.agent] = record.error or record.status
        if record.status == "failed" and step.handoff is not None:
            # What it did before it failed isn't known: all that it was granted is gone.
            of.tool_calls += step.handoff.budget.tool_calls
    if record.status == "completed":
        citations = _answer(of, record.agent, record.method, record.result)
        of.tool_calls += len(citations)
        _hear(of, citations)
    of.seconds += _seconds(record.started_at, record.finished_at) if record.status != "skipped" else 0.0


def _answer(of: Round, agent: str, method: str, result: object) -> list[Citation]:
    """Puts an answer where it belongs; the tool results that came with it."""
    if method == ANALYZE_THREAT.name:
        of.assessments[agent] = msgspec.convert(result, Assessment)
        return of.assessments[agent].citations
    if method == PLAN_RESPONSE.name:
        of.plan = msgspec.convert(result, ResponsePlan)
        return of.plan.citations
    if method == WRITE_REPORT.name:
        of.report = msgspec.convert(result, Report)
        return of.report.citations
    return []


def _hear(of: Round, citations: Iterable[Citation]) -> None:
    """Notes what specialists asked one another, as their answers carry it."""
    for citation in citations:
        agent = citation.arguments.get("agent") if citation.tool == _HAND_OFF else None
        if isinstance(agent, str):
            answered = citation.result if isinstance(citation.result, dict) else {}
            texts = [*_texts(citation.arguments.get("params")), *_texts(answered.get("mitre_techniques"))]
            of.heard.setdefault(agent, set()).update(texts)


def _texts(value: object) -> Iterator[str]:
    """Every text within plain JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _seconds(started: datetime, finished: datetime | None) -> float:
    return 0.0 if finished is None else max((finished - started).total_seconds(), 0.0)
