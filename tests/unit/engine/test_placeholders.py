"""Placeholders: what a value means once lists take the place of `%name%` (Sigma modifiers appendix 2.1, expand)."""

from __future__ import annotations

from typing import Any

import pytest

from services.siem.detections.engine import Engine, compile_rule
from services.siem.detections.engine.placeholders import MAX_EXPANDED
from tests.unit.engine.rule_kit import RULE_ID, event, rule_text, view

LISTS = {
    "hosts": ["dc1", "DC*", "a?b", "back\\*slash"],
    "one": ["1.2"],
    "two": ["x", "y"],
    "big": [str(number) for number in range(MAX_EXPANDED // 2)],
}


def matches(item: str, fields: dict[str, Any]) -> bool:
    rule = compile_rule(rule_text(f"sel:\n  {item}\ncondition: sel"), LISTS)
    assert rule.problem is None, rule.problem
    answers = [Engine([rule], index=index).evaluate(event(view(fields))) for index in (True, False)]
    assert answers[0] == answers[1]
    return answers[0] == [RULE_ID]


@pytest.mark.parametrize(
    ("item", "value", "expected"),
    [
        ("A|expand: '%hosts%'", "DC1", True),
        ("A|expand: '%hosts%'", "dc77", True),
        ("A|expand: '%hosts%'", "my dc1", False),
        ("A|expand: '%hosts%'", "axb", True),
        ("A|expand: '%hosts%'", "back*slash", True),
        ("A|expand: '%hosts%'", "backXslash", False),
        ("A|expand: '%two%-%two%'", "y-x", True),
        ("A|expand: '%two%-%two%'", "y-z", False),
        ("A|contains|expand: 'is %two%'", "it is y here", True),
        ("A|endswith|expand: '\\%two%'", "c:\\y", True),
        ("A|expand|cased: '%two%'", "X", False),
        ("A|contains|all|expand: ['%two%', '%one%']", "1.2 and y", True),
        ("A|contains|all|expand: ['%two%', '%one%']", "only y", False),
        ("A|re|expand: '^v%one%$'", "v1.2", True),
        ("A|re|expand: '^v%one%$'", "v1x2", False),
        ("A|re|expand: 'a.*(%two%|b?c)+$'", "a--yc", True),
        ("A|expand: '100%'", "100%", True),
    ],
)
def test_a_placeholder_is_any_value_of_its_list(item: str, value: str, expected: bool) -> None:
    assert matches(item, {"A": value}) is expected


def test_a_negated_placeholder_leaves_out_every_value() -> None:
    text = rule_text("sel: {B: b}\nknown:\n  A|contains|expand: '%two%'\ncondition: sel and not known")
    engine = Engine([compile_rule(text, LISTS)])
    assert engine.evaluate(event(view({"A": "z", "B": "b"}))) == [RULE_ID]
    assert engine.evaluate(event(view({"A": "y", "B": "b"}))) == []


def test_a_rule_says_every_list_that_it_lacks() -> None:
    rule = compile_rule(rule_text("sel:\n  A|expand: '%two%%none%%nor this%'\ncondition: sel"), LISTS)
    assert rule.condition is None
    assert rule.problem is not None
    assert "%none%, %nor this%:" in rule.problem


def test_lists_that_multiply_without_measure_are_not_served() -> None:
    rule = compile_rule(rule_text("sel:\n  A|expand: '%big%%big%'\ncondition: sel"), LISTS)
    assert "more than" in (rule.problem or "")
