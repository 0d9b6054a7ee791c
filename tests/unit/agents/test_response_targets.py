"""What a response is planned against: what evidence shows, the strongest first, whatever was seen first and whatever
was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agents.roster.incident_responder.agent import IncidentResponder
from services.agents.roster.incident_responder.planning import Situation, plan
from services.agents.roster.incident_responder.targets import Target, Targets, indicated, seen_in
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.records import record
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL, AlertArguments
from services.agents.toolkit.tools.logs import GET_EVENT, EventArguments
from shared.contracts.agents import Recorded
from shared.contracts.alerts import AlertEvidence
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import Observable, Severity
from shared.contracts.responses import ResponseRequest, ResponseStep
from tests.shapes import alert
from tests.unit.agents.agent_kit import NOW, citation, context, event, work

PUBLIC = "45.33.32.156"


def planned(*targets: Target) -> list[ResponseStep]:
    return plan(Situation("malicious", (), targets))[0]


def acts(steps: Sequence[ResponseStep]) -> list[str]:
    return [step.action for step in steps]


def test_an_event_names_host_account_process_and_what_was_set_up() -> None:
    targets = Targets()
    what: dict[str, Any] = {
        "host.name": "ws1",
        "user.name": "anna",
        "event.type": ["start"],
        "event.category": ["process"],
        "process.pid": 4242,
        "process.executable": r"C:\Users\Public\a.exe",
        "winlog.channel": "Security",
    }
    seen_in(event(**what), citation({}), targets, ["ALRT-2026-000001"])
    task = {"host.name": "ws1", "event.action": "scheduled-task-created", "winlog.task_name": r"\x"}
    seen_in(event(**task), citation({}, "other"), targets)
    key = {"host.name": "ws1", "registry.path": r"HKLM\Software\Microsoft\Windows\CurrentVersion\Run\x"}
    seen_in(event(**key), citation({}), targets)
    assert {(found.kind, found.platform) for found in targets.all() if found.kind != "task"} == {
        ("host", "windows"),
        ("user", "windows"),
        ("process", "windows"),
        ("file", "windows"),
        ("run_key", "unknown"),
    }
    [host] = [found for found in targets.all() if found.kind == "host"]
    assert len(host.citations) == 2


def test_what_a_stranger_to_the_alerts_set_up_may_be_honest() -> None:
    targets = Targets()
    seen_in(event(**{"host.name": "web01", "user.name": "mallory"}), citation({}), targets, ["ALRT-2026-000001"])
    for number, by in enumerate(("mallory", "alice")):
        written: dict[str, Any] = {
            "host.name": "web01",
            "user.name": "root",
            "user.audit.name": by,
            "event.type": ["creation"],
            "file.path": f"/etc/cron.d/{number}",
            "event.action": "opened-file",
        }
        seen_in({**event(**written), "dataset": "auditd"}, citation({}), targets)
    steps = [step for step in planned(*targets.all()) if step.action == "remove_cron_job"]
    assert ["may be honest" in step.precondition for step in steps] == [False, True]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc/cron.d/x", "cron_file"),
        ("/var/spool/cron/crontabs/deploy", "cron_file"),
        ("/var/spool/cron/crontabs/tmp.olyuXD", None),
        ("/root/.ssh/authorized_keys", "keys_file"),
        ("/etc/systemd/system/x.service", "unit_file"),
        ("/etc/hosts", None),
    ],
)
def test_a_file_that_brings_a_program_back_is_told_by_its_place(path: str, kind: str | None) -> None:
    targets = Targets()
    written: dict[str, Any] = {"host.name": "web01", "event.type": ["change"], "file.path": path}
    seen_in(event(**written), citation({}), targets)
    assert [found.kind for found in targets.all() if found.kind != "host"] == ([] if kind is None else [kind])


@pytest.mark.parametrize("user", ["SYSTEM", "WS1$", "LOCAL SERVICE", "-"])
def test_an_account_of_the_system_is_no_target(user: str) -> None:
    targets = Targets()
    seen_in(event(**{"host.name": "ws1", "user.name": user}), citation({}), targets, ["ALRT-2026-000001"])
    assert [found.kind for found in targets.all()] == ["host"]


def test_root_is_not_locked_but_gets_new_credentials() -> None:
    targets = Targets()
    logged = {"host.name": "web01", "user.name": "root"}
    seen_in({**event(**logged), "dataset": "linux.auth"}, citation({}), targets, ["ALRT-2026-000001"])
    steps = planned(*targets.all())
    assert "replace_root_credentials" in acts(steps)
    assert "disable_account" not in acts(steps)


def test_an_indicator_is_a_target_only_where_a_result_or_a_cited_finding_shows_it() -> None:
    read = [citation({"events": [{"message": "from 45.33.32.156 port 1"}]})]
    finding = Finding(agent="t", claim='asked for "evil.example.net"', confidence=0.5, citations=["tr_x"])
    asked = [
        Observable("ip", PUBLIC),
        Observable("domain", "evil.example.net"),
        Observable("ip", "45.33.32.15"),
        Observable("domain", "example.net"),
    ]
    targets = Targets()
    unseen = indicated(asked, read, [finding], targets)
    assert [(found.value, found.citations) for found in targets.all()] == [
        (PUBLIC, (read[0].id,)),
        ("evil.example.net", ("tr_x",)),
    ]
    assert unseen == asked[2:]


SEEN: Mapping[str, Severity] = {"ALRT-2026-000001": "low", "ALRT-2026-000002": "critical", "ALRT-2026-000003": "low"}


def test_the_strongest_targets_are_planned_for_in_whatever_order_they_were_seen() -> None:
    shown = [
        Target("ip", f"45.33.32.{number}", alerts=frozenset(alerts), sure=sure)
        for number, (alerts, sure) in enumerate(
            [((), 0.0), ((), 0.3), (("ALRT-2026-000001",), 0.0), (tuple(SEEN)[:2], 0.0), (tuple(SEEN), 0.0), ((), 1.0)]
        )
    ]
    orders = set()
    for sequence in (shown, shown[::-1], shown[3:] + shown[:3]):
        targets = Targets()
        for item in sequence:
            targets.add(item)
        orders.add(tuple(found.value for found in targets.ranked(SEEN)))
    [order] = orders
    assert order == tuple(f"45.33.32.{number}" for number in (4, 3, 5, 1, 2, 0))


@given(st.permutations(range(8)))
def test_what_is_known_of_a_target_does_not_depend_on_what_was_seen_first(order: Sequence[int]) -> None:
    seen: list[dict[str, Any]] = [
        {"host.name": f"ws{n % 2}", "user.name": f"u{n % 3}", "event.type": ["start"], "process.pid": 100 + n}
        for n in range(8)
    ]
    ranked = []
    for sequence in (range(8), order):
        targets = Targets()
        for number in sequence:
            seen_in(event(**seen[number]), citation({"n": number}), targets, [list(SEEN)[number % 3]])
        ranked.append([(item.kind, item.value, item.host, item.alerts) for item in targets.ranked(SEEN)])
    assert ranked[0] == ranked[1]


def test_an_indicator_is_as_strong_as_the_alerts_and_findings_that_show_it() -> None:
    read = [citation({"observables": [PUBLIC]}), citation({"message": "from 45.33.32.1"}, "get_event")]
    finding = Finding(agent="t", claim='asked for "evil.example.net"', confidence=0.9, citations=["tr_x"])
    asked = [Observable("ip", "45.33.32.1"), Observable("domain", "evil.example.net"), Observable("ip", PUBLIC)]
    targets = Targets()
    of = {read[0].id: ["ALRT-2026-000002"], read[1].id: ["ALRT-2026-000001"]}
    assert indicated(asked, read, [finding], targets, of) == []
    assert [found.value for found in targets.ranked(SEEN)] == [PUBLIC, "evil.example.net", "45.33.32.1"]


def test_a_name_that_a_failed_login_tried_is_no_target() -> None:
    targets = Targets()
    tried: dict[str, Any] = {"host.name": "web01", "user.name": "oracle; reboot", "event.category": ["authentication"]}
    seen_in(event(**tried, **{"event.outcome": "failure"}), citation({}), targets, list(SEEN))
    assert [found.kind for found in targets.all()] == ["host"]
    seen_in(event(**tried, **{"event.outcome": "success"}), citation({}), targets, list(SEEN))
    assert [found.kind for found in targets.all()] == ["host", "user"]


def told(number: int, technique: str) -> list[Citation]:
    """The records of an alert of this technique and of its event, in which a process with a sum of its own starts."""
    what: dict[str, Any] = {
        "host.name": "ws1",
        "event.type": ["start"],
        "process.pid": number,
        "process.hash.sha256": f"{number}{'a' * 61}",
        "winlog.channel": "Security",
    }
    pointer = AlertEvidence(log_id=f"log-{number}", message=f"line {number}")
    raised = alert(f"ALRT-2026-000{number}", evidence=[pointer], mitre_techniques=[technique], entities={"host": "ws1"})
    seen = {"events": [{**event(**what), "log_id": pointer.log_id}]}
    return [
        record("triage", GET_ALERT_TOOL.name, AlertArguments(raised.id), raised, NOW),
        record("triage", GET_EVENT.name, EventArguments(log_id=pointer.log_id, at=None), seen, NOW),
    ]


async def planned_for(*alerts: list[Citation]) -> set[tuple[str, str]]:
    """Action and target of what the responder plans about these alerts."""
    call = context()
    assert call.handoff is not None
    recorded = Recorded(asked_at=NOW, citations=[item for pair in alerts for item in pair], refusals=[])
    doing = work(msgspec.structs.replace(call, handoff=msgspec.structs.replace(call.handoff, recorded=recorded)))
    ids = [pair[0].result["id"] for pair in alerts]
    sums = [Observable("hash", pair[1].result["events"][0]["ecs"]["process.hash.sha256"]) for pair in alerts]
    looked_up = [
        Finding(
            agent="threat_intel", claim=f"{quote(item.value)} was seen 1 time(s)", confidence=0.0, citations=["tr_x"]
        )
        for item in sums
    ]
    request = ResponseRequest(
        alert_id=ids[0], related=ids[1:], verdict="malicious", severity="high", iocs=sums, findings=looked_up
    )
    answer = await IncidentResponder().plan_response(request, doing)
    return {(step.action, step.target.value) for step in answer.steps if step.target.type != "host"}


async def test_nothing_is_done_to_a_program_for_text_that_is_turned_around_where_other_alerts_are() -> None:
    attack, turned = told(100, "T1059.001"), told(200, "T1036.002")
    alone = await planned_for(attack)
    assert {action for action, _ in alone} == {"end_process", "find_hash"}
    assert await planned_for(attack, turned) == alone
    assert await planned_for(turned, attack) == alone
    assert {value for _, value in await planned_for(turned)} == {"200", f"200{'a' * 61}"}
