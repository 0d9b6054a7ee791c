"""Selections, keywords and the condition language."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.engine.rule_kit import matches

PARTS = """
    sel_a: {A: a}
    sel_b: {B: b}
    other: {C: c}
    """


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ("sel_a", {"A": "a"}, True),
        ("sel_a and sel_b", {"A": "a"}, False),
        ("sel_a and sel_b", {"A": "a", "B": "b"}, True),
        ("sel_a or sel_b", {"B": "b"}, True),
        ("not sel_a", {}, True),
        ("not sel_a", {"A": "a"}, False),
        ("not not sel_a", {"A": "a"}, True),
        ("sel_a and not sel_b", {"A": "a", "B": "x"}, True),
        ("sel_a and not (sel_b or other)", {"A": "a", "C": "c"}, False),
        ("sel_a or sel_b and other", {"A": "a"}, True),
        ("(sel_a or sel_b) and other", {"A": "a"}, False),
        ("1 of them", {"C": "c"}, True),
        ("1 of them", {}, False),
        ("all of them", {"A": "a", "B": "b"}, False),
        ("all of them", {"A": "a", "B": "b", "C": "c"}, True),
        ("1 of sel*", {"C": "c"}, False),
        ("1 of sel_*", {"B": "b"}, True),
        ("any of sel_*", {"B": "b"}, True),
        ("all of sel*", {"A": "a", "B": "b"}, True),
        ("not 1 of sel*", {"C": "c"}, True),
        ("other and not all of sel*", {"C": "c", "A": "a"}, True),
    ],
)
def test_conditions_combine_selections(condition: str, fields: dict[str, Any], expected: bool) -> None:
    assert matches(f"{PARTS}\n    condition: {condition}", fields) is expected


def test_a_mapping_needs_all_its_items_and_a_list_of_mappings_one() -> None:
    mapping = "sel: {A: a, B|contains: b}\ncondition: sel"
    assert matches(mapping, {"A": "a", "B": "xbx"})
    assert not matches(mapping, {"A": "a"})
    either = "sel:\n  - {A: a, B: b}\n  - C: [c, d]\ncondition: sel"
    assert matches(either, {"C": "d"})
    assert matches(either, {"A": "a", "B": "b"})
    assert not matches(either, {"A": "a"})


def test_several_conditions_match_when_one_does() -> None:
    rule = "a: {A: a}\nb: {B: b}\ncondition: [a, b]"
    assert matches(rule, {"B": "b"})
    assert not matches(rule, {"C": "c"})


@pytest.mark.parametrize(
    ("keywords", "fields", "message", "expected"),
    [
        ("[mimikatz, rubeus]", {"Any": "Invoke-MIMIKATZ now"}, "", True),
        ("[mimikatz]", {"Any": ["x", "mimikatz"]}, "", True),
        ("[mimikatz]", {"Any": "x"}, "said mimikatz", True),
        ("[mimikatz]", {"message": "x"}, "said mimikatz", False),
        ("[mimikatz]", {}, "", False),
        ("['a*z']", {"Any": "xxabczxx"}, "", True),
        ("['a?z']", {"Any": "xxabzxx"}, "", True),
        ("['end*']", {"Any": "the end"}, "", True),
        ("[4625]", {"EventID": 4625}, "", True),
        ("{'|all': [one, two]}", {"A": "one", "B": "two"}, "", True),
        ("{'|all': [one, two]}", {"A": "one"}, "", False),
        ("{'|re': 'fail(ed|ure)'}", {"A": "login failure"}, "", True),
        ("{'|re': '^failure'}", {"A": "login", "B": "failure"}, "", True),
        ("{'|contains': fail}", {"A": "failed"}, "", True),
        ("[onetwo]", {"A": "one", "B": "two"}, "", False),
    ],
)
def test_keywords_search_every_value_of_the_event(
    keywords: str, fields: dict[str, Any], message: str, expected: bool
) -> None:
    assert matches(f"keywords: {keywords}\ncondition: keywords", fields, message) is expected


def test_keywords_and_fields_work_together() -> None:
    rule = "sel: {A: a}\nkeywords: [evil]\ncondition: sel and keywords"
    assert matches(rule, {"A": "a", "X": "evil"})
    assert not matches(rule, {"A": "a", "X": "good"})
    assert not matches(rule, {"A": "b", "X": "evil"})
