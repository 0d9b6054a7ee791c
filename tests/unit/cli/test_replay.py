"""The recording in the order of time, and the judgement on what a replay of it left."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cli.failure import Failure
from cli.replay.following import Found
from cli.replay.judgement import Case, Judgement, cases_of, judge, spread
from cli.replay.recording import Recording, time_of
from shared.contracts.alerts import Alert, AlertEvidence
from shared.contracts.common import Verdict
from shared.contracts.investigations import Investigation, InvestigationStatus
from shared.contracts.logs import LogEvent

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AUTH = [f"2026-11-22T02:10:{second:02d}.5+00:00 web01 sshd[1]: line {second}" for second in (1, 9, 20)]
AUDIT = [
    "type=SYSCALL msg=audit(1795313409.100:7): a",
    "type=EXECVE msg=audit(1795313409.100:7): b",
    "type=SYSCALL msg=audit(1795313430.100:8): c",
]


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Two files; the stage "guess" is auth's second line, the stage "run" audit's third."""
    (tmp_path / "auth.log").write_text("\n".join(AUTH) + "\n")
    (tmp_path / "audit.log").write_text("\n".join(AUDIT) + "\n")
    manifest = {
        "host": "web01",
        "files": [
            {"path": f"{name}.log", "source": f"web01/{name}", "content_type": "text/plain", "lines": 3}
            for name in ("auth", "audit")
        ],
        "attack": [
            {"stage": "guess", "path": "auth.log", "lines": [[2, 2]], "what": "w", "techniques": ["T1110"]},
            {"stage": "run", "path": "audit.log", "lines": [[3, 3]], "what": "w", "techniques": ["T1059"]},
        ],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return Recording(tmp_path)


def event(identifier: str, line: str, source: str) -> LogEvent:
    return LogEvent(
        id=identifier,
        timestamp=NOW,
        ingested_at=NOW,
        source=source,
        dataset="d",
        message="",
        ecs={},
        raw=line,
        receipt="r",
    )


EVENTS = [
    *(event(f"auth-{number}", line, "web01/auth") for number, line in enumerate(AUTH, start=1)),
    *(event(f"audit-{number}", line, "web01/audit") for number, line in enumerate(AUDIT, start=1)),
]


def alert(identifier: str, technique: str, *log_ids: str) -> Alert:
    values: dict[str, Any] = dict.fromkeys(Alert.__struct_fields__)
    values |= {
        "id": identifier,
        "title": f"title of {identifier}",
        "severity": "high",
        "count": len(log_ids),
        "mitre_techniques": [technique],
        "evidence": [AlertEvidence(log_id=log_id) for log_id in log_ids],
        "created_at": NOW + timedelta(seconds=1),
        "updated_at": NOW,
    }
    return Alert(**values)


def investigation(alert_id: str, verdict: Verdict | None, status: InvestigationStatus = "completed") -> Investigation:
    values: dict[str, Any] = dict.fromkeys(Investigation.__struct_fields__)
    values |= {
        "id": f"of {alert_id}",
        "alert_ids": [alert_id],
        "status": status,
        "verdict": verdict,
        "mitre_techniques": [],
        "completed_at": NOW + timedelta(seconds=3),
        "round": 1,
    }
    return Investigation(**values)


Judge = Callable[..., Judgement]


@pytest.fixture
def judged(recording: Recording) -> Judge:
    """Judges alerts, each given with the verdict on it."""

    def on(*alerts: tuple[Alert, Verdict | None]) -> Judgement:
        investigations = {item.id: investigation(item.id, verdict) for item, verdict in alerts}
        return judge(recording, cases_of(recording, EVENTS, [item for item, _ in alerts], investigations))

    return on


def test_lines_of_all_files_come_in_the_order_of_time_and_audit_events_whole(recording: Recording) -> None:
    sent = [(batch.file.source, [line.decode() for line in batch.lines]) for batch in recording.batches()]
    assert sent == [
        ("web01/auth", AUTH[:1]),
        ("web01/auth", AUTH[1:2]),
        ("web01/audit", AUDIT[:2]),
        ("web01/auth", AUTH[2:]),
        ("web01/audit", AUDIT[2:]),
    ]


def test_the_times_of_all_three_kinds_of_line_are_read() -> None:
    moment = datetime(2026, 11, 22, 2, 10, 35, tzinfo=UTC).timestamp()
    assert time_of(b"2026-11-22T03:10:35.000000+01:00 web01 sshd[1]: x") == moment
    assert time_of(b'127.0.0.1 - - [22/Nov/2026:02:10:35 +0000] "GET / HTTP/1.1" 200 1') == moment
    assert time_of(b"node=web01 type=EXECVE msg=audit(1795313435.000:7): argc=1") == moment
    assert time_of(b"no time at all") is None


def test_the_recording_of_the_project_is_sent_whole_and_no_audit_event_is_cut() -> None:
    recording = Recording(ROOT / "samples")
    lines = [line for batch in recording.batches() for line in batch.lines]
    assert len(lines) == recording.total
    serials: dict[bytes, set[int]] = {}
    for number, batch in enumerate(recording.batches()):
        for line in batch.lines:
            if b"msg=audit(" in line:
                serials.setdefault(line.partition(b"msg=audit(")[2].partition(b")")[0], set()).add(number)
    assert {serial: batches for serial, batches in serials.items() if len(batches) > 1} == {}


def test_a_recording_that_is_not_as_its_manifest_says_is_refused(tmp_path: Path, recording: Recording) -> None:
    (tmp_path / "auth.log").write_text("one line\n")
    with pytest.raises(Failure, match="has 1 lines, not 3"):
        Recording(tmp_path)
    (tmp_path / "auth.log").unlink()
    with pytest.raises(Failure, match="can't be read"):
        Recording(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(Failure, match="isn't a manifest"):
        Recording(tmp_path)


def test_all_stages_found_and_nothing_else_is_what_is_expected(judged: Judge) -> None:
    judgement = judged(
        (alert("A1", "T1110", "auth-2"), "suspicious"),
        (alert("A2", "T1059", "audit-1", "audit-3"), "malicious"),
        (alert("A3", "T1033", "auth-1"), "benign"),
    )
    assert judgement.problems == []
    assert judgement.found == {"guess": ["A1"], "run": ["A2"]}


@pytest.mark.parametrize(
    ("alerts", "problem"),
    [
        ([(alert("A2", "T1059", "audit-3"), "malicious")], "stage guess was not found: w"),
        (
            [(alert("A1", "T1110", "auth-2"), "benign"), (alert("A2", "T1059", "audit-3"), "malicious")],
            "stage guess was not found: w",
        ),
        (
            [(alert("A1", "T1595", "auth-2"), "malicious"), (alert("A2", "T1059", "audit-3"), "malicious")],
            "stage guess was not found: w",
        ),
        (
            [(alert("A1", "T1110", "auth-2"), "suspicious"), (alert("A2", "T1059", "audit-3"), "suspicious")],
            "no investigation ended as malicious",
        ),
        (
            [
                (alert("A1", "T1110", "auth-2"), "malicious"),
                (alert("A2", "T1059", "audit-3"), "malicious"),
                (alert("A3", "T1059", "auth-1", "audit-2"), "suspicious"),
            ],
            "A3 calls ordinary administration an attack: title of A3",
        ),
    ],
)
def test_what_is_not_as_expected_is_said(
    judged: Judge, alerts: list[tuple[Alert, Verdict | None]], problem: str
) -> None:
    assert judged(*alerts).problems == [problem]


def test_an_alert_without_an_end_of_its_investigation_is_a_problem(recording: Recording) -> None:
    cases = cases_of(recording, EVENTS, [alert("A1", "T1110", "auth-2")], {})
    assert "A1 has no finished investigation: title of A1" in judge(recording, cases).problems
    failed = {"A1": investigation("A1", None, "failed")}
    cases = cases_of(recording, EVENTS, [alert("A1", "T1110", "auth-2")], failed)
    assert "the investigation of A1 failed: title of A1" in judge(recording, cases).problems


def test_times_count_from_the_acceptance_of_the_log_line(recording: Recording) -> None:
    found = {"A1": investigation("A1", "malicious")}
    [case] = cases_of(recording, EVENTS, [alert("A1", "T1110", "auth-2")], found)
    assert (case.seconds_to_alert, case.seconds_to_verdict) == (1.0, 3.0)
    unknown = Case(alert("A9", "T1110"), None, frozenset(), None)
    assert (unknown.seconds_to_alert, unknown.seconds_to_verdict) == (None, None)
    assert spread([1.0, None, 3.0, 8.0]) == (3.0, 8.0)
    assert spread([None]) is None


def test_an_older_state_never_replaces_a_newer_one() -> None:
    found = Found()
    assert found.see_alert(alert("A1", "T1110", "auth-1", "auth-2"))
    assert not found.see_alert(alert("A1", "T1110", "auth-1"))
    assert (found.matches, found.open, found.ended) == (2, ["A1"], 0)
    assert not found.see_investigation(investigation("A1", None, "running"))
    assert found.see_investigation(investigation("A1", "benign"))
    assert not found.see_investigation(investigation("A1", "benign"))
    assert not found.see_investigation(investigation("A1", None, "running"))
    assert (found.open, found.ended) == ([], 1)


def test_an_investigation_that_goes_on_for_an_alert_that_joined_is_open_until_its_next_end() -> None:
    found = Found()
    for identifier in ("A1", "A2"):
        found.see_alert(alert(identifier, "T1110"))
    assert found.see_investigation(investigation("A1", "benign"))
    joined = replace(investigation("A1", "benign", "queued"), alert_ids=["A1", "A2"])
    assert not found.see_investigation(joined)
    assert found.open == ["A1", "A2"]
    later = replace(joined, status="completed", verdict="malicious", round=2, completed_at=NOW + timedelta(seconds=9))
    assert found.see_investigation(later)
    assert not found.see_investigation(joined)
    assert (found.open, found.investigations["A1"].verdict) == ([], "malicious")


def test_an_ordinary_alert_that_shares_the_investigation_of_an_attack_is_no_false_alarm(recording: Recording) -> None:
    shared = replace(investigation("A1", "malicious"), alert_ids=["A1", "A2"])
    alerts = [alert("A1", "T1110", "auth-2"), alert("A2", "T1110", "auth-1")]
    problems = judge(recording, cases_of(recording, EVENTS, alerts, dict.fromkeys(("A1", "A2"), shared))).problems
    assert problems == ["stage run was not found: w"]
