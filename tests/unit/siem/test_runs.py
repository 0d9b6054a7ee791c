"""The prefilter of a run lets through whatever its rule can match."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from services.siem.batch import StoredEvent
from services.siem.detections.engine import CompiledRule, Engine, compile_rule
from services.siem.logs.rows import encode_row
from services.siem.runs.domain import MAX_NEEDLES, Prefilter, prefilter, progress
from tests.outside_rules import compiled_rules, regression_events

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)


def rule(selection: str, condition: str = "selection") -> CompiledRule:
    return compile_rule(
        f"""\
title: T
id: 5f1c86a0-0a4e-4a4c-8f6c-0d3c1f8f6e11
level: low
logsource: {{product: windows, service: powershell classic}}
detection:
  selection:
    {selection}
  condition: {condition}
"""
    )


@pytest.mark.parametrize(
    ("selection", "needles"),
    [
        ("CommandLine|contains: Mimikatz", ("mimikatz",)),
        ("CommandLine|contains: ['one thing', another]", ("another", "one thing")),
        (r"Image|endswith: '\Tools\cmd.exe'", ("cmd.exe",)),
        ("CommandLine|contains: 'say \"hello there\"'", ("hello there",)),
        ("CommandLine|contains: 'größe-of-it'", ("sse-of-it",)),
        ("CommandLine|contains: 'ÄÖ'", ()),
        ("CommandLine|contains: ['ÄÖ', plain]", ()),
        ("EventID|gt: 4", ()),
    ],
)
def test_needles_are_the_runs_that_every_spelling_has(selection: str, needles: tuple[str, ...]) -> None:
    assert prefilter(rule(selection)) == Prefilter(("|windows|", "|powershell_classic|"), needles)


def test_a_rule_that_asks_for_what_is_not_there_has_no_needles() -> None:
    assert prefilter(rule("CommandLine: x", "not selection")).needles == ()


def test_more_needles_than_the_store_searches_for_are_none() -> None:
    assert prefilter(rule(f"CommandLine|contains: {[f'word{n}' for n in range(MAX_NEEDLES + 1)]}")).needles == ()


def passes(found: Prefilter, row: dict[str, str]) -> bool:
    """The condition as the store has it."""
    texts = [row["raw"].lower(), row.get("derived", "").lower()]
    return all(source in row["logsource"] for source in found.sources) and (
        not found.needles or any(needle in text for needle in found.needles for text in texts)
    )


def test_whatever_a_rule_of_sigmahq_matches_passes_its_prefilter() -> None:
    rules = {rule.id: rule for rule in compiled_rules() if rule.problem is None}
    filters = {identifier: prefilter(rule) for identifier, rule in rules.items()}
    engine = Engine(rules.values())
    seen = 0
    for events in regression_events().values():
        for event in events:
            stored = StoredEvent("id", NOW, "test", event)
            row = orjson.loads(b"{" + encode_row(stored, receipt="r", part=0, row=0, forced_format=""))
            for identifier in engine.evaluate(event):
                seen += 1
                assert passes(filters[identifier], row), (identifier, filters[identifier], event.raw)
    assert seen > 100


def test_progress_is_the_share_of_time() -> None:
    assert progress(NOW, NOW + timedelta(hours=2), NOW + timedelta(hours=1)) == 0.5
    assert (progress(NOW, NOW, NOW), progress(NOW, NOW + timedelta(1), NOW - timedelta(1))) == (1.0, 0.0)
