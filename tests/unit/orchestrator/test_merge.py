"""How specialists' votes become one verdict, and who is asked next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.investigations.domain import merge, next_wave
from shared.contracts.agents import AGENT_IDS, Assessment
from shared.contracts.common import SEVERITIES, Observable, Verdict
from shared.contracts.investigations import Citation, Finding

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)


def citation(name: str) -> Citation:
    return Citation(id=f"tr_{name}", agent="triage", tool="search_logs", arguments={}, result={}, executed_at=NOW)


def assessment(verdict: Verdict, confidence: float, *, severity: str = "high", cites: str = "a") -> Assessment:
    finding = Finding(agent="triage", claim=f"claim {cites}", confidence=confidence, citations=[f"tr_{cites}"])
    return Assessment(
        severity=severity,  # type: ignore[arg-type]
        confidence=confidence,
        mitre_techniques=["T1059.004"],
        iocs=[Observable("ip", "192.0.2.1")],
        verdict=verdict,
        findings=[finding],
        citations=[citation(cites)],
    )


def test_specialists_who_agree_on_malice_give_a_malicious_verdict() -> None:
    outcome = merge({"triage": assessment("malicious", 0.7), "endpoint_analyst": assessment("malicious", 0.9)}, {})
    assert outcome.verdict == "malicious"
    assert outcome.confidence is not None
    assert outcome.confidence > 0.9
    assert outcome.severity == "high"
    assert outcome.mitre_techniques == ["T1059.004"]


def test_specialists_who_agree_on_ordinary_work_give_a_benign_verdict_without_techniques() -> None:
    outcome = merge({"triage": assessment("benign", 0.6), "endpoint_analyst": assessment("benign", 0.7)}, {})
    assert outcome.verdict == "benign"
    assert outcome.severity == "info"
    assert outcome.mitre_techniques == []


def test_nobody_who_votes_leaves_it_undetermined_without_confidence() -> None:
    outcome = merge({"triage": assessment("undetermined", 0.9)}, {})
    assert (outcome.verdict, outcome.confidence) == ("undetermined", 0.0)


def test_a_specialist_that_was_down_is_named_and_the_others_still_count() -> None:
    outcome = merge({"triage": assessment("malicious", 0.9)}, {"threat_intel": "AURORA-5030 unavailable"})
    assert outcome.not_checked == ["threat_intel: AURORA-5030 unavailable"]
    assert outcome.verdict == "malicious"


def test_without_any_assessment_there_is_no_verdict() -> None:
    outcome = merge({}, {"triage": "AURORA-5030"})
    assert outcome.verdict is None
    assert outcome.confidence is None


def test_a_claim_that_cites_nothing_that_was_delivered_is_dropped() -> None:
    uncited = assessment("malicious", 0.9)
    uncited.findings.append(Finding(agent="triage", claim="guessed", confidence=1.0, citations=["tr_nowhere"]))
    uncited.findings.append(Finding(agent="triage", claim="bare", confidence=1.0, citations=[]))
    outcome = merge({"triage": uncited}, {})
    assert [finding.claim for finding in outcome.findings] == ["claim a"]


def test_opposite_verdicts_are_shown_as_a_contradiction() -> None:
    votes = {"triage": assessment("benign", 0.8), "endpoint_analyst": assessment("malicious", 0.8)}
    assert merge(votes, {}).contradicted


@given(
    st.dictionaries(
        st.sampled_from(AGENT_IDS),
        st.builds(
            assessment,
            st.sampled_from(["malicious", "suspicious", "benign", "undetermined"]),
            st.floats(0, 1),
            severity=st.sampled_from(SEVERITIES),
            cites=st.sampled_from("abc"),
        ),
        min_size=1,
    )
)
def test_any_votes_give_a_bounded_confidence_and_only_carried_claims(votes: dict[str, Assessment]) -> None:
    outcome = merge(votes, {})
    assert outcome.confidence is not None
    assert 0 <= outcome.confidence <= 1
    known = {item.id for item in outcome.citations}
    assert all(known.issuperset(finding.citations) for finding in outcome.findings)
    assert merge(votes, {}) == outcome


def test_triage_is_asked_first_and_its_indicators_go_to_the_others() -> None:
    first = next_wave("ALRT-2026-000001", {}, [], AGENT_IDS)
    assert [call.agent for call in first] == ["triage"]
    second = next_wave("ALRT-2026-000001", {"triage": assessment("malicious", 0.9)}, [], AGENT_IDS)
    assert [call.agent for call in second] == ["endpoint_analyst", "threat_intel"]
    assert all(call.params.iocs == [Observable("ip", "192.0.2.1")] for call in second)


def test_the_others_are_asked_also_when_triage_failed() -> None:
    wave = next_wave("ALRT-2026-000001", {"triage": None}, [], AGENT_IDS)
    assert [call.agent for call in wave] == ["endpoint_analyst", "threat_intel"]


@pytest.mark.parametrize("chosen", [["threat_intel"], ["endpoint_analyst"]])
def test_only_the_chosen_specialists_are_asked(chosen: list[str]) -> None:
    first = next_wave("ALRT-2026-000001", {}, chosen, AGENT_IDS)
    assert [call.agent for call in first] == chosen
    assert next_wave("ALRT-2026-000001", {chosen[0]: None}, chosen, AGENT_IDS) == []


def test_a_plan_ends_after_its_second_wave() -> None:
    done: dict[str, Assessment | None] = {agent: assessment("benign", 0.5) for agent in AGENT_IDS}
    assert next_wave("ALRT-2026-000001", done, [], AGENT_IDS) == []


def test_a_wave_that_was_planned_by_half_before_a_crash_is_planned_to_its_end() -> None:
    half: dict[str, Assessment | None] = {"triage": assessment("benign", 0.5), "endpoint_analyst": None}
    assert [call.agent for call in next_wave("ALRT-2026-000001", half, [], AGENT_IDS)] == ["threat_intel"]
