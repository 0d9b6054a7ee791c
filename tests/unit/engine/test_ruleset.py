"""Rules that refer to one another: what correlations and filters ask for, and what is served in the end."""

from __future__ import annotations

import pytest

from services.siem.detections.engine import CompiledRule, Engine, compile_rule, decode, encode
from services.siem.detections.engine.compiled import AllSeen, Bound, NotSeen
from services.siem.detections.engine.ruleset import Ruleset
from shared.errors import SIGMA_INVALID, AuroraError
from tests.unit.engine.rule_kit import RULE_ID, compiled, event, view

CORRELATION_ID = "0e95725d-7320-415d-80f7-004da920fc11"
FILTER_ID = "0e95725d-7320-415d-80f7-004da920fc12"


def rule(text: str) -> CompiledRule:
    found = decode(encode(compile_rule(text)))
    assert found.problem is None, found.problem
    return found


def correlation(body: str, more: str = "") -> CompiledRule:
    return rule(f"title: c\nid: {CORRELATION_ID}\nlevel: high\ncorrelation: {{{body}}}\n{more}")


def named(name: str = "base") -> CompiledRule:
    return rule(
        f"title: b\nid: {RULE_ID}\nname: {name}\nlogsource: {{product: windows, category: process_creation}}\n"
        "detection: {sel: {A: a}, condition: sel}\n"
    )


def sigma_filter(rules: str, condition: str = "not sel", logsource: str = "{product: windows}") -> CompiledRule:
    return rule(
        f"title: f\nid: {FILTER_ID}\nlogsource: {logsource}\nfilter:\n  rules: {rules}\n"
        f"  sel: {{B: b}}\n  condition: {condition}\n"
    )


def test_a_correlation_keeps_its_kind_window_groups_and_bounds() -> None:
    found = correlation(
        "type: value_count, rules: [base], group-by: [x, y], timespan: 2h, condition: {field: z, gt: 3, lte: 9}"
    )
    of = found.correlation
    assert of is not None
    assert (of.kind, of.rules, of.group_by, of.seconds, of.fields) == (
        "value_count",
        ("base",),
        ("x", "y"),
        7200,
        ("z",),
    )
    assert of.bounds == (Bound("gt", 3), Bound("lte", 9))
    assert (found.condition, found.level, of.generate) == (None, "high", False)


def test_an_extended_condition_names_its_rules_itself() -> None:
    of = correlation("type: temporal, group-by: [x], timespan: 5m, condition: a and not b").correlation
    assert of is not None
    assert (of.rules, of.formula) == (("a", "b"), AllSeen(("a", NotSeen("b"))))


@pytest.mark.parametrize(
    "body",
    [
        "type: event_count, rules: [a], group-by: [x], timespan: 5m",
        "type: event_count, rules: [a], group-by: [x], timespan: soon, condition: {gte: 1}",
        "type: event_count, rules: [], group-by: [x], timespan: 5m, condition: {gte: 1}",
        "type: event_count, rules: [a], group-by: [x], timespan: 5m, condition: {gte: many}",
        "type: event_count, rules: [a], group-by: [x], timespan: 5m, condition: {gte: 1, lt: x}",
        "type: value_count, rules: [a], group-by: [x], timespan: 5m, condition: {gte: 1}",
        "type: value_percentile, rules: [a], group-by: [x], timespan: 5m, condition: {field: f, gte: 1}",
        "type: value_sum, rules: [a], group-by: [x], timespan: 5m, condition: {field: [f, g], gte: 1}",
        "type: unheard, rules: [a], group-by: [x], timespan: 5m, condition: {gte: 1}",
    ],
)
def test_a_correlation_that_means_nothing_is_refused(body: str) -> None:
    with pytest.raises(AuroraError) as caught:
        compile_rule(f"title: c\ncorrelation: {{{body}}}\n")
    assert caught.value.code is SIGMA_INVALID


@pytest.mark.parametrize(("condition", "timespan"), [("{gte: 10001}", "5m"), ("{gte: 1}", "1y")])
def test_a_correlation_beyond_what_a_window_holds_says_so(condition: str, timespan: str) -> None:
    body = f"type: event_count, rules: [a], group-by: [x], timespan: {timespan}, condition: {condition}"
    found = compile_rule(f"title: c\ncorrelation: {{{body}}}\n")
    assert found.problem is not None
    assert found.correlation is None


@pytest.mark.parametrize("reference", ["base", RULE_ID])
def test_a_rule_feeds_the_correlations_that_name_it_whichever_came_first(reference: str) -> None:
    of = correlation(f"type: event_count, rules: [{reference}], group-by: [x], timespan: 5m, condition: {{gte: 2}}")
    for ruleset in (Ruleset([of, named()]), Ruleset([named(), of])):
        assert ruleset.feeds(RULE_ID) == [(of, reference)]
        assert ruleset.silent() == {RULE_ID}
        ruleset.drop(CORRELATION_ID)
        assert (ruleset.feeds(RULE_ID), ruleset.silent()) == ([], frozenset())


def test_a_rule_speaks_for_itself_when_a_correlation_says_generate() -> None:
    body = "type: event_count, rules: [base], group-by: [x], timespan: 5m, condition: {gte: 2}, generate: true"
    assert Ruleset([named(), correlation(body)]).silent() == frozenset()


def test_a_chain_comes_down_to_the_rules_on_single_events() -> None:
    inner = rule("title: i\nid: 0e95725d-7320-415d-80f7-004da920fc13\nname: inner\ncorrelation: {type: event_count, "
                 "rules: [base, outer], group-by: [x], timespan: 5m, condition: {gte: 2}}\n")  # fmt: skip
    outer = correlation("type: temporal, rules: [inner, other], group-by: [x], timespan: 5m", more="name: outer\n")
    ruleset = Ruleset([outer, inner, named(), sigma_filter("any")])
    assert ruleset.tried_for(CORRELATION_ID) == ruleset.tried_for(inner.id) == {RULE_ID}
    assert ruleset.tried_for(RULE_ID) == {RULE_ID}


def matches(ruleset: Ruleset, **fields: str) -> bool:
    served = ruleset.get(RULE_ID)
    assert served is not None
    return bool(Engine([served]).matches(event(view(dict(fields)))))


@pytest.mark.parametrize("rules", ["any", "[base]", f"[{RULE_ID}]", f"[other, {RULE_ID}]"])
def test_a_filter_takes_matches_from_the_rules_it_names(rules: str) -> None:
    for ruleset in (Ruleset([named(), sigma_filter(rules)]), Ruleset([sigma_filter(rules), named()])):
        assert matches(ruleset, A="a", B="x")
        assert not matches(ruleset, A="a", B="b")
        assert ruleset.drop(FILTER_ID) == {FILTER_ID, RULE_ID}
        assert matches(ruleset, A="a", B="b")


@pytest.mark.parametrize(
    ("rules", "logsource"), [("[other]", "{product: windows}"), ("any", "{product: linux}"), ("any", "{service: x}")]
)
def test_a_filter_leaves_other_rules_and_log_sources_alone(rules: str, logsource: str) -> None:
    ruleset = Ruleset([named(), sigma_filter(rules, logsource=logsource)])
    assert matches(ruleset, A="a", B="b")


def test_what_is_put_says_which_rules_are_served_differently() -> None:
    ruleset = Ruleset()
    assert ruleset.put(named()) == {RULE_ID}
    assert ruleset.put(sigma_filter("any")) == {RULE_ID, FILTER_ID}
    assert ruleset.put(sigma_filter("[other]")) == {RULE_ID, FILTER_ID}
    assert ruleset.drop("unknown") == set()
    assert ruleset.put(compiled("sel: {A: b}\ncondition: sel")) == {RULE_ID}
    assert not matches(ruleset, A="a")


def test_a_filter_whose_condition_cannot_be_read_is_refused_with_its_place() -> None:
    with pytest.raises(AuroraError) as caught:
        sigma_filter("any", condition="not other")
    assert caught.value.code is SIGMA_INVALID
    assert caught.value.detail[0]["path"] == "filter.condition"
