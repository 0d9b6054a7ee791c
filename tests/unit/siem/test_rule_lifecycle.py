"""What decides in the life of a rule: filters of suppressions, precision, drafts, tests inside a rule. No server."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.engine import Engine
from services.siem.event import Event, View
from services.siem.match import Match
from services.siem.promotion.domain import chosen, draft, escaped, view_of
from services.siem.quality.domain import labels, wilson
from services.siem.rule_tests import check_tests
from services.siem.suppressions.domain import Filter, fits, pieces, state
from shared.errors import AuroraError

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)
RULE = """\
title: An echo
id: 0f0e8e6c-6f0a-4f4e-9a53-5f1b9d1c2a10
logsource: {product: windows, category: process_creation}
detection:
  selection: {CommandLine|contains: needle}
  condition: selection
"""


def match(**fields: Any) -> Match:
    return Match(
        rule_id="r",
        log_id="l",
        timestamp=NOW,
        ingested_at=NOW,
        source="s",
        message="m",
        ecs={"host.name": "WEB01", "process.args": ["a", "Backup"]},
        fields=fields,
    )


def hides(fields: dict[str, list[str]], **event: Any) -> bool:
    return Filter(fields, None, None).hides(match(**event))


def test_every_field_must_fit_and_one_of_its_values_is_enough() -> None:
    assert hides({"host.name": ["db*", "web01"], "CommandLine": ["*backup*"]}, CommandLine="run BACKUP now")
    assert not hides({"host.name": ["db*"], "CommandLine": ["*backup*"]}, CommandLine="run backup now")
    assert not hides({"host.name": ["web01"], "User": ["root"]}, CommandLine="x")


def test_a_field_may_have_its_ecs_or_its_sigma_name_in_any_case_and_a_list_any_value() -> None:
    assert hides({"HOST.NAME": ["web01"]})
    assert hides({"process.args": ["backup"]})
    assert hides({"eventid": ["4688"]}, EventID=4688)


def test_a_window_includes_its_start_and_not_its_end() -> None:
    later = NOW + timedelta(minutes=1)
    fields = {"host.name": ["*"]}
    assert Filter(fields, NOW, later).hides(match())
    assert not Filter(fields, later, None).hides(match())
    assert not Filter(fields, None, NOW).hides(match())


def test_only_an_escaped_star_is_a_star() -> None:
    assert hides({"CommandLine": ["a\\*b"]}, CommandLine="A*B")
    assert not hides({"CommandLine": ["a\\*b"]}, CommandLine="a-b")
    assert hides({"Image": ["C:\\Temp\\\\*"]}, Image="c:\\temp\\x.exe")


@given(st.lists(st.text(alphabet="ab", max_size=3), min_size=1, max_size=5), st.text(alphabet="ab", max_size=12))
def test_a_pattern_fits_as_the_plain_search_of_its_pieces_says(parts: list[str], text: str) -> None:
    import re

    expected = re.fullmatch(".*".join(parts), text) is not None
    assert fits(pieces("*".join(parts)), text) == expected


def test_a_suppression_is_over_when_it_expired_or_was_ended() -> None:
    assert state(None, None, NOW) == "active"
    assert state(None, NOW, NOW) == "expired"
    assert state(NOW, NOW, NOW) == "ended"


def test_precision_is_absent_under_ten_labels_and_has_its_wilson_interval_from_then_on() -> None:
    assert labels(9, 0, 0).precision is None
    known = wilson(8, 10)
    # The textbook's figures for 8 of 10.
    assert (round(known.low, 4), round(known.high, 4)) == (0.4902, 0.9433)
    assert wilson(10, 10).high == pytest.approx(1.0)
    assert wilson(0, 10).low == pytest.approx(0.0)


@given(st.text(alphabet="a*?\\b", min_size=1, max_size=12))
def test_a_draft_matches_the_value_it_was_made_from_and_no_other(value: str) -> None:
    view = View("windows", "process_creation", (), {"CommandLine": value})
    sigma = draft(view, {"CommandLine": value}, "m", rule_id=_ID, title="t", level="low", day=date(2026, 1, 1))
    engine = Engine([compile_rule(sigma)])
    assert engine.evaluate(_event(view)) == [_ID]
    other = value.replace("*", "x").replace("?", "y").replace("\\", "/")
    if other != value:
        assert engine.evaluate(_event(View("windows", "process_creation", (), {"CommandLine": other}))) == []


_ID = "0f0e8e6c-6f0a-4f4e-9a53-5f1b9d1c2a11"


def _event(*views: View) -> Event:
    return Event(NOW, "d", "m", {}, list(views), raw="m")


def test_a_single_backslash_stays_readable() -> None:
    assert escaped("C:\\Windows\\x.exe") == "C:\\Windows\\x.exe"


def test_a_draft_takes_the_view_and_the_fields_that_tell_most() -> None:
    plain = View("windows", None, ("sysmon",), {"EventID": 1, "Image": "a"})
    creation = View("windows", "process_creation", (), {"Image": "a", "User": "u", "CommandLine": "c"})
    event = _event(plain, creation)
    assert view_of(event, None) is creation
    assert view_of(event, ["eventid"]) is plain
    assert view_of(event, ["nothing"]) is None
    assert list(chosen(creation, None)) == ["Image", "CommandLine"]
    assert chosen(creation, ["user"]) == {"User": "u"}
    strange = View("acme", None, (), {"one": 1, "two": "2"})
    assert chosen(strange, None) == {"one": "1", "two": "2"}


def test_a_rule_without_fields_to_look_at_searches_the_message() -> None:
    view = View("acme", None, ("box",), {})
    sigma = draft(view, {}, "failed: all*", rule_id=_ID, title="t", level="low", day=date(2026, 1, 1))
    engine = Engine([compile_rule(sigma)])
    assert engine.evaluate(Event(NOW, "d", "it failed: all* of it", {}, [view], raw="")) == [_ID]


def with_tests(text: str) -> None:
    document = f"{RULE}tests:\n{text}"
    check_tests(compile_rule(document), document)


def test_tests_inside_a_rule_pass_on_objects_and_lines() -> None:
    hit = '{EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, CommandLine: "a needle"}'
    miss = '{EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, CommandLine: "hay"}'
    line = '\'{"EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","CommandLine":"needle"}\''
    with_tests(f"  match: [{hit}, {line}]\n  no_match: [{miss}, a plain line]\n")


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("  match: [{EventID: 1, CommandLine: hay}]\n", "tests.match.0", "does not match the event of tests.match[0]"),
        (
            "  no_match:\n    - hay\n"
            "    - {EventID: 1, Channel: Microsoft-Windows-Sysmon/Operational, CommandLine: needle}\n",
            "tests.no_match.1",
            "matches the event of tests.no_match[1]",
        ),
        ("  maybe: []\n", "tests", "`match` and `no_match`"),
        ("  match: 3\n", "tests.match", "at most 200"),
        ("  match: [3]\n", "tests.match.0", "a JSON object or the text of one"),
        ("  match: [{}]\n", "tests.match.0", "no parser takes"),
    ],
)
def test_a_test_that_fails_is_named_with_its_line(text: str, path: str, message: str) -> None:
    with pytest.raises(AuroraError) as refused:
        with_tests(text)
    assert refused.value.code.code == "AURORA-4222"
    [problem] = refused.value.detail
    assert problem["path"] == path
    assert message in problem["message"]
    assert problem["line"] > RULE.count("\n")
