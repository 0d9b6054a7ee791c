"""The engine against rules and events nobody here wrote: SigmaHQ's rules and their regression events."""

from __future__ import annotations

from services.siem.detections.engine import Engine, decode, encode
from tests.outside_rules import compiled_rules, regression_events

#: How many regression events may fail to raise their own rule.
TOLERATED = 1


def test_every_rule_of_sigmahq_compiles_and_those_not_served_say_why() -> None:
    rules = compiled_rules()
    assert len(rules) > 3_700
    assert len({rule.id for rule in rules}) == len(rules)
    assert all((rule.problem is None) == (rule.condition is not None) for rule in rules)
    unserved = [rule.problem for rule in rules if rule.problem is not None]
    assert all("placeholder" in problem for problem in unserved), unserved
    assert len(unserved) <= len(rules) // 100


def test_every_compiled_rule_survives_its_bytes() -> None:
    assert all(decode(encode(rule)) == rule for rule in compiled_rules())


def test_regression_events_raise_their_own_rule_with_and_without_the_index() -> None:
    engines = [Engine(compiled_rules(), index=index) for index in (True, False)]
    missed = []
    for rule_id, events in regression_events().items():
        matched: set[str] = set()
        for event in events:
            indexed, plain = (engine.evaluate(event) for engine in engines)
            assert indexed == plain, rule_id
            matched.update(indexed)
        if rule_id not in matched:
            missed.append(rule_id)
    assert len(regression_events()) > 100
    assert len(missed) <= TOLERATED, missed
