"""How an investigation is planned and queued. Pure: no I/O, no clock, no model.

A round is about some alerts. It goes in waves: triage first; then the specialists whose kind of evidence is there;
then, of an attack, those who look further; at the end the plan of response and the report. relevance.py says who.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from services.orchestrator.handoffs import Stored
from services.orchestrator.investigations import closing, merging, rounds
from services.orchestrator.investigations.looks import AT_ONCE, ordered, standing
from services.orchestrator.investigations.relevance import (
    CLOSING_FROM_WAVE,
    FIRST_VERDICT_WAVE,
    LATER_FROM_WAVE,
    RELEVANCE,
    Row,
    Scene,
)
from services.orchestrator.investigations.rounds import Round
from services.orchestrator.investigations.subject import Subject
from shared.contracts.agents import AGENT_IDS, ANALYZE_THREAT, AnalyzeThreat, Budget
from shared.contracts.constants import Method
from shared.contracts.reports import WRITE_REPORT
from shared.contracts.responses import PLAN_RESPONSE

#: An investigation takes no more alerts, and none after so many rounds; what comes then opens another one.
MAX_ALERTS = 50
MAX_ROUNDS = 20
#: Rounds after that in which all is looked at once more.
LAST_LOOKS = -(-MAX_ALERTS // AT_ONCE)
#: What one step of priority is worth in the queue: whoever waited so much longer goes first all the same.
AGEING = timedelta(minutes=2)
_RELATED = 49
#: What somebody is told of what others asked it: texts, and characters of each.
_HEARD, _HEARD_TEXT = 200, 2048
#: With less than this a specialist can't do anything sensible.
_LEAST_CALLS = 5
_LEAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Case:
    """What a round is about: its alerts, the worst first, and the others of the investigation. `chosen` limits the
    plan to these specialists, who are then asked whatever the evidence is (empty: the planner chooses)."""

    id: str
    round: int
    subjects: Sequence[Subject]
    others: Sequence[Subject] = ()
    chosen: Collection[str] = ()

    def everything(self) -> list[Subject]:
        """All alerts, the worst first."""
        return ordered([*self.subjects, *self.others])


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the specialists of one round may spend together, and each of them at most."""

    tool_calls: int
    seconds: float
    step_tool_calls: int
    step_seconds: float


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A specialist to ask, and what; or, with `skipped`, why it is left out."""

    agent: str
    method: Method[Any, Any]
    params: Any
    wave: int
    budget: Budget | None = None
    skipped: str | None = None


def next_wave(
    case: Case,
    steps: Sequence[Stored],
    available: Collection[str],
    allowance: Allowance,
    roster: Collection[str] = AGENT_IDS,
) -> list[PlannedCall]:
    """Who is asked next in this round; empty when the plan is done.

    `available` are the specialists of the `roster` that can be reached now. The same call is never planned twice in a
    round: whoever was asked or left out before isn't asked again.
    """
    known = rounds.read(steps)
    current = next((item for item in known if item.number == case.round), Round(case.round))
    scene = _scene(case, known, current)
    waiting = [row for row in RELEVANCE if _is_waiting(row, case, scene, current, roster)]
    wave = min((row.wave for row in waiting), default=0)
    rows = [row for row in waiting if row.wave == wave]
    params = {row.agent: _params(row, case, known, current, steps) for row in rows}
    reached = [row for row in rows if row.agent in available]
    budgets = _budgets([row.agent for row in reached], current, allowance, free=wave >= CLOSING_FROM_WAVE)
    heard = standing(known) if wave >= LATER_FROM_WAVE else [current]
    voters = {*budgets, *(agent for item in heard for agent in item.assessments)}
    told = {row.agent: _told(params[row.agent], row, voters, current) for row in rows}
    return [_call(row, told[row.agent], row in reached, budgets.get(row.agent)) for row in rows]


def can_wait(calls: Sequence[PlannedCall]) -> bool:
    """Whether these calls, if any, come after those for alerts that wait for a first verdict."""
    return all(call.wave >= LATER_FROM_WAVE for call in calls)


def is_first_verdict(calls: Sequence[PlannedCall]) -> bool:
    """Whether all whose votes make the first verdict have voted when these calls are what comes next."""
    return all(call.wave > FIRST_VERDICT_WAVE for call in calls)


def _is_waiting(row: Row, case: Case, scene: Scene, current: Round, roster: Collection[str]) -> bool:
    if row.agent not in roster or (row.agent, row.method.name) in current.asked:
        return False
    if row.method in (PLAN_RESPONSE, WRITE_REPORT) and scene.verdict is None:
        return False
    return row.agent in case.chosen if case.chosen else row.wanted(_news(scene, current.heard.get(row.agent)))


def _news(scene: Scene, heard: Collection[str] | None) -> Scene:
    """The scene as it is for someone whom another specialist has asked in this round: neither what that was about nor
    what came of it is a reason to ask again."""
    if not heard:
        return scene
    iocs = [item for item in scene.iocs if item.value not in heard]
    return replace(scene, iocs=iocs, techniques=scene.techniques.difference(heard))


def _told(params: Any, row: Row, voters: Set[str], current: Round) -> Any:
    """The params, told who else has a word in this investigation, and what of this one's is in theirs already."""
    if row.method is not ANALYZE_THREAT:
        return params
    heard = sorted(text for text in current.heard.get(row.agent, ()) if len(text) <= _HEARD_TEXT)[:_HEARD]
    beside = [agent for agent in AGENT_IDS if agent in voters - {row.agent}]
    return msgspec.structs.replace(params, beside=beside, heard=heard)


def _call(row: Row, params: Any, reached: bool, budget: Budget | None) -> PlannedCall:
    skipped = None
    if not reached:
        skipped = "it is not running"
    elif budget is None:
        skipped = "not asked: the budget of this round is spent"
    return PlannedCall(row.agent, row.method, params, row.wave, budget, skipped)


def _budgets(agents: Sequence[str], current: Round, allowance: Allowance, *, free: bool) -> Mapping[str, Budget]:
    """What each may spend: equal shares of what is left. Those for whom too little is left aren't named. What closes an
    investigation is `free`: it must be done also when all is spent, and it reads what all rounds read."""
    most = Budget(allowance.step_tool_calls, allowance.step_seconds)
    if free:
        return dict.fromkeys(agents, Budget(max(most.tool_calls, allowance.tool_calls), most.seconds))
    calls = allowance.tool_calls - current.tool_calls
    seconds = allowance.seconds - current.seconds
    places = max(0, min(len(agents), calls // _LEAST_CALLS, math.floor(seconds / _LEAST_SECONDS)))
    if not places:
        return {}
    share = Budget(min(most.tool_calls, calls // places), min(most.seconds, seconds / places))
    return dict.fromkeys(agents[:places], share)


def _scene(case: Case, known: Sequence[Round], current: Round) -> Scene:
    answers = list(current.assessments.values())
    techniques = {name for subject in case.subjects for name in subject.mitre_techniques}
    techniques |= {name for answer in answers for name in answer.mitre_techniques}
    read = [event for answer in answers for item in answer.citations if (event := _event(item.result)) is not None]
    return Scene(
        subjects=case.subjects,
        iocs=[*(item for subject in case.subjects for item in subject.observables), *merging.iocs_of(answers)],
        techniques=frozenset(techniques),
        datasets=frozenset(str(event["dataset"]) for event in read if event.get("dataset")),
        categories=frozenset(name for event in read for name in _texts(event["ecs"].get("event.category"))),
        verdict=merging.merge(known).verdict,
    )


def _event(result: Any) -> dict[str, Any] | None:
    """A tool result that is one stored event."""
    return result if isinstance(result, dict) and isinstance(result.get("ecs"), dict) else None


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str)]


def _params(row: Row, case: Case, known: Sequence[Round], current: Round, steps: Sequence[Stored]) -> Any:
    later = row.wave >= LATER_FROM_WAVE
    about = case.everything() if later else case.subjects
    prior = closing.priors(known) if later else []
    if row.method is PLAN_RESPONSE:
        return closing.response_request(about, merging.merge(known), prior)
    if row.method is WRITE_REPORT:
        return closing.report_request(case.id, about, merging.merge(known), steps)
    answers = [answer for item in (standing(known) if later else [current]) for answer in item.assessments.values()]
    related = [subject.id for subject in about[1:]][:_RELATED]
    return AnalyzeThreat(alert_id=about[0].id, iocs=merging.iocs_of(answers), related=related, prior=prior)


def priority(severity_rank: int, *, manual: bool) -> int:
    """0 to 9: the worst alert's severity first, then whether somebody asked."""
    return severity_rank * 2 + manual


def due_at(since: datetime, priority_: int) -> datetime:
    """The place in the queue, as a time: the earlier the sooner. What waits grows older, so nothing waits for ever."""
    return since - priority_ * AGEING


def estimate_seconds(position: int, busy: int, workers: int, usual: float | None) -> float | None:
    """Seconds until the verdict of the one at this place, when `busy` of the workers work and one takes `usual`
    seconds. None while nobody knows what is usual."""
    if usual is None:
        return None
    turns = max(0, position + busy - workers) / workers
    return round(usual * (1 + turns), 1)
