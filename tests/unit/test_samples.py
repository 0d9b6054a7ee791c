"""The recorded intrusion in samples/: Aurora's own rules find each of its stages and call nothing else an attack.

The recorded lines go through the real parsers and the real engine, and the manifest says which of them are the
attack. Owns the claim that `make demo` rests on; what single rules do is in test_own_rules.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from samples.record.label import manifest, table
from services.siem.detections.engine import CompiledRule, Engine, compile_rule
from services.siem.event import Event
from services.siem.logs.parsers import join_apart, parse_items

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
MANIFEST: dict[str, Any] = json.loads((SAMPLES / "manifest.json").read_text())
STAGES = {part["stage"]: set(part["techniques"]) for part in MANIFEST["attack"]}
DATASETS = {
    "recorded/auth.log": "linux.auth",
    "recorded/cron.log": "linux.syslog",
    "recorded/nginx-access.log": "nginx.access",
    "recorded/audit.log": "auditd",
}
LEVELS = ("informational", "low", "medium", "high", "critical")


@dataclass
class Outcome:
    """What came of the recordings: `stages` and `background` hold the rules that matched, `events` by file."""

    events: dict[str, list[Event]] = field(default_factory=dict)
    stages: dict[str, list[CompiledRule]] = field(default_factory=lambda: defaultdict(list))
    background: list[tuple[str, int, CompiledRule]] = field(default_factory=list)


def lines_of(path: str) -> list[bytes]:
    """The lines of a recording, without their ends."""
    return (SAMPLES / path).read_bytes().removesuffix(b"\n").split(b"\n")


def stage_of_line(path: str) -> dict[int, str]:
    """Line number (from 1) -> the stage of the attack it belongs to."""
    return {
        number: part["stage"]
        for part in MANIFEST["attack"]
        if part["path"] == path
        for first, last in part["lines"]
        for number in range(first, last + 1)
    }


@pytest.fixture(scope="module")
def rules() -> dict[str, CompiledRule]:
    """Aurora's own rules by their ids."""
    paths = sorted((ROOT / "services/siem/detections/rules").glob("*.yml"))
    return {rule.id: rule for rule in (compile_rule(path.read_text()) for path in paths)}


@pytest.fixture(scope="module")
def engine(rules: dict[str, CompiledRule]) -> Engine:
    """An engine of these rules."""
    return Engine(rules.values())


@pytest.fixture(scope="module")
def outcome(rules: dict[str, CompiledRule], engine: Engine) -> Outcome:
    """All recordings, parsed and evaluated once."""
    found = Outcome()
    for recording in MANIFEST["files"]:
        path = recording["path"]
        stages = stage_of_line(path)
        results = parse_items(lines_of(path), source=recording["source"], received_at=datetime(2026, 12, 1, tzinfo=UTC))
        found.events[path] = [result for result in results if isinstance(result, Event)]
        for number, event in enumerate(found.events[path], start=1):
            for rule in (rules[rule_id] for rule_id in engine.evaluate(event)):
                if number in stages:
                    found.stages[stages[number]].append(rule)
                else:
                    found.background.append((path, number, rule))
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_of_the_attack_is_detected_as_what_it_is(stage: str, outcome: Outcome) -> None:
    alarming = [rule for rule in outcome.stages[stage] if LEVELS.index(rule.level) >= LEVELS.index("medium")]
    assert {technique for rule in alarming for technique in rule.mitre_techniques} & STAGES[stage]


def test_ordinary_administration_raises_no_alarm(outcome: Outcome) -> None:
    alarms = [
        f"{path}:{number}: {rule.title}"
        for path, number, rule in outcome.background
        if LEVELS.index(rule.level) >= LEVELS.index("medium")
    ]
    assert alarms == []


def test_every_recorded_line_is_taken_in_its_own_format_with_the_time_and_host_of_the_recording(
    outcome: Outcome,
) -> None:
    begin = datetime.fromisoformat(MANIFEST["recorded_at"]).timestamp()
    for path, events in outcome.events.items():
        assert len(events) == len(lines_of(path))
        assert {event.dataset for event in events} == {DATASETS[path]}
        hosts = {event.ecs.get("host.name") for event in events}
        # nginx's combined format has no place for the host.
        assert hosts == {None if path.endswith("nginx-access.log") else MANIFEST["host"]}
        seconds = [event.timestamp.timestamp() - begin for event in events]
        assert min(seconds) > -60
        assert max(seconds) < MANIFEST["duration_seconds"] + 60


def test_audit_records_sent_one_by_one_are_matched_as_those_sent_together(engine: Engine) -> None:
    received = datetime(2026, 12, 1, tzinfo=UTC)

    def parsed(lines: list[bytes]) -> list[Event]:
        results = parse_items(lines, source="s", received_at=received, continued=True)
        return [result for result in results if isinstance(result, Event)]

    def matches(events: list[Event]) -> set[tuple[str, str]]:
        return {(event.raw, rule_id) for event in events for rule_id in engine.evaluate(event)}

    lines = lines_of("recorded/audit.log")
    together, alone = parsed(lines), [event for line in lines for event in parsed([line])]
    at_once = matches(alone)
    join_apart(alone)
    assert at_once < matches(alone) == matches(together)


def test_the_manifest_describes_the_recordings_that_are_there() -> None:
    assert {part["path"] for part in MANIFEST["files"]} == set(DATASETS)
    for recording in MANIFEST["files"]:
        assert len(lines_of(recording["path"])) == recording["lines"]
    assert sum(path.stat().st_size for path in (SAMPLES / "recorded").iterdir()) < 3_000_000


def test_the_manifest_and_the_table_of_the_readme_follow_from_the_recording_alone() -> None:
    run = json.loads((SAMPLES / "recorded/run.json").read_text())
    assert manifest(run, SAMPLES / "recorded") == MANIFEST
    assert table(MANIFEST) in (SAMPLES / "README.md").read_text()


def test_every_line_that_names_the_attacker_is_labelled_and_no_administrators_login_is() -> None:
    attacker = MANIFEST["attacker"].encode()
    for recording in MANIFEST["files"]:
        stages = stage_of_line(recording["path"])
        for number, line in enumerate(lines_of(recording["path"]), start=1):
            if attacker in line:
                assert number in stages
            if b"from 127.0.10." in line or line.startswith(b"127.0.20."):
                assert number not in stages
