"""What windows that fire come to: matches once, what an alert cites, what is hidden, and what feeds the rule above."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.siem.correlations.domain import Found, complete, fields_for, windows
from services.siem.correlations.firing import Firing, asked, evidence_of
from services.siem.correlations.measures import Entry
from services.siem.detections.engine import CompiledRule, compile_rule
from services.siem.detections.engine.compiled import Correlation
from services.siem.match import Match

START = datetime(2026, 6, 14, 12, tzinfo=UTC)
HIDES = UUID(int=7)


def rule(condition: str, kind: str = "event_count", rules: str = "[a]") -> CompiledRule:
    text = f"  type: {kind}\n  rules: {rules}\n  group-by: [host]\n  timespan: 10s\n  condition: {condition}\n"
    return compile_rule(f"title: t\nid: 3c3f2c1e-5f61-4e0e-9a52-5c8f6a3f0d01\ncorrelation:\n{text}")


def correlation(of: CompiledRule) -> Correlation:
    assert of.correlation is not None
    return of.correlation


def entry(second: float, reference: str = "a") -> Entry:
    return Entry(reference, f"{second:g}", START + timedelta(seconds=second), ())


def firing(of: CompiledRule, found: Found, hidden: float | None = None) -> Firing:
    """`hidden` is the second at whose end a suppression hides the window."""
    return Firing(of, {"host": "web"}, found, {} if hidden is None else {(of.id, f"{hidden:g}"): HIDES})


def match(second: float) -> Match:
    moment = START + timedelta(seconds=second)
    fields = {"host": "WEB", "user": f"u{second:g}"}
    return Match(
        rule_id="a",
        log_id=f"{second:g}",
        timestamp=moment,
        ingested_at=moment,
        source="s",
        message="m",
        ecs={},
        fields=fields,
    )


def test_every_event_that_ends_a_window_is_one_match_and_what_is_recorded_is_no_news() -> None:
    of = rule("{gte: 2}")
    known = [replace(entry(0), cited=True), replace(entry(1), cited=True, hit=True)]
    fired = firing(of, windows(correlation(of), [*known, entry(2)], START))
    [hit] = fired.hits(START, None)
    assert (hit.rule_id, hit.log_id, hit.group, hit.suppression_id) == (of.id, "2", {"host": "web"}, None)
    assert [item.log_id for item in fired.shown()] == ["2"]
    assert fired.changed() == {("a", "2"): replace(entry(2), cited=True, hit=True)}


def test_what_only_hidden_windows_hold_is_cited_by_no_alert_but_remembered() -> None:
    of = rule("{gte: 2}")
    found = windows(correlation(of), [entry(0), entry(1), entry(8), entry(12)], START)
    fired = firing(of, found, hidden=1)
    assert [(hit.log_id, hit.suppression_id) for hit in fired.hits(START, None)] == [
        ("1", HIDES),
        ("8", None),
        ("12", None),
    ]
    assert [item.log_id for item in fired.shown()] == ["0", "1", "8", "12"]
    wholly = firing(of, windows(correlation(of), [entry(0), entry(1)], START), hidden=1)
    assert wholly.shown() == []
    assert {key: item.cited for key, item in wholly.changed().items()} == {("a", "0"): True, ("a", "1"): True}


def test_a_suppressor_is_asked_once_a_window_with_the_fields_of_the_group_alone() -> None:
    of = rule("{gte: 2}")
    found = windows(correlation(of), [entry(0), entry(1), entry(2)], START)
    questions = asked(of, {"host": "web"}, found, START)
    assert [(item.rule_id, item.log_id, item.fields, item.ecs) for item in questions] == [
        (of.id, "1", {"host": "web"}, {}),
        (of.id, "2", {"host": "web"}, {}),
    ]


def test_a_run_of_windows_feeds_one_occurrence_with_all_evidence_and_then_goes_on() -> None:
    of = rule("{gte: 2}")
    matches = [match(0), match(1), match(2)]
    fired = firing(of, windows(correlation(of), [entry(0), entry(1), entry(2)], START))
    evidence = [evidence_of(item) for item in matches]
    fed = list(fired.onward(matches, evidence, None))
    assert [(item.match.log_id, item.again, len(item.evidence)) for item in fed] == [("1", False, 3), ("2", True, 1)]
    assert fed[0].match.fields == {"host": "web", "user": "u1"}


def test_temporal_conditions_with_not_are_read_of_the_windows_that_end_in_a_stretch() -> None:
    of = correlation(rule("a and not b", "temporal", "[a, b]"))
    end = START + timedelta(seconds=20)

    def fired(*entries: Entry) -> list[str]:
        found = complete(of, entries, end)
        return [log_id for window in found.windows for log_id in window.news]

    assert fired(entry(12), entry(15, "b")) == ["12"]
    assert fired(entry(11, "b"), entry(12)) == []
    # What came before the stretch counts, and its own windows were read with theirs.
    assert fired(entry(9, "b"), entry(12)) == []
    assert fired(entry(1), entry(19)) == ["19"]


def test_what_a_correlation_above_looks_at_is_kept_of_an_event_and_nothing_else() -> None:
    above = correlation(rule("{field: User, gte: 2}", "value_count"))
    assert fields_for([above], match(3)) == {"User": ["u3"], "host": ["WEB"]}
    assert fields_for([], match(3)) == {}
