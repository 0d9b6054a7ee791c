"""Which alerts a round looks at and which rounds count: whatever came when, what is concluded at rest is the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.investigations.closing import priors
from services.orchestrator.investigations.looks import AT_ONCE, Held, next_look, ordered, standing
from services.orchestrator.investigations.merging import merge
from services.orchestrator.investigations.rounds import Round
from services.orchestrator.investigations.subject import Subject
from shared.contracts.agents import Assessment
from shared.contracts.common import SEVERITIES, Observable, Verdict
from shared.contracts.responses import ResponsePlan

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)


def facts(number: int) -> Subject:
    """An alert as it describes itself; its id is only known once it has come."""
    severity = SEVERITIES[number % len(SEVERITIES)]
    return Subject(
        id="", title=f"rule {number:03}", severity=severity, first_seen=NOW + timedelta(seconds=number * 7 % 5)
    )


def looked_at(arrivals: Sequence[Sequence[Subject]]) -> list[tuple[str, ...]]:
    """The rounds of an investigation whose alerts come in these groups, a round after each group, until it rests: what
    each looked at, by title."""
    held: dict[str, Held] = {}
    rounds: list[tuple[str, ...]] = []
    for group in [*arrivals, *[()] * 20]:
        for alert in group:
            identifier = f"ALRT-2026-{len(held) + 1:06}"
            held[identifier] = Held(
                Subject(id=identifier, title=alert.title, severity=alert.severity, first_seen=alert.first_seen), None
            )
        chosen = next_look(list(held.values()))
        if chosen:
            rounds.append(tuple(held[name].subject.title for name in chosen))
            held |= {name: replace(held[name], round=len(rounds)) for name in chosen}
    assert not next_look(list(held.values()))
    return rounds


def counted(rounds: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    answered = [
        Round(number, alerts, assessments={"triage": said("malicious")}) for number, alerts in enumerate(rounds, 1)
    ]
    return [item.alerts for item in standing(answered)]


def said(verdict: Verdict, confidence: float = 0.9, *iocs: Observable) -> Assessment:
    return Assessment(
        severity="high", confidence=confidence, mitre_techniques=[], iocs=list(iocs), verdict=verdict, citations=[]
    )


@given(st.integers(1, 50), st.randoms(use_true_random=False), st.lists(st.integers(1, 12), max_size=12))
def test_the_rounds_that_count_are_the_same_however_the_alerts_came(
    many: int, chance: random.Random, sizes: list[int]
) -> None:
    alerts = [facts(number) for number in range(many)]
    shuffled = chance.sample(alerts, len(alerts))
    groups: list[Sequence[Subject]] = []
    for size in sizes:
        groups, shuffled = [*groups, shuffled[:size]], shuffled[size:]
    at_once, in_parts = counted(looked_at([alerts])), counted(looked_at([*groups, shuffled]))
    assert in_parts == at_once
    assert sorted(title for look in at_once for title in look) == [alert.title for alert in alerts]
    assert all(len(look) <= AT_ONCE for look in at_once)


def test_alerts_that_wait_together_are_looked_at_together_and_once() -> None:
    assert [len(look) for look in looked_at([[facts(number) for number in range(AT_ONCE)]])] == [AT_ONCE]
    assert [len(look) for look in looked_at([[facts(number) for number in range(50)]])] == [11, 11, 11, 11, 6]


def test_an_alert_that_comes_gets_its_first_look_before_all_are_looked_at_again() -> None:
    many = [facts(number) for number in range(30)]
    assert looked_at([many[:-1], [], [], [many[-1]]])[3] == (many[-1].title,)
    assert looked_at([many[:2], many[2:3]]) == [
        tuple(alert.title for alert in ordered(many[:2])),
        tuple(alert.title for alert in ordered(many[:3])),
    ]


def test_the_last_round_takes_all_that_wait() -> None:
    waiting = [Held(Subject(id=f"ALRT-2026-{number:06}", first_seen=NOW), None) for number in range(30)]
    assert len(next_look(waiting)) == AT_ONCE
    assert len(next_look(waiting, last=True)) == 30


def test_alerts_are_in_order_of_severity_then_of_time_and_ids_decide_only_between_equals() -> None:
    late = Subject(id="ALRT-2026-000001", severity="high", first_seen=NOW + timedelta(seconds=1))
    early = Subject(id="ALRT-2026-000003", severity="high", first_seen=NOW)
    twin = Subject(id="ALRT-2026-000002", severity="high", first_seen=NOW)
    worst = Subject(id="ALRT-2026-000004", severity="critical")
    assert ordered([late, early, twin, worst]) == [worst, twin, early, late]


def test_a_later_look_at_the_same_alerts_takes_the_place_of_an_earlier_one() -> None:
    first = Round(1, ("a",), assessments={"triage": said("malicious")})
    again = Round(2, ("b", "a"), assessments={"triage": said("benign")})
    assert standing([first, again]) == [again]
    assert merge([first, again]).verdict == "benign"


def test_a_look_at_other_alerts_takes_nothing_back() -> None:
    first = Round(1, ("a",), assessments={"triage": said("malicious")})
    other = Round(2, ("b",), assessments={"triage": said("benign")})
    assert merge([first, other]).verdict == "malicious"


def test_a_look_that_nobody_answered_or_in_which_somebody_is_silent_takes_the_place_of_none_that_heard_them() -> None:
    first = Round(1, ("a",), assessments={"triage": said("benign"), "endpoint_analyst": said("malicious")})
    assert standing([first, Round(2, ("a",), failures={"triage": "down"})])[0] is first
    partly = Round(2, ("a",), assessments={"triage": said("benign")}, failures={"endpoint_analyst": "down"})
    assert merge([first, partly]).verdict == merge([first]).verdict
    elsewhere = Round(3, ("b",), assessments={"triage": said("benign")}, failures={"endpoint_analyst": "down"})
    whole = Round(2, ("a",), assessments=first.assessments)
    assert standing([first, whole, elsewhere]) == [whole, elsewhere]


def test_what_others_hear_of_a_specialist_is_the_worst_it_said_in_what_counts() -> None:
    dropped = Round(1, ("a",), assessments={"triage": said("malicious", 0.99)})
    worst, mild = said("malicious", 0.8), said("benign")
    rounds = [
        dropped,
        Round(2, ("a",), assessments={"triage": worst}),
        Round(3, ("b",), assessments={"triage": mild}),
    ]
    [prior] = priors(rounds)
    assert (prior.verdict, prior.confidence) == ("malicious", 0.8)


@pytest.mark.parametrize(("verdict", "planned"), [("malicious", True), ("benign", False)])
def test_a_plan_stays_only_while_something_calls_for_it(verdict: Verdict, planned: bool) -> None:
    first = Round(1, ("a",), assessments={"triage": said("malicious")}, plan=ResponsePlan(steps=[]))
    again = Round(2, ("a",), assessments={"triage": said(verdict, 0.95), "endpoint_analyst": said(verdict, 0.95)})
    assert (merge([first, again]).plan is not None) is planned
