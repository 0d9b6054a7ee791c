"""Explanations: each part of a condition decided, and never another answer than the engine's."""

from __future__ import annotations

import pytest

from services.siem.detections.engine import Engine
from services.siem.detections.engine.explain import explain
from services.siem.event import View
from shared.contracts.explanations import ExplainedCondition
from tests.unit.engine.rule_kit import compiled, event, view


def condition(detection: str, fields: dict[str, object], message: str = "") -> ExplainedCondition:
    rule, happened = compiled(detection), event(view(fields), message=message)
    [explained] = explain(rule, happened)
    assert explained.matched is bool(Engine([rule]).matches(happened))
    assert explained.condition is not None
    return explained.condition


def test_every_part_is_decided_also_those_that_cannot_change_the_answer() -> None:
    tree = condition("sel: {Image|endswith: \\cmd.exe, User: root}\nnot_me: {A: a}\ncondition: sel and not not_me", {
        "Image": "C:\\CMD.exe", "User": "alice", "A": "a"
    })  # fmt: skip
    assert (tree.test, tree.matched) == ("all_of", False)
    shown = {(item.test, item.field, item.matched) for item in tree.items}
    assert shown == {("endswith", "image", True), ("equals", "user", False), ("not", None, False)}
    [user] = [item for item in tree.items if item.field == "user"]
    assert (user.expected, user.actual) == (["root"], ["alice"])


def test_what_holds_of_many_values_stands_first_and_the_rest_is_counted() -> None:
    values = ", ".join(f"value-{number:03d}" for number in range(100))
    found = condition(f"sel: {{A|contains: [{values}]}}\ncondition: sel", {"A": "x value-077 y"})
    assert (found.expected[0], len(found.expected), found.expected_count) == ("value-077", 20, 100)
    assert (found.matched, found.actual) == (True, ["x value-077 y"])


def test_long_and_many_actual_values_are_cut() -> None:
    found = condition("sel: {A: a}\ncondition: sel", {"A": ["x" * 5_000] * 50})
    assert ([len(text) for text in found.actual], found.actual_count) == ([200] * 10, 50)


@pytest.mark.parametrize(
    ("detection", "test", "expected"),
    [
        ("A: 'b*c?d'", "wildcard", ["b*c?d"]),
        ("A|re: '^x+$'", "regex", ["^x+$"]),
        ("A|cidr: 10.0.0.0/8", "cidr", ["10.0.0.0/8"]),
        ("A|gte: 5", "gte", ["5"]),
        ("A|hour: 7", "eq", ["hour 7"]),
        ("A: null", "null", []),
        ("A|exists: true", "exists", []),
        ("A|fieldref: B", "fieldref", ["equals b: other"]),
    ],
)
def test_each_kind_of_test_says_what_it_asks_for(detection: str, test: str, expected: list[str]) -> None:
    found = condition(f"sel: {{{detection}}}\ncondition: sel", {"A": "x", "B": "other"})
    assert (found.test, found.field, found.expected, found.actual) == (test, "a", expected, ["x"])


def test_a_keyword_has_no_field_and_sees_every_value() -> None:
    found = condition("sel: [needle]\ncondition: sel", {"A": "x"}, "a needle here")
    assert (found.field, found.matched, found.actual) == (None, True, ["x", "a needle here"])


def test_a_view_of_another_log_source_is_not_tried() -> None:
    rule = compiled("sel: {A: a}\ncondition: sel")
    linux = View("linux", "process_creation", (), {"A": "a"})
    other, own = explain(rule, event(linux, view({"A": "a"})))
    assert (other.routed, other.matched, other.condition) == (False, False, None)
    assert (own.routed, own.matched) == (True, True)
