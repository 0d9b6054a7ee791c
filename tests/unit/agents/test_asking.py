"""Specialists that ask one another: whom, about what, what of the answer counts, and what is said when none comes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.agents.roster.forensic_analyst import judgement as forensics
from services.agents.roster.forensic_analyst.agent import ForensicAnalyst
from services.agents.roster.network_analyst.subjects import strangers
from services.agents.roster.threat_hunter.leads import strangers as hunted
from services.agents.roster.threat_intel.agent import ThreatIntel
from services.agents.toolkit import handing
from services.agents.toolkit.agent import Agent
from services.agents.toolkit.asking import said_signs
from services.agents.toolkit.evidence import Evidence, Seen
from services.agents.toolkit.handing import HAND_OFF, Answer, Grant, handed_on
from services.agents.toolkit.lookups import Strange, looked_up
from services.agents.toolkit.records import Records, record
from services.agents.toolkit.signs import score
from services.agents.toolkit.sources import Found, Sources
from services.agents.toolkit.work import Work
from shared.client import Client
from shared.clock import utc_now
from shared.content import canonical
from shared.contracts.agents import AnalyzeThreat, Assessment, Budget, Handoff, Recorded
from shared.contracts.alerts import Alert
from shared.contracts.claims import Citation, Finding, Prior
from shared.contracts.common import Observable, Verdict
from shared.contracts.constants import Method
from shared.contracts.intel import IntelMatches
from shared.contracts.intel_methods import IndicatorReport, IndicatorStanding, Standing
from shared.contracts.logs import LogEvent, LogPage, LogQuery
from shared.contracts.reviews import LoginReview, ReviewLogins
from shared.contracts.samples import SampleReport, TriageSample
from shared.errors import UNAVAILABLE, AuroraError
from tests.shapes import alert
from tests.unit.agents.agent_kit import NOW, Told, citation, context, event

HASH, OTHER = "ab" * 32, "cd" * 32
ADDRESS = "203.0.113.9"
FIRST = "ALRT-2026-000001"


def review(verdict: Verdict = "malicious", confidence: float = 0.9) -> LoginReview:
    """What the identity analyst says, resting on one result of its own."""
    logins = record("identity_analyst", "logins", {"value": ADDRESS}, {"failed": 30}, NOW)
    told = [("after 30 failures it got in", confidence), ("where it was seen", 0.0)]
    return LoginReview(
        verdict=verdict,
        confidence=confidence,
        mitre_techniques=["T1110.001"],
        findings=[
            Finding(agent="identity_analyst", claim=claim, confidence=sure, citations=[logins.id])
            for claim, sure in told
        ],
        citations=[logins],
        failed=30,
        entered=1,
    )


def triaged(verdict: Verdict = "malicious") -> SampleReport:
    """What the malware analyst says, resting on one result of its own."""
    looked = record("malware_analyst", "sample_triage", {"hash": HASH}, {"stored": True}, NOW)
    finding = Finding(agent="malware_analyst", claim="it matches a rule", confidence=0.9, citations=[looked.id])
    return SampleReport(
        sha256=HASH,
        stored=True,
        verdict=verdict,
        confidence=0.9,
        mitre_techniques=["T1055"],
        findings=[finding],
        citations=[looked],
    )


class Neighbours:
    """The other agents: they answer, fail, or aren't there, and what they were asked is kept."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Any]] = []

    def place(self, agent: str) -> str | None:
        return f"ws://{agent}/" if agent in self.answers else None

    async def call(
        self, agent: str, _method: Method[Any, Any], params: Any, *, handoff: Handoff, timeout: float
    ) -> Any:
        assert (handoff.to, timeout > 0) == (agent, True)
        self.asked.append((agent, params))
        if isinstance(self.answers[agent], AuroraError):
            raise self.answers[agent]
        return self.answers[agent]


class Estate(Sources):
    """One alert, some events of its host, and the hashes whose bytes are stored."""

    def __init__(self, raised: Alert, *events: LogEvent, stored: tuple[str, ...] = ()) -> None:
        super().__init__(Client("http://nowhere.invalid"))
        self.raised, self.seen, self.stored = raised, list(events), stored

    async def alert(self, alert_id: str) -> Alert:
        assert alert_id == self.raised.id
        return self.raised

    async def pages(self, query: LogQuery, most: int) -> Found:
        del query, most
        return Found(self.seen, complete=True)

    async def page(self, query: LogQuery) -> LogPage:
        del query
        return LogPage([], None)

    async def logs(self, query: LogQuery) -> list[LogEvent]:
        del query
        return []

    async def intel(self, observables: list[Observable], at: Any) -> IntelMatches:
        del observables, at
        return IntelMatches(matches=[], benign=[], vulnerabilities=[], indicators=0, truncated=False)

    async def has_sample(self, file_hash: str) -> bool:
        return file_hash in self.stored


def ran(file_hash: str, name: str = "C:\\Users\\ada\\x.exe") -> LogEvent:
    """A programme that started, with its hash."""
    return LogEvent(
        id=f"log-{file_hash[:4]}",
        timestamp=NOW,
        ingested_at=NOW,
        source="s",
        dataset="windows.sysmon",
        message="a process",
        ecs={"process.hash.sha256": file_hash, "process.executable": name, "host.name": "web01"},
        raw="",
        receipt="receipt-1",
    )


async def asked(
    agent: Agent, params: AnalyzeThreat, estate: Estate, others: Neighbours, recorded: Recorded | None = None
) -> Assessment:
    """The assessment, settled as it goes out."""
    call = context(seconds=50.0)
    assert call.handoff is not None
    call = msgspec.structs.replace(call, handoff=msgspec.structs.replace(call.handoff, recorded=recorded))
    doing = Work(agent.id, call, estate, Told().publish, others)
    return doing.settle(await agent.analyze(params, doing))


def found_on_host() -> Estate:
    return Estate(alert(FIRST, entities={"host": "web01"}, evidence=[], count=0), ran(HASH), stored=(HASH,))


async def test_a_stored_file_of_the_host_is_shown_to_the_malware_analyst_and_its_word_is_cited() -> None:
    others = Neighbours(malware_analyst=msgspec.structs.replace(triaged(), not_checked=["its overlay"]))
    said = await asked(ForensicAnalyst(), AnalyzeThreat(alert_id=FIRST), found_on_host(), others)
    assert "its overlay" in said.not_checked
    assert others.asked == [("malware_analyst", TriageSample(sha256=HASH))]
    finding = next(item for item in said.findings if "malware_analyst" in item.claim)
    assert "it matches a rule" in finding.claim
    carriers = {item.id: (item.agent, item.tool) for item in said.citations}
    assert [carriers[name] for name in finding.citations] == [
        ("forensic_analyst", HAND_OFF),
        ("malware_analyst", "sample_triage"),
    ]
    assert (said.verdict, Observable("hash", HASH) in said.iocs) == ("suspicious", True)
    assert "T1055" in said.mitre_techniques


async def test_a_replay_of_it_asks_nobody_and_comes_to_the_same_bytes() -> None:
    others = Neighbours(malware_analyst=triaged())
    said = await asked(ForensicAnalyst(), AnalyzeThreat(alert_id=FIRST), found_on_host(), others)
    recorded = Recorded(asked_at=NOW, citations=said.citations, refusals=said.refused)
    nobody = Neighbours()
    again = await asked(ForensicAnalyst(), AnalyzeThreat(alert_id=FIRST), found_on_host(), nobody, recorded)
    # The time of the question isn't in it: nothing here depends on it.
    assert canonical(again) == canonical(said)
    assert len(others.asked) == 1


@pytest.mark.parametrize(
    ("others", "why"),
    [
        (Neighbours(), "it is not there"),
        (Neighbours(malware_analyst=AuroraError(UNAVAILABLE)), UNAVAILABLE.code),
    ],
    ids=["gone", "failing"],
)
async def test_without_the_malware_analyst_what_was_not_checked_is_said(others: Neighbours, why: str) -> None:
    said = await asked(ForensicAnalyst(), AnalyzeThreat(alert_id=FIRST), found_on_host(), others)
    [note] = [note for note in said.not_checked if note.startswith("malware_analyst did not answer")]
    assert (HASH[:16] in note, why in note) == (True, True)
    assert [(item.tool, item.arguments["agent"]) for item in said.refused] == [(HAND_OFF, "malware_analyst")]
    assert said.verdict == "undetermined"


async def test_what_the_malware_analyst_looks_at_anyway_is_not_asked_again() -> None:
    others, estate = Neighbours(malware_analyst=triaged()), found_on_host()
    params = AnalyzeThreat(alert_id=FIRST, iocs=[Observable("hash", HASH)], beside=["malware_analyst"])
    await asked(ForensicAnalyst(), params, estate, others)
    assert others.asked == []
    await asked(ForensicAnalyst(), msgspec.structs.replace(params, beside=[]), estate, others)
    assert len(others.asked) == 1


def test_of_the_files_of_a_host_the_stored_ones_count_once_and_the_first_seen_come_first() -> None:
    def row(value: str, at: str, *, stored: bool) -> dict[str, Any]:
        return {"hash": value, "names": [], "first_seen": at, "log_id": "log", "stored": stored}

    seen = [
        citation({"files": [row(HASH, "2", stored=True), row("ee" * 32, "0", stored=False)]}),
        citation({"files": [row(HASH, "3", stored=True), row(OTHER, "1", stored=True)]}),
    ]
    assert [file.hash for file in forensics.stored_files(seen, ())] == [OTHER, HASH]
    assert [file.hash for file in forensics.stored_files(seen, {OTHER})] == [HASH]
    told = Seen(event(**{"process.hash.sha256": HASH.upper()}), citation({}))
    assert forensics.hashes_named(Evidence(events=[told], iocs=[Observable("hash", OTHER)])) == {HASH, OTHER}


async def test_logins_of_an_address_are_judged_by_the_identity_analyst_alone() -> None:
    estate, others = Estate(alert(FIRST, evidence=[], count=0)), Neighbours(identity_analyst=review())
    params = AnalyzeThreat(iocs=[Observable("ip", ADDRESS)])
    said = await asked(ThreatIntel(), params, estate, others)
    [(agent, question)] = others.asked
    assert isinstance(question, ReviewLogins)
    assert (agent, question.field, question.value) == ("identity_analyst", "source.ip", ADDRESS)
    assert (said.verdict, said.confidence) == ("malicious", 0.9)
    assert "T1110.001" in said.mitre_techniques
    # Where the identity analyst is asked itself, its word is the only one.
    beside = msgspec.structs.replace(params, beside=["identity_analyst"])
    said = await asked(ThreatIntel(), beside, estate, others)
    assert len(others.asked) == 1
    assert said.verdict == "undetermined"


def test_anothers_word_weighs_what_it_was_sure_of_once_and_not_when_it_saw_nothing() -> None:
    carrier = citation({})
    answer = Answer(review(), carrier, review().citations)
    signs = said_signs("kind", "identity_analyst", "logins", answer.result, answer)
    assert score(signs) == 0.9
    assert [sign.citation.id for sign in signs] == [carrier.id, review().citations[0].id]
    assert "where it was seen" not in signs[0].claim
    for quiet in (review("benign", 0.7), review("undetermined", 0.0)):
        assert said_signs("kind", "identity_analyst", "logins", quiet, Answer(quiet, carrier)) == []


def test_destinations_that_the_alert_does_not_name_are_looked_up_in_the_order_of_their_names() -> None:
    flows = record("network_analyst", "network_flows", {}, {"beacons": [
        {"destination": ADDRESS}, {"destination": "203.0.113.1"}, {"destination": "10.0.0.7"}]}, NOW)  # fmt: skip
    asked_for = record("network_analyst", "dns_questions", {}, {"telling": [
        {"domain": "b.example", "tunnel": True}, {"domain": "c.example", "tunnel": False}]}, NOW)  # fmt: skip
    expected = [Observable("domain", "b.example"), Observable("ip", "203.0.113.1"), Observable("ip", ADDRESS)]
    assert strangers([flows, asked_for], frozenset()) == strangers([asked_for, flows], frozenset()) == expected
    assert strangers([flows, asked_for], frozenset({ADDRESS, "www.b.example"})) == expected[1:2]


async def test_listed_destinations_are_one_kind_however_many_feeds_have_them() -> None:
    listed: list[tuple[str, Standing, float]] = [
        (ADDRESS, "malicious", 0.8),
        ("203.0.113.1", "malicious", 0.7),
        ("203.0.113.2", "noted", 0.3),
    ]
    found = [
        IndicatorStanding(
            observable=Observable("ip", address),
            standing=standing,
            weight=weight,
            names=[],
            claims=["listed"],
            citation=None,
        )
        for address, standing, weight in listed
    ]
    others = Neighbours(threat_intel=IndicatorReport(indicators=found, stored=2, not_checked=["a cut"]))
    doing = Work("network_analyst", context(), Estate(alert(FIRST)), Told().publish, others)
    signs, bad = await looked_up(Strange([item.observable for item in found], "places", "listed", ()), NOW, doing)
    assert score(signs) == 0.8
    assert bad == [item.observable for item in found[:2]]
    assert (doing.not_checked, doing.ruled_out) == (["a cut"], [])
    others.answers["threat_intel"] = IndicatorReport(indicators=found[2:], stored=2)
    again = Work("network_analyst", context(), Estate(alert(FIRST)), Told().publish, others)
    assert await looked_up(Strange([found[2].observable], "places", "listed", ()), NOW, again) == ([], [])
    assert again.ruled_out == ["intelligence on 1 places"]


def test_an_agent_that_is_asked_leaves_time_to_the_one_that_asks() -> None:
    now = utc_now()
    standing = handing.Standing("first", "handoff-1", 0, (), now + timedelta(seconds=40), (), None)
    made = handed_on(standing, "second", ("m", {}), Grant(Budget(1, 600.0), (), (), ""), now=now, address=None)
    assert made.deadline == now + timedelta(seconds=30)
    short = handed_on(standing, "second", ("m", {}), Grant(Budget(1, 5.0), (), (), ""), now=now, address=None)
    assert short.deadline == now + timedelta(seconds=5)


async def test_only_results_that_are_what_their_address_says_come_along() -> None:
    answer = review()
    false = msgspec.structs.replace(answer.citations[0], result={"failed": 0})
    others = Neighbours(identity_analyst=msgspec.structs.replace(answer, citations=[false]))
    said = await asked(ThreatIntel(), AnalyzeThreat(iocs=[Observable("ip", ADDRESS)]), Estate(alert(FIRST)), others)
    assert {item.agent for item in said.citations} == {"threat_intel"}


def test_citations_of_others_are_told_from_own_calls_of_the_same_question() -> None:
    own = record("triage", "count", {"n": 1}, {"seen": 1}, NOW)
    theirs = record("neighbour", "count", {"n": 1}, {"seen": 2}, NOW)
    records = Records(Recorded(asked_at=NOW, citations=[own, theirs]), "triage")
    outcome = records.outcome("count", {"n": 1})
    assert isinstance(outcome, Citation)
    assert outcome.id == own.id
    assert [item.id for item in records.brought([theirs.id, "tr_gone"])] == [theirs.id]


async def test_a_verdict_is_heard_also_where_the_answer_has_too_much_to_tell() -> None:
    many = [Observable("domain", f"{'x' * 200}{number}.example") for number in range(200)]
    others = Neighbours(malware_analyst=msgspec.structs.replace(triaged(), iocs=many))
    said = await asked(ForensicAnalyst(), AnalyzeThreat(alert_id=FIRST), found_on_host(), others)
    assert said.verdict == "suspicious"
    [question] = [item for item in said.citations if item.tool == HAND_OFF]
    assert question.result["parts_left_out"] == ["iocs"]
    assert question.result["findings"]


def test_addresses_of_logons_elsewhere_are_looked_up_unless_somebody_named_them() -> None:
    addresses = (ADDRESS, "203.0.113.1", "203.0.113.2", "203.0.113.3", "10.0.0.7", "")
    logons = record("threat_hunter", "logons_elsewhere", {}, {"logons": [{"source_ip": one} for one in addresses]}, NOW)
    seen = Seen(event(**{"source.ip": ADDRESS}), citation({}))
    said = Prior(
        agent="triage", verdict="malicious", severity="high", confidence=0.9, iocs=[Observable("ip", "203.0.113.1")]
    )
    evidence = Evidence(events=[seen], iocs=[Observable("ip", "203.0.113.2")])
    assert hunted([logons], evidence, [said]) == [Observable("ip", "203.0.113.3")]
