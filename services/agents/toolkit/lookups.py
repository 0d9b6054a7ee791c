"""What threat intelligence is asked about observables that a specialist met and nobody named: by handoff, since nobody
else looks those up, and since only that specialist weighs matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.agents.toolkit.asking import carried
from services.agents.toolkit.handing import Answer
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.work import Work
from shared.contracts.agents import Budget
from shared.contracts.common import Observable
from shared.contracts.intel_methods import LOOKUP_INDICATORS, IndicatorReport, IndicatorRequest

#: Who is asked what is known of an observable.
KNOWS_INDICATORS = "threat_intel"
_BUDGET = Budget(1, 15.0)


@dataclass(frozen=True)
class Strange:
    """Observables that somebody met: what they are ("... of logons to other hosts"), the kind of sign that one of them
    is when it is listed, and its techniques."""

    observables: Sequence[Observable]
    what: str
    kind: str
    techniques: Sequence[str]


async def looked_up(strange: Strange, at: datetime, work: Work) -> tuple[list[Sign], list[Observable]]:
    """The signs in what is known of them at that time, and those that are called malicious."""
    if not strange.observables:
        return [], []
    told = f"{len(strange.observables)} {strange.what}"
    request = IndicatorRequest(observables=list(strange.observables), at=at)
    answer = await work.hand_off(
        KNOWS_INDICATORS, LOOKUP_INDICATORS, request, reason=f"what is known of {told}", budget=_BUDGET
    )
    if answer is None:
        return [], []
    work.not_checked += answer.result.not_checked
    bad = [item.observable for item in answer.result.indicators if item.standing == "malicious"]
    if answer.result.stored and not bad:
        work.ruled_out.append(f"intelligence on {told}")
    return listed_signs(strange, answer), bad


def listed_signs(strange: Strange, answer: Answer[IndicatorReport]) -> list[Sign]:
    """The observables that are called malicious. Feeds copy from feeds: they are one kind."""
    return [
        sign
        for item in answer.result.indicators
        if item.standing == "malicious"
        for sign in carried(
            strange.kind, f"{KNOWS_INDICATORS}: {item.claims[0]}", item.weight, strange.techniques, answer
        )
    ]
