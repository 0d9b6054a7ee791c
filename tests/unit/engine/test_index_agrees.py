"""Whatever the rules and the events: index, no index and an independent reading of Sigma give the same answer."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.siem.detections.engine import Engine, compile_rule
from tests.unit.engine.reference import reference_matches
from tests.unit.engine.rule_kit import RULE_ID, event, numbered, view

# Few letters, so that rules and events meet; with case, wildcards, escapes and characters whose folding is special.
texts = st.text(alphabet="abAB1-/\\*? .ßẞſ\u212a\n", max_size=6)
names = st.sampled_from(["A", "b", "C.d", "Ip"])
scalars: st.SearchStrategy[Any] = st.one_of(texts, st.integers(-2, 12), st.booleans(), st.just("10.1.2.3"))
fields = st.dictionaries(
    st.sampled_from(["a", "B", "c.D", "IP", "other"]), st.one_of(st.none(), scalars, st.lists(scalars, max_size=3))
)
TEXT_MODIFIERS = ["", "|contains", "|startswith", "|endswith", "|cased", "|contains|cased", "|windash", "|neq"]
EXPRESSIONS = ["a+b", "^[ab]", "1$", "a|b", "(ab|ba)1?", "a\\.b", "[^a]b", "a{2}", "\\bab", "a?b", "ab*", "\\\\a", "."]


def item(modifiers: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    """One `field|modifiers: value` of a selection."""
    return st.tuples(st.tuples(names, st.sampled_from(modifiers)).map("".join), values)


items = st.one_of(
    item(TEXT_MODIFIERS, st.one_of(texts, st.lists(texts, min_size=1, max_size=3))),
    item(["|contains|all"], st.lists(texts, min_size=2, max_size=3)),
    item([""], st.one_of(st.none(), st.integers(-2, 12), st.booleans())),
    item(["|re", "|re|i", "|re|s"], st.sampled_from(EXPRESSIONS)),
    item(["|lt", "|lte", "|gt", "|gte"], st.integers(-1, 11)),
    item(["|cidr"], st.sampled_from(["10.0.0.0/8", "10.1.2.3/32", "fe80::/10"])),
    item(["|exists"], st.booleans()),
    item(["|fieldref", "|fieldref|contains", "|fieldref|startswith"], names),
)
selections = st.one_of(
    st.lists(items, min_size=1, max_size=3).map(dict),
    st.lists(st.lists(items, min_size=1, max_size=2).map(dict), min_size=1, max_size=2),
    st.lists(texts.filter(bool), min_size=1, max_size=2),
)
conditions = st.recursive(
    st.sampled_from(["s0", "s1", "s2", "1 of them", "all of them", "1 of s*"]),
    lambda inner: st.one_of(
        inner.map(lambda c: f"not ({c})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda c: f"({c[0]} {c[1]} {c[2]})"),
    ),
    max_leaves=5,
)


@st.composite
def rules(draw: st.DrawFn) -> str:
    """A whole rule as YAML text."""
    detection = {f"s{number}": draw(selections) for number in range(3)} | {"condition": draw(conditions)}
    rule = {"title": "t", "id": RULE_ID, "logsource": {"product": "windows"}, "detection": detection}
    return yaml.safe_dump(rule, allow_unicode=True)


@settings(max_examples=70, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=4), st.lists(fields, min_size=1, max_size=3))
def test_index_and_reference_agree_on_any_rules_and_events(texts: list[str], events: list[dict[str, Any]]) -> None:
    compiled = [numbered(compile_rule(text), number) for number, text in enumerate(texts)]
    assert all(rule.problem is None for rule in compiled)
    indexed, plain = Engine(compiled), Engine(compiled, index=False)
    for found in events:
        happened = event(view(found))
        expected = [rule.id for rule, text in zip(compiled, texts, strict=True) if reference_matches(text, found)]
        assert indexed.evaluate(happened) == expected
        assert plain.evaluate(happened) == expected
