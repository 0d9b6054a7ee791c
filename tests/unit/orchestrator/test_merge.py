"""How specialists' votes become one verdict, in one round and over several."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.investigations.merging import WEIGHTS, Outcome, merge, raised
from services.orchestrator.investigations.rounds import Round
from shared.contracts.agents import AGENT_IDS, Assessment
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import SEVERITIES, Observable, Severity, Verdict

NOW = datetime(2026, 6, 14, 12, tzinfo=UTC)
VERDICTS: list[Verdict] = ["malicious", "suspicious", "benign", "undetermined"]
#: From the harmless to the worst.
ORDER: list[Verdict] = ["benign", "undetermined", "suspicious", "malicious"]


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
        summary=f"it is {verdict}",
        findings=[finding],
        citations=[citation(cites)],
    )


def votes(**said: Assessment) -> Round:
    return Round(1, assessments=dict(said))


ASSESSMENTS = st.builds(
    assessment,
    st.sampled_from(VERDICTS),
    st.floats(0, 1),
    severity=st.sampled_from(SEVERITIES),
    cites=st.sampled_from("abc"),
)
ROUNDS = st.lists(
    st.dictionaries(st.sampled_from(sorted(WEIGHTS)), ASSESSMENTS, min_size=1, max_size=5), min_size=1, max_size=4
).map(lambda said: [Round(number, assessments=answers) for number, answers in enumerate(said, start=1)])


def test_specialists_who_agree_on_malice_give_a_malicious_verdict() -> None:
    outcome = merge([votes(triage=assessment("malicious", 0.7), endpoint_analyst=assessment("malicious", 0.9))])
    assert outcome.verdict == "malicious"
    assert outcome.confidence is not None
    assert outcome.confidence > 0.9
    assert outcome.severity == "high"
    assert outcome.mitre_techniques == ["T1059.004"]


def test_specialists_who_agree_on_ordinary_work_give_a_benign_verdict_without_techniques() -> None:
    outcome = merge([votes(triage=assessment("benign", 0.6), endpoint_analyst=assessment("benign", 0.7))])
    assert outcome.verdict == "benign"
    assert outcome.severity == "info"
    assert outcome.mitre_techniques == []


def test_nobody_who_votes_leaves_it_undetermined_without_confidence() -> None:
    outcome = merge([votes(triage=assessment("undetermined", 0.9))])
    assert (outcome.verdict, outcome.confidence) == ("undetermined", 0.0)


def test_a_specialist_that_was_down_is_named_and_the_others_still_count() -> None:
    answered = votes(triage=assessment("malicious", 0.9))
    answered.failures["threat_intel"] = "AURORA-5030 unavailable"
    outcome = merge([answered])
    assert outcome.not_checked == ["threat_intel: AURORA-5030 unavailable"]
    assert outcome.verdict == "malicious"


def test_without_any_assessment_there_is_no_verdict() -> None:
    outcome = merge([Round(1, failures={"triage": "AURORA-5030"})])
    assert (outcome.verdict, outcome.confidence) == (None, None)
    assert outcome.not_checked == ["triage: AURORA-5030"]


def test_a_claim_that_cites_nothing_that_was_delivered_is_dropped() -> None:
    uncited = assessment("malicious", 0.9)
    uncited.findings.append(Finding(agent="triage", claim="guessed", confidence=1.0, citations=["tr_nowhere"]))
    uncited.findings.append(Finding(agent="triage", claim="bare", confidence=1.0, citations=[]))
    outcome = merge([votes(triage=uncited)])
    assert [finding.claim for finding in outcome.findings] == ["claim a"]


def test_a_claim_that_another_round_repeats_is_there_once_with_all_that_carries_it() -> None:
    again = assessment("malicious", 0.9)
    again.findings[0].citations = ["tr_b"]
    again.citations = [citation("b")]
    outcome = merge(
        [Round(1, assessments={"triage": assessment("malicious", 0.4)}), Round(2, assessments={"triage": again})]
    )
    assert [(finding.confidence, finding.citations) for finding in outcome.findings] == [(0.9, ["tr_a", "tr_b"])]


def test_opposite_verdicts_are_shown_as_a_contradiction_with_what_each_says() -> None:
    outcome = merge([votes(triage=assessment("benign", 0.8), endpoint_analyst=assessment("malicious", 0.7))])
    assert outcome.contradicted
    [row] = outcome.contradictions
    assert row.agents == ["endpoint_analyst", "triage"]
    assert row.claims == ["malicious (0.70): it is malicious", "benign (0.80): it is benign"]


def test_opposite_verdicts_about_different_alerts_are_no_contradiction() -> None:
    outcome = merge(
        [
            Round(1, assessments={"triage": assessment("malicious", 0.9)}),
            Round(2, assessments={"triage": assessment("benign", 0.9)}),
        ]
    )
    assert not outcome.contradicted
    assert outcome.contradictions == []


def test_a_benign_alert_that_joins_does_not_drown_a_malicious_one() -> None:
    attack = votes(triage=assessment("malicious", 0.8), endpoint_analyst=assessment("malicious", 0.9))
    benign = {agent: assessment("benign", 1.0, cites="b") for agent in WEIGHTS}
    later = [Round(number, assessments=benign) for number in range(2, 6)]
    alone, together = merge([attack]), merge([attack, *later])
    assert (together.verdict, together.confidence) == ("malicious", alone.confidence)
    assert together.severity == alone.severity


def test_an_attack_that_joins_ordinary_work_makes_it_malicious() -> None:
    benign = votes(triage=assessment("benign", 0.9), endpoint_analyst=assessment("benign", 0.9))
    attack = Round(
        2, assessments={"triage": assessment("malicious", 0.8), "endpoint_analyst": assessment("malicious", 0.9)}
    )
    assert merge([benign, attack]).verdict == "malicious"


def test_what_a_specialist_said_stands_until_it_is_asked_again() -> None:
    first = votes(triage=assessment("suspicious", 0.7))
    second = Round(2, assessments={"endpoint_analyst": assessment("suspicious", 0.75)})
    assert [merge([one]).verdict for one in (first, second)] == ["suspicious", "suspicious"]
    assert merge([first, second]).verdict == "malicious"


def test_passing_suspicions_of_different_rounds_do_not_add_up() -> None:
    doubts = [
        Round(1, assessments={"triage": assessment("suspicious", 0.5), "endpoint_analyst": assessment("benign", 0.35)}),
        Round(2, assessments={"triage": assessment("benign", 0.6), "endpoint_analyst": assessment("suspicious", 0.5)}),
    ]
    most = max((merge([one]) for one in doubts), key=lambda outcome: ORDER.index(outcome.verdict or "benign"))
    assert merge(doubts).verdict == most.verdict


def test_a_plan_and_a_report_are_no_opinion() -> None:
    said = {agent: assessment("benign", 1.0) for agent in ("incident_responder", "report_writer")}
    outcome = merge([Round(1, assessments={"triage": assessment("malicious", 0.9), **said})])
    assert outcome.verdict == "malicious"


def test_every_specialist_of_the_roster_has_a_stated_weight() -> None:
    assert set(AGENT_IDS) <= WEIGHTS.keys()
    assert len(WEIGHTS) == 12


def test_tool_results_beyond_what_one_message_carries_are_left_out_and_so_are_claims_that_rest_on_them() -> None:
    answer = assessment("malicious", 0.9)
    answer.citations, answer.findings = [], []
    for number in range(600):
        large = citation(str(number))
        large.result = "x" * 16_000
        answer.citations.append(large)
        answer.findings.append(Finding(agent="triage", claim=f"claim {number}", confidence=0.5, citations=[large.id]))
    outcome = merge([votes(triage=answer)])
    known = {item.id for item in outcome.citations}
    assert 200 < len(known) < 270
    assert all(known.issuperset(finding.citations) for finding in outcome.findings)
    assert len(outcome.findings) == len(known)


@given(ROUNDS)
def test_any_votes_give_a_bounded_confidence_and_only_carried_claims(rounds: list[Round]) -> None:
    outcome = merge(rounds)
    assert outcome.confidence is not None
    assert 0 <= outcome.confidence <= 1
    known = {item.id for item in outcome.citations}
    assert all(known.issuperset(finding.citations) for finding in outcome.findings)
    assert merge(rounds) == outcome


@given(ROUNDS)
def test_another_round_never_makes_a_verdict_or_a_severity_better(rounds: list[Round]) -> None:
    before = None
    for count in range(1, len(rounds) + 1):
        outcome = merge(rounds[:count])
        assert outcome.verdict is not None
        assert outcome.severity is not None
        if before is not None and before.verdict in ("suspicious", "malicious"):
            assert ORDER.index(outcome.verdict) >= ORDER.index(before.verdict)
            assert SEVERITIES.index(outcome.severity) >= SEVERITIES.index(before.severity)
        before = outcome


@given(st.sampled_from(VERDICTS), st.sampled_from(SEVERITIES), st.sampled_from([None, *SEVERITIES]))
def test_a_second_opinion_may_raise_the_severity_and_nothing_else(
    verdict: Verdict, severity: Severity, opinion: Severity | None
) -> None:
    before = Outcome(severity, 0.7, verdict, "summary")
    after = raised(Outcome(severity, 0.7, verdict, "summary"), opinion)
    assert after.severity is not None
    assert SEVERITIES.index(after.severity) >= SEVERITIES.index(severity)
    assert (after.verdict, after.confidence, after.summary) == (before.verdict, before.confidence, before.summary)


@pytest.mark.parametrize("verdict", ["malicious", "suspicious", "undetermined"])
def test_a_second_opinion_that_is_higher_counts(verdict: Verdict) -> None:
    assert raised(Outcome("low", 0.7, verdict, ""), "critical").severity == "critical"
