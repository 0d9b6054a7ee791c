"""What rules cost: measured on one event of so many, told apart by rule, forgotten with the text it was measured on."""

from __future__ import annotations

import pytest

from services.siem.detections.engine import Engine
from services.siem.detections.engine.costs import MEASURED_EVERY, MIN_EVENTS, Costs, Sample
from tests.unit.engine.rule_kit import compiled, event, numbered, view

TRIED = "sel: {A|contains: abc, B|gt: 3}\ncondition: sel"


def test_one_event_of_so_many_is_measured_and_only_rules_that_were_tried_cost_something() -> None:
    tried, other = numbered(compiled(TRIED), 1), numbered(compiled("sel: {A|contains: xyz}\ncondition: sel"), 2)
    engine = Engine([tried, other])
    assert engine.measured() is None
    happened = event(view({"A": "abc", "B": 1}))
    assert [engine.evaluate(happened) for _ in range(2 * MEASURED_EVERY)] == [[]] * (2 * MEASURED_EVERY)
    sample = engine.measured()
    assert sample is not None
    assert sample.events == 2
    assert list(sample.rules) == [tried.id]
    assert 0 < sample.rules[tried.id] < sample.seconds
    assert engine.measured() is None


def test_measured_events_match_as_all_others_do() -> None:
    engine = Engine(
        [compiled("sel: {A: a}\ncondition: sel"), numbered(compiled("words: [needle]\ncondition: words"), 1)]
    )
    happened = event(view({"A": "a", "C": "a needle"}))
    answers = [engine.evaluate(happened) for _ in range(2 * MEASURED_EVERY)]
    assert len(answers[0]) == 2
    assert answers == [answers[0]] * len(answers)


def test_costs_are_those_of_the_rules_that_are_served_since_they_are() -> None:
    costs = Costs()
    costs.begin("old")
    costs.add(Sample(MIN_EVENTS, 0.001, {"old": 0.0002, "gone": 0.1}))
    costs.begin("new")
    assert costs.total() == pytest.approx(0.001 / MIN_EVENTS * 1e6)
    assert costs.of(["old", "new", "gone"]) == {"old": pytest.approx(20)}
    costs.add(Sample(MIN_EVENTS, 0.001, {"new": 0.0001}))
    assert costs.of(["old", "new"]) == {"old": pytest.approx(10), "new": pytest.approx(10)}
    costs.end("old")
    costs.begin("new")
    assert costs.of(["old", "new"]) == {}


def test_too_little_says_nothing() -> None:
    costs = Costs()
    costs.begin("rule")
    costs.add(Sample(MIN_EVENTS - 1, 1.0, {"rule": 1.0}))
    assert costs.total() is None
    assert costs.of(["rule"]) == {}
