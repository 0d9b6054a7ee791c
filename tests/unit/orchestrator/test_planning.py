"""Who is asked, when, with what, and what it may spend; and what the queue's order and estimate are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.handoffs import Stored
from services.orchestrator.investigations import domain
from services.orchestrator.investigations.domain import Allowance, Case, PlannedCall, next_wave
from services.orchestrator.investigations.relevance import RELEVANCE
from services.orchestrator.investigations.subject import Subject, group_key, subject_of
from shared.contracts.agents import AGENT_IDS, ANALYZE_THREAT, Assessment, Budget, Handoff
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import SEVERITIES, Observable, Severity, Verdict
from shared.contracts.investigations import DispatchRecord, StepStatus
from shared.contracts.responses import ResponsePlan
from shared.contracts.wire import decode, encode, to_builtins
from tests.shapes import alert

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)
EVERYBODY = tuple(row.agent for row in RELEVANCE)
PLENTY = Allowance(tool_calls=300, seconds=300.0, step_tool_calls=40, step_seconds=60.0)
HOST = {"host": "web-1"}


def subject(number: int = 1, severity: Severity = "high", **changes: Any) -> Subject:
    changes.setdefault("entities", HOST)
    return Subject(id=f"ALRT-2026-{number:06}", severity=severity, first_seen=NOW, last_seen=NOW, **changes)


def case(*subjects: Subject, chosen: Sequence[str] = (), number: int = 1, others: Sequence[Subject] = ()) -> Case:
    return Case("inv-1", number, subjects or (subject(),), others, chosen)


def answered(verdict: Verdict = "malicious", *, events: Sequence[dict[str, Any]] = (), **changes: Any) -> Assessment:
    citations = [
        Citation(id=f"tr_{n}", agent="triage", tool="get_event", arguments={}, result=event, executed_at=NOW)
        for n, event in enumerate(events)
    ]
    whole: dict[str, Any] = {"severity": "high", "confidence": 0.9, "mitre_techniques": [], "iocs": [], **changes}
    return Assessment(verdict=verdict, citations=citations, **whole)


def step(
    agent: str, answer: Any = None, *, status: StepStatus = "completed", number: int = 1, method: str = "analyze_threat"
) -> Stored:
    record = DispatchRecord(
        id=f"{agent}-{number}",
        agent=agent,
        method=method,
        params={},
        reason="",
        status=status,
        requested_by="user_ada",
        investigation_id="inv-1",
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=1),
        result=None if answer is None else to_builtins(answer),
        error=None if status == "completed" else "AURORA-5030 Service unavailable",
        round=number,
    )
    handoff = Handoff(handoff_id=record.id, from_="orchestrator", to=agent, deadline=NOW, budget=Budget(40, 60.0))
    return Stored(record, handoff, [])


def plan(
    about: Case, steps: Sequence[Stored] = (), available: Sequence[str] = EVERYBODY, allowance: Allowance = PLENTY
) -> list[PlannedCall]:
    return next_wave(about, steps, available, allowance, EVERYBODY)


def names(calls: Sequence[PlannedCall]) -> list[str]:
    return [call.agent for call in calls]


def test_triage_is_asked_first_and_its_indicators_go_to_the_others() -> None:
    assert names(plan(case())) == ["triage"]
    indicator = Observable("ip", "192.0.2.1")
    second = plan(case(), [step("triage", answered(iocs=[indicator]))])
    assert names(second) == ["endpoint_analyst", "threat_intel", "network_analyst"]
    assert all(call.params.iocs == [indicator] for call in second)


def test_the_others_are_asked_also_when_triage_failed() -> None:
    assert names(plan(case(), [step("triage", status="failed")])) == ["endpoint_analyst"]


@pytest.mark.parametrize(
    ("known", "agent"),
    [
        ({"observables": [Observable("domain", "x.example")]}, "threat_intel"),
        ({"observables": [Observable("hash", "ab" * 32)]}, "malware_analyst"),
        ({"entities": {"source_ip": "192.0.2.1"}}, "network_analyst"),
        ({"mitre_techniques": ["T1071.001"]}, "network_analyst"),
        ({"entities": {"user": "ada"}}, "identity_analyst"),
        ({"mitre_techniques": ["T1558.003"]}, "identity_analyst"),
        ({"source": "aws", "entities": {}}, "cloud_analyst"),
        ({"mitre_techniques": ["T1098.003"]}, "cloud_analyst"),
        ({"title": "Exploitation of CVE-2021-44228 seen"}, "vulnerability_analyst"),
        ({"mitre_techniques": ["T1190"]}, "vulnerability_analyst"),
        ({"entities": {"host": "web-1"}}, "endpoint_analyst"),
        ({"entities": {}}, "endpoint_analyst"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_specialist_is_asked_when_its_kind_of_evidence_is_there(known: dict[str, Any], agent: str) -> None:
    assert agent in names(plan(case(subject(**known)), [step("triage", answered("undetermined"))]))


@pytest.mark.parametrize(
    ("event", "agent"),
    [
        ({"dataset": "zeek.dns", "ecs": {"event.category": ["network"]}}, "network_analyst"),
        ({"dataset": "linux.auth", "ecs": {"event.category": "authentication"}}, "identity_analyst"),
        ({"dataset": "azure.signinlogs", "ecs": {}}, "cloud_analyst"),
        ({"dataset": "kubernetes.audit", "ecs": {}}, "cloud_analyst"),
        ({"dataset": "windows.sysmon", "ecs": {"event.category": ["process"]}}, "endpoint_analyst"),
    ],
)
def test_events_that_triage_read_call_for_specialists_too(event: dict[str, Any], agent: str) -> None:
    about = case(subject(entities={"device": "x"}))
    assert agent not in names(plan(about, [step("triage", answered("undetermined"))]))
    assert agent in names(plan(about, [step("triage", answered("undetermined", events=[event]))]))


@pytest.mark.parametrize("account", ["SYSTEM", r"NT AUTHORITY\SYSTEM", "LOCAL SERVICE", "WEB-1$", "DWM-1", "-"])
def test_an_account_that_is_the_machine_itself_is_nobody_s_identity(account: str) -> None:
    about = case(subject(entities={"host": "web-1", "user": account}))
    assert "identity_analyst" not in names(plan(about, [step("triage", answered("undetermined"))]))


def test_a_specialist_whose_evidence_comes_up_later_is_asked_then() -> None:
    steps = [step("triage", answered("undetermined")), step("endpoint_analyst", answered("undetermined"))]
    assert names(plan(case(), steps)) == ["report_writer"]
    steps[1] = step("endpoint_analyst", answered("undetermined", iocs=[Observable("hash", "ab" * 32)]))
    assert names(plan(case(), steps)) == ["threat_intel", "malware_analyst"]


@pytest.mark.parametrize("verdict", ["malicious", "suspicious"])
def test_of_an_attack_hunter_and_forensic_analyst_are_asked_with_what_the_others_said(verdict: Verdict) -> None:
    said = answered(verdict, confidence=0.99)
    calls = plan(case(), [step("triage", said), step("endpoint_analyst", said)])
    assert names(calls) == ["threat_hunter", "forensic_analyst"]
    assert [prior.agent for prior in calls[0].params.prior] == ["triage", "endpoint_analyst"]
    assert calls[0].params.prior[0].verdict == verdict


def test_at_the_end_a_response_is_planned_and_then_the_report_written_with_it() -> None:
    found = Finding(agent="triage", claim="it ran", confidence=0.9, citations=["tr_0"])
    said = answered(events=[{"ecs": {}}], findings=[found], mitre_techniques=["T1059"])
    asked = ("triage", "endpoint_analyst", "threat_hunter", "forensic_analyst")
    steps = [step(agent, said) for agent in asked]
    [planning] = plan(case(), steps)
    assert (planning.agent, planning.method.name) == ("incident_responder", "plan_response")
    assert (planning.params.verdict, planning.params.entities) == ("malicious", [Observable("host", "web-1")])
    assert planning.params.findings == [found]
    steps.append(step("incident_responder", {"steps": []}, method="plan_response"))
    [writing] = plan(case(), steps)
    assert (writing.agent, writing.method.name) == ("report_writer", "write_report")
    assert writing.params.plan is not None
    assert [told.agent for told in writing.params.steps] == [*asked, "incident_responder"]
    assert plan(case(), [*steps, step("report_writer", status="failed", method="write_report")]) == []


def test_what_the_last_ones_hear_fits_one_frame_however_much_was_found() -> None:
    cited = [
        Citation(id=f"tr_{n}", agent="triage", tool="t", arguments={}, result="x" * 9000, executed_at=NOW)
        for n in range(70)
    ]
    long = "a claim about something that was seen here " * 8
    findings = [Finding(agent="triage", claim=f"{n} {long}", confidence=0.5, citations=["tr_1"]) for n in range(300)]
    notes = [f"{n} {long * 12}" for n in range(500)]
    said = answered(
        findings=findings, ruled_out=notes, not_checked=notes, iocs=[Observable("url", f"u{n}") for n in range(200)]
    )
    said.citations = cited
    steps = [step(agent, said) for agent in EVERYBODY[:8]]
    hunting = plan(case(), steps)
    steps += [step(agent, said) for agent in EVERYBODY[8:10]]
    steps.append(step("incident_responder", ResponsePlan(steps=[], citations=cited), method="plan_response"))
    [writing] = plan(case(), steps)
    assert writing.params.plan.citations == []
    assert max(len(encode(call.params)) for call in (*hunting, writing)) < 900 * 1024


def test_an_ordinary_alert_gets_a_report_and_no_plan() -> None:
    said = answered("benign")
    assert names(plan(case(), [step("triage", said), step("endpoint_analyst", said)])) == ["report_writer"]


def test_without_any_answer_nothing_is_closed() -> None:
    steps = [step("triage", status="failed"), step("endpoint_analyst", status="failed")]
    assert plan(case(), steps) == []


@pytest.mark.parametrize("chosen", ["threat_intel", "cloud_analyst"])
def test_only_the_chosen_specialists_are_asked_whatever_the_evidence_is(chosen: str) -> None:
    about = case(chosen=[chosen])
    assert names(plan(about)) == [chosen]
    assert plan(about, [step(chosen, answered())]) == []


def test_who_is_on_the_roster_and_not_there_is_left_out_by_name_and_who_is_not_on_it_is_not_missed() -> None:
    about, steps = case(subject(entities={"user": "ada"})), [step("triage", answered("undetermined"))]
    calls = next_wave(about, steps, ["triage"], PLENTY, ["triage", "identity_analyst"])
    assert [(call.agent, call.skipped) for call in calls] == [("identity_analyst", "it is not running")]


def test_a_wave_that_was_planned_by_half_before_a_crash_is_planned_to_its_end() -> None:
    half = [step("triage", answered(iocs=[Observable("ip", "192.0.2.1")])), step("endpoint_analyst", status="failed")]
    assert names(plan(case(), half)) == ["threat_intel", "network_analyst"]


def test_the_same_call_is_never_planned_twice_in_a_round_and_again_in_the_next() -> None:
    steps = [step("triage", answered())]
    assert "triage" not in names(plan(case(), steps))
    [again] = plan(case(subject(2), number=2, others=[subject(1)]), steps)
    assert (again.agent, again.params.alert_id, again.params.related) == (
        "triage",
        "ALRT-2026-000002",
        [],
    )


def test_who_looks_further_and_who_plans_hear_of_all_alerts_the_worst_first() -> None:
    about = case(subject(3), subject(4), number=2, others=[subject(1), subject(2, "critical")])
    [call] = plan(about)
    assert (call.params.alert_id[-1], [name[-1] for name in call.params.related]) == ("3", ["4"])
    steps = [step(agent, answered(), number=2) for agent in ("triage", "endpoint_analyst")]
    for agent in ("threat_hunter", "forensic_analyst"):
        call = plan(about, steps)[0]
        assert (call.agent, call.params.alert_id[-1], [name[-1] for name in call.params.related]) == (
            agent, "2", ["1", "3", "4"],
        )  # fmt: skip
        steps.append(step(agent, answered(), number=2))
    [planning] = plan(about, steps)
    assert (planning.params.alert_id[-1], [name[-1] for name in planning.params.related]) == ("2", ["1", "3", "4"])
    assert planning.budget is not None
    assert planning.budget.tool_calls == PLENTY.tool_calls


def test_specialists_share_what_is_left_of_the_round_s_budget() -> None:
    steps = [step("triage", answered(iocs=[Observable("ip", "192.0.2.1")], events=[{"ecs": {}}] * 10))]
    calls = plan(case(), steps, allowance=Allowance(100, 61.0, 40, 60.0))
    assert [call.budget for call in calls] == [Budget(30, 20.0)] * 3


def test_who_is_not_asked_for_want_of_budget_is_said() -> None:
    steps = [step("triage", answered("malicious", iocs=[Observable("ip", "192.0.2.1")], events=[{"ecs": {}}] * 10))]
    calls = plan(case(), steps, allowance=Allowance(21, 60.0, 40, 60.0))
    assert [(call.agent, call.budget, call.skipped) for call in calls] == [
        ("endpoint_analyst", Budget(5, 29.5), None),
        ("threat_intel", Budget(5, 29.5), None),
        ("network_analyst", None, "not asked: the budget of this round is spent"),
    ]


def test_what_a_failed_step_was_granted_counts_as_spent_and_a_new_round_begins_anew() -> None:
    allowance = Allowance(41, 300.0, 40, 60.0)
    failed = [step("triage", status="failed")]
    assert [call.skipped is None for call in plan(case(), failed, allowance=allowance)] == [False]
    [call] = plan(case(subject(2), number=2), failed, allowance=allowance)
    assert call.budget == Budget(40, 60.0)


def test_the_end_is_reached_also_when_all_is_spent() -> None:
    steps = [step("triage", answered("benign")), step("endpoint_analyst", answered("benign"))]
    [writing] = plan(case(), steps, allowance=Allowance(0, 0.0, 40, 60.0))
    assert (writing.agent, writing.skipped) == ("report_writer", None)


def test_every_specialist_of_the_roster_has_its_place_in_the_plan() -> None:
    assert set(AGENT_IDS) <= set(EVERYBODY)
    assert len(EVERYBODY) == len(set(EVERYBODY)) == 12


ANSWERS = st.builds(
    answered,
    st.sampled_from(["malicious", "suspicious", "benign", "undetermined"]),
    iocs=st.lists(st.sampled_from([Observable("ip", "192.0.2.1"), Observable("hash", "ab")]), max_size=2),
    mitre_techniques=st.lists(st.sampled_from(["T1190", "T1078", "T1071", "T1580"]), max_size=3),
)


@given(st.dictionaries(st.sampled_from(EVERYBODY), st.one_of(st.none(), ANSWERS), max_size=12))
def test_any_plan_ends_and_asks_everybody_at_most_once(said: dict[str, Assessment | None]) -> None:
    steps: list[Stored] = []
    for _ in range(len(EVERYBODY) + 1):
        calls = plan(case(), steps)
        if not calls:
            break
        assert len({call.wave for call in calls}) == 1
        for call in calls:
            answer = said.get(call.agent) if call.method is ANALYZE_THREAT else None
            status: StepStatus = "failed" if answer is None else "completed"
            steps.append(step(call.agent, answer, status=status, method=call.method.name))
    assert plan(case(), steps) == []
    assert len(names_of(steps)) == len(set(names_of(steps)))


def names_of(steps: Sequence[Stored]) -> list[str]:
    return [item.record.agent for item in steps]


@pytest.mark.parametrize(
    ("entities", "key"),
    [
        ({"host": "WEB-1", "user": "ada"}, "host:web-1"),
        ({"user": "Ada", "source_ip": "192.0.2.1"}, "user:ada"),
        ({"source_ip": "192.0.2.1"}, "source_ip:192.0.2.1"),
        ({"process": "sh", "host": " "}, None),
    ],
    ids=["host", "user", "source address", "nothing"],
)
def test_alerts_belong_together_by_host_else_user_else_source_address(
    entities: dict[str, str], key: str | None
) -> None:
    assert group_key(alert(entities=entities)) == key


def test_a_stored_subject_is_read_as_it_was() -> None:
    told = subject_of(alert(entities=HOST, observables=[Observable("ip", "192.0.2.1")], mitre_techniques=["T1059"]))
    assert decode(encode(told), Subject) == told


def test_the_more_severe_goes_first_then_what_somebody_asked_for_then_the_older() -> None:
    places = [
        (domain.due_at(NOW, domain.priority(SEVERITIES.index(severity), manual=manual)), severity, manual)
        for severity in SEVERITIES
        for manual in (False, True)
    ]
    assert [(severity, manual) for _, severity, manual in sorted(places)] == [
        (severity, manual) for severity in reversed(SEVERITIES) for manual in (True, False)
    ]
    assert domain.due_at(NOW, 4) < domain.due_at(NOW + timedelta(seconds=1), 4)


def test_what_waits_long_enough_goes_before_the_most_severe() -> None:
    longest = domain.AGEING * domain.priority(SEVERITIES.index("critical"), manual=True)
    assert domain.due_at(NOW - longest - timedelta(seconds=1), 0) < domain.due_at(NOW, 9)


@pytest.mark.parametrize(
    ("position", "busy", "expected"), [(1, 0, 10.0), (1, 4, 12.5), (4, 0, 10.0), (5, 0, 12.5), (8, 4, 30.0)]
)
def test_the_estimate_counts_the_turns_until_a_worker_is_free(position: int, busy: int, expected: float) -> None:
    assert domain.estimate_seconds(position, busy, 4, 10.0) == expected


def test_without_anything_that_ended_there_is_no_estimate() -> None:
    assert domain.estimate_seconds(1, 0, 4, None) is None


def test_each_specialist_is_told_who_else_has_a_word() -> None:
    second = plan(case(subject(entities={**HOST, "user": "ada"})), [step("triage", answered())])
    told = {call.agent: call.params.beside for call in second}
    assert told == {
        "endpoint_analyst": ["triage", "identity_analyst"],
        "identity_analyst": ["triage", "endpoint_analyst"],
    }
    # Who is left out has none.
    second = plan(case(subject(entities={**HOST, "user": "ada"})), [step("triage", answered())], ["endpoint_analyst"])
    assert next(call for call in second if call.skipped is None).params.beside == ["triage"]


def asking(agent: str, params: dict[str, Any], result: dict[str, Any]) -> Citation:
    """The record of one specialist's question to another."""
    arguments = {"agent": agent, "method": "a_method", "params": params}
    return Citation(id="tr_h", agent="x", tool="hand_off", arguments=arguments, result=result, executed_at=NOW)


def asked_itself(*iocs: Observable, techniques: Sequence[str] = ()) -> list[Stored]:
    """A round in which the endpoint analyst asked two others about what it found, and named that."""
    found = answered("undetermined", iocs=list(iocs), mitre_techniques=list(techniques))
    found.citations = [
        asking("malware_analyst", {"sha256": "ab" * 32}, {"mitre_techniques": ["T1055"]}),
        asking("identity_analyst", {"field": "source.ip"}, {"mitre_techniques": ["T1110.001"]}),
    ]
    return [step("triage", answered("undetermined")), step("endpoint_analyst", found)]


def test_who_was_asked_by_another_specialist_is_not_asked_about_the_same_again() -> None:
    steps = asked_itself(Observable("hash", "ab" * 32), techniques=["T1055", "T1110.001"])
    assert names(plan(case(), steps)) == ["threat_intel"], "for whom a hash is news"


def test_who_was_asked_by_another_specialist_is_asked_about_what_is_new() -> None:
    assert names(plan(case(), asked_itself(Observable("hash", "cd" * 32)))) == ["threat_intel", "malware_analyst"]
    [call] = plan(case(), asked_itself(techniques=["T1558.003"]))
    assert call.agent == "identity_analyst"
    # And hears what is in another's word already.
    assert "source.ip" in call.params.heard
