"""Windows in event time: each kind of correlation, and that the order in which events come changes nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.siem.correlations.domain import (
    complete,
    group_key,
    group_of,
    identity,
    settles,
    stretch_end,
    values_of,
    windows,
)
from services.siem.correlations.measures import Entry, percentile
from services.siem.detections.engine import compile_rule
from services.siem.detections.engine.compiled import Correlation
from services.siem.match import Match

START = datetime(2026, 6, 14, 12, tzinfo=UTC)


def correlation(kind: str, condition: str | None = None, *, rules: str = "[a]", more: str = "") -> Correlation:
    """A correlation over ten seconds, grouped by host."""
    text = (
        f"title: t\nlevel: high\ncorrelation:\n  type: {kind}\n  rules: {rules}\n  group-by: [host]\n  timespan: 10s\n"
    )
    text += f"  condition: {condition}\n" if condition is not None else ""
    rule = compile_rule(text + more)
    assert rule.problem is None
    assert rule.correlation is not None
    return rule.correlation


def entry(second: float, reference: str = "a", *values: str, name: str = "") -> Entry:
    return Entry(reference, name or f"{second}{reference}{values}", START + timedelta(seconds=second), values)


def cited(of: Correlation, *entries: Entry) -> list[float]:
    """The seconds of what is cited when all entries come at once."""
    found = windows(of, entries, START)
    return [(item.timestamp - START).total_seconds() for item in found.uncited(found.windows)]


def fires(of: Correlation, *entries: Entry) -> bool:
    """Whether the stretch that begins at START, and holds all entries, fires once it is complete."""
    return bool(complete(of, entries, START + timedelta(seconds=of.seconds)).windows)


def test_event_count_cites_every_event_of_the_windows_that_fire_and_no_other() -> None:
    three = correlation("event_count", "{gte: 3}")
    assert cited(three, entry(0), entry(5), entry(10)) == [0, 5, 10]
    assert cited(three, entry(0), entry(5), entry(10.001)) == []
    assert cited(three, entry(0), entry(20), entry(21), entry(22), entry(50)) == [20, 21, 22]


def test_event_count_counts_an_event_once_that_two_of_its_rules_matched() -> None:
    two = correlation("event_count", "{gte: 2}", rules="[a, b]")
    assert cited(two, entry(1, "a", name="x"), entry(1, "b", name="x")) == []
    assert cited(two, entry(1, "a", name="x"), entry(1, "b", name="y")) == [1, 1]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("{gt: 2}", [0, 1, 2]), ("{gt: 3}", []), ("{gte: 3}", [0, 1, 2]), ("{gt: 1, gte: 3}", [0, 1, 2])],
)
def test_bounds_that_more_events_can_only_fulfil_are_read_of_windows_as_they_fill(
    condition: str, expected: list[float]
) -> None:
    of = correlation("event_count", condition)
    assert not settles(of)
    assert cited(of, entry(0), entry(1), entry(2)) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("{lt: 4}", True),
        ("{lt: 3}", False),
        ("{lte: 3}", True),
        ("{lte: 2}", False),
        ("{eq: 3}", True),
        ("{eq: 2}", False),
        ("{neq: 2}", True),
        ("{neq: 3}", False),
        ("{gt: 1, lte: 3}", True),
        ("{gt: 1, lte: 2}", False),
    ],
)
def test_bounds_that_more_events_can_undo_are_read_once_of_a_whole_stretch(condition: str, expected: bool) -> None:
    of = correlation("event_count", condition)
    assert settles(of)
    assert fires(of, entry(0), entry(1), entry(2)) is expected


def test_stretches_follow_one_another_since_1970_and_their_end_is_not_of_them() -> None:
    of = correlation("event_count", "{lt: 2}")
    assert stretch_end(of, START) == stretch_end(of, START + timedelta(seconds=9.999)) == START + timedelta(seconds=10)
    assert stretch_end(of, START + timedelta(seconds=10)) == START + timedelta(seconds=20)
    assert stretch_end(of, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_stretch_without_events_has_no_window() -> None:
    assert not fires(correlation("event_count", "{lt: 2}"))
    assert not fires(correlation("value_sum", "{field: bytes, lt: 2}"))


def test_a_stretch_that_was_read_is_no_news_whatever_came_since() -> None:
    of = correlation("event_count", "{gte: 2, lt: 9}")
    end = START + timedelta(seconds=10)
    [window] = complete(of, [entry(0, name="x"), entry(2, name="y")], end).windows
    assert (window.begins, window.news) == (True, ("y",))
    known = replace(entry(0, name="x"), cited=True), replace(entry(2, name="y"), cited=True, hit=True)
    found = complete(of, [*known, entry(3, name="z")], end)
    assert (found.windows[0].begins, found.windows[0].news) == (False, ())
    assert [item.log_id for item in found.uncited(found.windows)] == ["z"]


@pytest.mark.parametrize(
    ("kind", "condition", "more", "expected"),
    [
        ("event_count", "{gte: 1}", "", False),
        ("value_count", "{field: user, gt: 1}", "", False),
        ("value_count", "{field: user, eq: 1}", "", True),
        ("temporal", None, "", False),
        ("temporal", "{lt: 2}", "", True),
        ("temporal", "a and (b or a)", "", False),
        ("temporal", "a and not b", "", True),
        ("temporal_ordered", None, "", False),
        ("temporal_ordered", "a and b", "", False),
        ("temporal_ordered", "a or b", "", True),
        ("value_sum", "{field: bytes, gt: 1}", "", False),
        ("value_sum", "{field: bytes, lt: 1}", "", True),
        ("value_avg", "{field: bytes, gt: 1}", "", True),
        ("value_median", "{field: bytes, gte: 1}", "", True),
        ("value_percentile", "{field: bytes, percentile: 95, gte: 1}", "", True),
    ],
)
def test_a_condition_waits_for_its_window_to_be_complete_when_more_events_can_undo_it(
    kind: str, condition: str | None, more: str, expected: bool
) -> None:
    assert settles(correlation(kind, condition, rules="[a, b]", more=more)) is expected


def test_value_count_counts_different_values_without_case() -> None:
    two = correlation("value_count", "{field: user, gte: 2}")
    assert cited(two, entry(0, "a", "alice"), entry(1, "a", "alice")) == []
    assert cited(two, entry(0, "a", "alice"), entry(1, "a", "bob"), entry(2, "a", "bob")) == [0, 1, 2]


def test_temporal_wants_all_of_its_rules_in_any_order() -> None:
    both = correlation("temporal", rules="[a, b]")
    assert cited(both, entry(0, "b"), entry(9, "a")) == [0, 9]
    assert cited(both, entry(0, "b"), entry(11, "a")) == []
    assert cited(both, entry(0, "a"), entry(1, "a")) == []
    assert cited(correlation("temporal", "{gte: 2}", rules="[a, b, c]"), entry(0, "c"), entry(1, "a")) == [0, 1]


def test_an_extended_condition_says_which_rules_match_within_the_window() -> None:
    either = correlation("temporal", "a and (b or c) and not d", rules="[a, b, c, d]")
    assert cited(either, entry(0, "a"), entry(1, "c")) == [0, 1]
    assert cited(either, entry(0, "d"), entry(1, "a"), entry(2, "b")) == []
    assert cited(either, entry(0, "b"), entry(2, "c")) == []


def test_temporal_ordered_wants_its_rules_one_after_the_other() -> None:
    ordered = correlation("temporal_ordered", rules="[a, b, c]")
    assert cited(ordered, entry(0, "a"), entry(1, "b"), entry(2, "c")) == [0, 1, 2]
    assert cited(ordered, entry(0, "b"), entry(1, "a"), entry(2, "c")) == []
    assert cited(ordered, entry(0, "a"), entry(1, "c"), entry(2, "b"), entry(3, "c")) == [0, 1, 2, 3]
    assert cited(ordered, entry(0, "a"), entry(5, "b"), entry(11, "c")) == []
    assert cited(ordered, entry(0, "a"), entry(3, "a"), entry(5, "b"), entry(11, "c")) == [3, 5, 11]
    assert cited(ordered, entry(1, "c"), entry(1, "b"), entry(1, "a")) == [1, 1, 1]


def test_temporal_ordered_with_an_extended_condition_wants_what_matched_in_order() -> None:
    ordered = correlation("temporal_ordered", "a and b", rules="[a, b]")
    assert cited(ordered, entry(0, "a"), entry(1, "b")) == [0, 1]
    assert cited(ordered, entry(0, "b"), entry(1, "a")) == []


@pytest.mark.parametrize(
    ("kind", "condition", "values", "fires"),
    [
        ("value_sum", "{field: bytes, gt: 99, lt: 101}", ["40", "60"], True),
        ("value_sum", "{field: bytes, gt: 100, lt: 101}", ["40", "60"], False),
        ("value_avg", "{field: bytes, gte: 50}", ["40", "60"], True),
        ("value_avg", "{field: bytes, gt: 60}", ["40", "60"], False),
        ("value_median", "{field: bytes, eq: 4}", ["1", "4", "1000"], True),
        ("value_percentile", "{field: bytes, percentile: 95, gt: 900}", ["1", "2", "1000"], True),
        ("value_percentile", "{field: bytes, percentile: 50, gt: 3}", ["1", "2", "1000"], False),
    ],
)
def test_numbers_of_a_window_are_added_up_averaged_and_ranked(
    kind: str, condition: str, values: list[str], fires: bool
) -> None:
    entries = [entry(second, "a", value) for second, value in enumerate(values)]
    of = correlation(kind, condition)
    assert bool(complete(of, entries, START + timedelta(seconds=10)).windows) is fires


def test_a_percentile_lies_between_neighbours() -> None:
    assert [percentile([1, 2, 3, 4], percent) for percent in (0, 50, 100)] == [1, 2.5, 4]
    assert percentile([7], 95) == 7


def _arriving(of: Correlation, groups: Sequence[Sequence[Entry]]) -> tuple[set[str], set[str]]:
    """What is cited in the end, and whose windows are matches, when entries come group by group."""
    span = timedelta(seconds=of.seconds)
    stored: dict[str, Entry] = {}
    for group in groups:
        stored.update((item.log_id, item) for item in group)
        first, last = (pick(item.timestamp for item in group) for pick in (min, max))
        near = [item for item in stored.values() if first - span <= item.timestamp <= last + span]
        found = windows(of, near, first)
        for item in found.uncited(found.windows):
            stored[item.log_id] = replace(item, cited=True)
        for log_id in [log_id for window in found.windows for log_id in window.news]:
            assert not stored[log_id].hit, "matched twice"
            stored[log_id] = replace(stored[log_id], cited=True, hit=True)
    return {key for key, item in stored.items() if item.cited}, {key for key, item in stored.items() if item.hit}


KINDS: list[Any] = [
    correlation("event_count", "{gte: 3}"),
    correlation("value_count", "{field: user, gte: 2}"),
    correlation("temporal", rules="[a, b]"),
    correlation("temporal_ordered", rules="[a, b]"),
    correlation("value_sum", "{field: bytes, gte: 5}"),
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ab"), st.integers(1, 3)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_late_and_shuffled_events_come_to_the_same_as_events_in_order(
    of: Correlation, drawn: list[tuple[int, str, int]], chance: random.Random
) -> None:
    entries = [
        entry(second, reference, str(value), name=str(number))
        for number, (second, reference, value) in enumerate(drawn)
    ]
    whole = _arriving(of, [entries])
    chance.shuffle(entries)
    one_by_one = [[item] for item in entries]
    middle = chance.randrange(len(entries))
    assert _arriving(of, one_by_one) == whole
    assert _arriving(of, [part for part in (entries[:middle], entries[middle:]) if part]) == whole


def test_a_run_of_windows_begins_once() -> None:
    found = windows(correlation("event_count", "{gte: 2}"), [entry(s) for s in (0, 5, 9, 30, 31)], START)
    assert [((found.end(item) - START).total_seconds(), item.begins) for item in found.windows] == [
        (5, True),
        (9, False),
        (31, True),
    ]


def match(fields: dict[str, Any], ecs: dict[str, Any] | None = None) -> Match:
    return Match(
        rule_id="r",
        log_id="l",
        timestamp=START,
        ingested_at=START,
        source="s",
        message="",
        ecs=ecs or {},
        fields=fields,
    )


def test_a_group_is_read_through_aliases_from_the_view_and_then_from_ecs() -> None:
    aliases = "  aliases:\n    host: {a: Computer, b: dest}\n"
    of = correlation("event_count", "{gte: 2}", rules="[a, b]", more=aliases)
    assert group_of(of, ["a"], match({"computer": "DC1"})) == ("DC1",)
    assert group_of(of, ["b"], match({"dest": "dc1"})) == ("dc1",)
    assert group_of(of, ["c"], match({}, {"host": ["x", "y"]})) == ("x, y",)
    assert group_of(of, ["a"], match({"host": "web", "Computer": None})) is None
    assert group_key(("DC1",)) == group_key(("dc1",)) != group_key(("dc2",))


def test_an_event_without_the_value_or_with_no_number_does_not_count() -> None:
    users = correlation("value_count", "{field: user, gte: 2}")
    assert values_of(users, ["a"], match({"User": "Alice"})) == ("alice",)
    assert values_of(users, ["a"], match({})) is None
    numbers = correlation("value_sum", "{field: bytes, gte: 2}")
    assert values_of(numbers, ["a"], match({"bytes": [3, "4", "nan", "many"]})) == ("3", "4")
    assert values_of(numbers, ["a"], match({"bytes": "inf"})) is None


def test_the_identity_of_an_alert_fits_whatever_the_group_is() -> None:
    rule = compile_rule(
        "title: t\ncorrelation: {type: event_count, rules: [a], group-by: [x], timespan: 1m, condition: {gte: 1}}\n"
    )
    assert identity(rule, ("Web\x0001",)) == f"{rule.id}:web\ufffd01"
    assert len(identity(rule, ("x" * 256, "y" * 256))) <= 512
    assert identity(rule, ("x" * 256, "y" * 256)) != identity(rule, ("x" * 256, "y" * 255 + "z"))
