"""The engine as a whole: routing, changing rules, several views, hostile events."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from services.siem.detections.engine import CompiledRule, Engine, compile_rule
from services.siem.event import View
from tests.unit.engine.rule_kit import RULE_ID, compiled, event, numbered, rule_text, view

SELECTS_A = "sel: {A: a}\ncondition: sel"


@pytest.mark.parametrize(
    ("logsource", "expected"),
    [
        ("{product: windows}", True),
        ("{product: Windows, category: process_creation}", True),
        ("{category: process_creation}", True),
        ("{service: sysmon}", True),
        ("{service: security}", True),
        ("{product: windows, category: process_creation, service: sysmon}", True),
        ("{product: linux}", False),
        ("{product: windows, category: file_event}", False),
        ("{product: windows, service: system}", False),
        ("{category: process_creation, service: system}", False),
    ],
)
@pytest.mark.parametrize("index", [True, False])
def test_a_rule_sees_only_the_views_of_its_logsource(logsource: str, expected: bool, index: bool) -> None:
    engine = Engine([compiled(SELECTS_A, logsource)], index=index)
    seen = View("windows", "process_creation", ("sysmon", "Security"), {"A": "a"})
    assert engine.evaluate(event(seen)) == ([RULE_ID] if expected else [])


def test_a_view_without_category_matches_only_rules_that_leave_it_open() -> None:
    engine = Engine([numbered(compiled(SELECTS_A, "{product: windows}"), 1), compiled(SELECTS_A)])
    assert len(engine.evaluate(event(view({"A": "a"}, category=None)))) == 1
    assert len(engine.evaluate(event(view({"A": "a"})))) == 2


def test_a_match_on_any_view_is_one_match_of_the_event() -> None:
    engine = Engine([numbered(compiled(SELECTS_A), number) for number in (2, 1)])
    views = [view({"A": "a"}), view({"A": "x"}), view({"A": "a"})]
    assert engine.evaluate(event(*views)) == [numbered(compiled(SELECTS_A), n).id for n in (1, 2)]
    assert engine.evaluate(event()) == []


def test_a_match_names_the_first_view_that_matched() -> None:
    engine = Engine([compiled(SELECTS_A)])
    views = [view({"A": "x"}), view({"A": "a", "B": "1"}), view({"A": "a", "B": "2"})]
    assert engine.matches(event(*views)) == {RULE_ID: views[1]}
    assert engine.matches(event()) == {}


def test_selections_do_not_join_fields_of_different_views() -> None:
    engine = Engine([compiled("sel: {A: a, B: b}\ncondition: sel")])
    assert engine.evaluate(event(view({"A": "a"}), view({"B": "b"}))) == []


@pytest.mark.parametrize("index", [True, False])
def test_rules_come_are_replaced_and_go_between_events(index: bool) -> None:
    engine = Engine(index=index)
    happened = event(view({"A": "a"}))
    assert engine.evaluate(happened) == []
    engine.add(compiled(SELECTS_A))
    assert engine.evaluate(happened) == [RULE_ID]
    engine.add(compiled("sel: {A: b}\ncondition: sel"))
    assert (engine.evaluate(happened), len(engine)) == ([], 1)
    engine.add(compiled(SELECTS_A, "{product: windows}"))
    assert (engine.evaluate(happened), len(engine)) == ([RULE_ID], 1)
    engine.remove(RULE_ID)
    engine.remove("unknown")
    assert (engine.evaluate(happened), len(engine)) == ([], 0)


def test_a_rule_that_joins_or_leaves_others_is_seen_by_the_next_event() -> None:
    first, second = (numbered(compiled(SELECTS_A), number) for number in (1, 2))
    engine = Engine([first])
    happened = event(view({"A": "a"}))
    assert engine.evaluate(happened) == [first.id]
    engine.add(second)
    assert engine.evaluate(happened) == [first.id, second.id]
    engine.remove(first.id)
    assert engine.evaluate(happened) == [second.id]


def test_a_rule_with_a_problem_is_not_served_and_takes_the_old_one_with_it() -> None:
    engine = Engine([compiled(SELECTS_A)])
    engine.add(compile_rule(rule_text("sel: {A|expand: '%x%'}\ncondition: sel")))
    assert (len(engine), engine.evaluate(event(view({"A": "a"})))) == (0, [])


def test_rules_without_any_literal_are_tried_on_every_event() -> None:
    engine = Engine(
        [numbered(compiled("sel: {A: a}\ncondition: not sel"), 1), compiled("sel: {A: null}\ncondition: sel")]
    )
    assert len(engine.evaluate(event(view({})))) == 2


def test_the_answer_to_a_repeated_value_is_the_same_when_it_is_remembered() -> None:
    engine = Engine([compiled("sel: {A|contains: needle}\ncondition: sel")])
    answers = [engine.evaluate(event(view({"A": text}))) for text in ("a NEEDLE", "hay", "a NEEDLE", "hay", 1, True)]
    assert answers == [[RULE_ID], [], [RULE_ID], [], [], []]


def many_rules() -> list[CompiledRule]:
    """Rules of every kind, on the fields hostile events are stuffed into."""
    selections = [
        "{A|contains: ['\\\\', 'a', ' ', 'aa', '-e']}",
        "{A|contains|all: [powershell, ' -enc ', 'é']}",
        "{A|endswith: '\\\\cmd.exe', B|startswith: 'c:'}",
        "{A: '*a*a*a*a*a*a*a*b'}",
        "{A: '*?a?*?b'}",
        "{A|re: '(a+)+$'}",
        "{A|re: 'a.*b.*c.*d'}",
        "{A|re: '(?i)[a-z]{3,200}\\\\\\\\[^x]{1,200}$'}",
        "{A|cidr: 10.0.0.0/8}",
        "{A|gt: 5}",
        "{A|hour: 5}",
        "{A|fieldref|contains: B}",
        "{A: null}",
        "[evil, 'a*b*c']",
    ]
    return [numbered(compiled(f"sel: {text}\ncondition: sel"), number) for number, text in enumerate(selections)]


@pytest.mark.parametrize(
    "value",
    [
        "a" * 300_000,
        "\\" * 300_000,
        "ab cd" * 50_000,
        "é" * 200_000,
        "\0" * 500_000,
        "\ud800 powershell \udfff",
        ["a"] * 10_000,
        [[[[[["deep"]]]]]],
        {"a": {"b": ["c"]}},
        10**5000,
        float("nan"),
        float("-inf"),
        b"bytes",
        "",
        None,
        object(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_hostile_value_neither_raises_nor_stalls(value: Any) -> None:
    rules = many_rules()
    happened = event(view({"A": value, "B": value, "": value}))
    assert Engine(rules).evaluate(happened) == Engine(rules, index=False).evaluate(happened)


def test_an_event_of_ten_thousand_fields_is_evaluated() -> None:
    fields = {f"field {number}": "x" * 50 for number in range(10_000)} | {"A": "a"}
    assert Engine([compiled(SELECTS_A)]).evaluate(event(view(fields))) == [RULE_ID]


def test_a_literal_is_found_wherever_a_long_text_is_cut() -> None:
    engine = Engine([compiled("sel: {A|contains: needle}\ncondition: sel")])
    for offset in range(64 * 1024 - 8, 64 * 1024 + 3):
        assert engine.evaluate(event(view({"A": "x" * offset + "needle" + "x" * 100}))) == [RULE_ID]


def test_a_flood_of_hits_does_not_take_memory_for_each() -> None:
    engine = Engine([compiled("sel: {A|contains: ['\\', '\\\\\\\\', 'a\\\\b']}\ncondition: sel")])
    happened = event(view({"A": "\\" * 300_000}))
    engine.evaluate(happened)
    tracemalloc.start()
    try:
        assert engine.evaluate(happened) == [RULE_ID]
        assert tracemalloc.get_traced_memory()[1] < 40 * 1024 * 1024
    finally:
        tracemalloc.stop()
