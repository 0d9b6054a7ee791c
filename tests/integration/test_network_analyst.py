"""The network analyst on a real siem: logs of Zeek and Sysmon go in, assessments come out.

Each test has hosts and destinations of its own. Both sides are held: what attackers' programmes do on a network, and
what time, updates, monitoring and browsing do.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio

from services.agents.roster.network_analyst.agent import NetworkAnalyst
from services.agents.roster.network_analyst.skills import analyze_dns, find_beacons
from services.agents.toolkit.signs import SUSPICIOUS_FROM
from shared.client import Client
from shared.clock import new_id, utc_now
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.alerts import CREATE_ALERT, AlertCreate, AlertEvidence
from shared.contracts.logs import SEARCH_LOGS, LogQuery
from shared.contracts.network_analysis import AnalyzeDns, FindBeacons
from tests import stack
from tests.siem import Siem, siem
from tests.stack import Servers
from tests.unit.agents.agent_kit import work

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_NUMBERS = count(1)
_UIDS = count(1)
_MIB = 1024**2


@dataclass
class Estate:
    """A siem, and where it is asked."""

    service: Siem
    client: Client

    async def keeps(self, records: Iterable[dict[str, Any]]) -> list[str]:
        """Stores the records; the ids of the newest events, newest first."""
        items, source = list(records), f"test-{new_id()}"
        for start in range(0, len(items), 1000):
            status, receipt, _ = await self.service.ingest(items[start : start + 1000], query={"source": source})
            assert (status, receipt["rejected"]) == (202, 0), receipt
        found = await self.client.call(SEARCH_LOGS, query=LogQuery(source=source, limit=20))
        return [event.id for event in found.items]

    async def assessed(self, log_id: str, severity: str = "medium") -> Assessment:
        """What the analyst says of an alert that points at this event."""
        event = (await self.client.call(SEARCH_LOGS, query=LogQuery(q=f"id:{log_id}"))).items[0]
        evidence = [AlertEvidence(log_id=event.id, timestamp=event.timestamp, message=event.message)]
        alert = await self.client.call(
            CREATE_ALERT,
            body=AlertCreate(title="A rule matched", severity=severity, evidence=evidence),  # type: ignore[arg-type]
        )
        judged = await NetworkAnalyst().analyze(AnalyzeThreat(alert_id=alert.id), work(siem=self.client))
        delivered = {citation.id for citation in judged.citations}
        assert all(delivered.issuperset(finding.citations) for finding in judged.findings)
        return judged


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def estate(servers: Servers) -> AsyncIterator[Estate]:
    """One siem for the file."""
    with stack.data_folder() as folder:
        async with siem(servers, folder) as running, running.client() as client:
            yield Estate(running, client)


@pytest.fixture
def now() -> datetime:
    """When the story of a test ends: a while ago, so that all of it is in the past."""
    return utc_now() - 30 * MINUTE


@dataclass
class Net:
    """Addresses that no other test uses: a network inside, and destinations outside."""

    number: int

    def inside(self, host: int = 5) -> str:
        return f"10.{100 + self.number // 250}.{self.number % 250}.{host}"

    def outside(self, host: int = 9) -> str:
        return f"45.{60 + self.number // 250}.{self.number % 250}.{host}"


@pytest.fixture
def net() -> Net:
    return Net(next(_NUMBERS))


def zeek(at: datetime, source: str, destination: str, **fields: Any) -> dict[str, Any]:
    """A record of conn.log; with other fields of another log."""
    given = {
        "_path": "conn",
        "ts": at.timestamp(),
        "uid": f"C{next(_UIDS):012d}",
        "id.orig_h": source,
        "id.orig_p": 50123,
        "id.resp_h": destination,
        "id.resp_p": 443,
        "proto": "tcp",
        "conn_state": "SF",
        "orig_bytes": 512,
        "resp_bytes": 900,
        "orig_pkts": 6,
        "resp_pkts": 5,
    }
    return {**given, **fields}


def asked(at: datetime, source: str, name: str, **fields: Any) -> dict[str, Any]:
    """A record of dns.log."""
    record = zeek(at, source, "10.0.0.53", proto="udp", query=name, qtype_name="A", rcode_name="NOERROR", trans_id=7)
    for gone in ("conn_state", "orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts"):
        del record[gone]
    return {**record, "_path": "dns", "id.resp_p": 53, "rejected": False, **fields}


def regular(end: datetime, interval: float, checkins: int) -> Iterator[datetime]:
    for number in range(checkins):
        yield end - timedelta(seconds=interval * (checkins - 1 - number))


def browsing(net: Net, end: datetime, seed: int) -> Iterator[dict[str, Any]]:
    """Two hours of somebody at work, and the same on earlier days."""
    chance = random.Random(seed)
    for day in (0, 2, 4):
        at = end - day * DAY - 2 * HOUR
        while at < end - day * DAY:
            at += timedelta(seconds=chance.expovariate(1 / 40))
            yield zeek(
                at, net.inside(), net.outside(100 + chance.randrange(60)), orig_bytes=chance.randrange(200, 9000)
            )


async def test_a_beacon_to_a_new_address_among_browsing_is_told(estate: Estate, net: Net, now: datetime) -> None:
    await estate.keeps(browsing(net, now, 1))
    ids = await estate.keeps(zeek(at, net.inside(), net.outside()) for at in regular(now, 60, 90))
    judged = await estate.assessed(ids[0])
    assert judged.verdict in ("suspicious", "malicious")
    assert f'called "{net.outside()}":443 90 times, every 60 s' in judged.findings[0].claim
    assert "T1071.001" in judged.mitre_techniques


async def test_time_monitoring_updates_and_browsing_are_ordinary(estate: Estate, net: Net, now: datetime) -> None:
    time, updates = net.outside(), net.outside(10)
    await estate.keeps(browsing(net, now, 2))
    await estate.keeps(
        [
            *(zeek(at, net.inside(), time, **{"id.resp_p": 123, "proto": "udp"}) for at in regular(now, 64, 60)),
            *(zeek(at, net.inside(), net.inside(20), **{"id.resp_p": 10051}) for at in regular(now, 30, 60)),
            *(zeek(at, net.inside(), updates) for at in regular(now, 300, 24)),
            asked(now - HOUR, net.inside(), "sls.update.windowsupdate.com", answers=[updates]),
        ]
    )
    ids = await estate.keeps([zeek(now, net.inside(), net.outside(101))])
    judged = await estate.assessed(ids[0])
    assert judged.verdict in ("benign", "undetermined"), judged.findings
    assert {
        name for name in ("time synchronisation", "a monitoring agent", "windowsupdate") if name in str(judged)
    } == {
        "time synchronisation",
        "a monitoring agent",
        "windowsupdate",
    }


async def test_what_many_hosts_call_regularly_belongs_to_the_estate(estate: Estate, net: Net, now: datetime) -> None:
    records = [zeek(at, net.inside(host), net.outside()) for host in range(5, 12) for at in regular(now, 60, 30)]
    ids = await estate.keeps(records)
    judged = await estate.assessed(ids[0])
    assert judged.verdict in ("benign", "undetermined"), judged.findings
    assert "of the estate talk to it" in str(judged.ruled_out)


async def test_a_beacon_of_a_source_too_busy_to_be_read_is_told(estate: Estate, net: Net, now: datetime) -> None:
    chance = random.Random(6)
    busy = (
        zeek(now - HOUR * chance.random(), net.inside(), net.inside(200 + chance.randrange(9))) for _ in range(4200)
    )
    await estate.keeps(busy)
    ids = await estate.keeps(zeek(at, net.inside(), net.outside()) for at in regular(now, 600, 60))
    judged = await estate.assessed(ids[0])
    assert any("60 times, every 600 s" in finding.claim for finding in judged.findings), judged.findings
    assert any("only the newest connections" in note for note in judged.not_checked)


async def test_a_port_scan_inside_is_told(estate: Estate, net: Net, now: datetime) -> None:
    start = now - 2 * MINUTE
    ids = await estate.keeps(
        zeek(
            start + timedelta(seconds=port * 0.2),
            net.inside(),
            net.inside(77),
            **{"id.resp_p": port, "conn_state": "S0", "orig_bytes": 0, "resp_bytes": 0, "resp_pkts": 0},
        )
        for port in range(1, 201)
    )
    judged = await estate.assessed(ids[0])
    assert judged.verdict == "suspicious"
    assert f'tried 200 ports of "{net.inside(77)}" within minutes; 100% failed' in judged.findings[0].claim


async def test_a_tunnel_and_generated_names_are_told_apart(estate: Estate, net: Net, now: datetime) -> None:
    chance = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    odd = ["".join(chance.choices(letters, k=14)) + ".net" for _ in range(15)]
    await estate.keeps(
        [
            *(
                asked(now - MINUTE, net.inside(), f"{chance.randbytes(20).hex()}.t.quiet-harbor.com", qtype_name="TXT")
                for _ in range(60)
            ),
            *(asked(now - 2 * MINUTE, net.inside(), name, rcode_name="NXDOMAIN") for name in odd),
            *(asked(now - 3 * MINUTE, net.inside(), f"www.{name}.com") for name in ("weather", "kitchen", "garden")),
        ]
    )
    params = AnalyzeDns(source=net.inside(), since=now - HOUR, until=now)
    report = await analyze_dns(params, work(siem=estate.client))
    assert report.questions == 78
    assert [(finding.kind, finding.subject) for finding in report.findings] == [
        ("tunnel", "quiet-harbor.com"),
        ("generated", net.inside()),
    ]
    assert all(finding.weight >= 0.75 for finding in report.findings)
    assert {finding.citation for finding in report.findings} <= {citation.id for citation in report.citations}


async def test_beacons_are_found_by_their_destination_with_jitter(estate: Estate, net: Net, now: datetime) -> None:
    chance = random.Random(4)
    at, records = now - 6 * HOUR, []
    while at < now:
        records.append(zeek(at, net.inside(), net.outside()))
        at += timedelta(seconds=300 * (1 - 0.4 * chance.random()))
    await estate.keeps(records)
    params = FindBeacons(destination=net.outside(), since=now - 12 * HOUR, until=now + MINUTE)
    report = await find_beacons(params, work(siem=estate.client))
    (beacon,) = report.beacons
    assert (beacon.source, beacon.destination, beacon.checkins) == (net.inside(), net.outside(), len(records))
    assert 180 <= beacon.interval_seconds <= 300
    assert beacon.weight > 0
    assert beacon.citation in {citation.id for citation in report.citations}


async def test_a_programme_in_an_open_folder_that_calls_out_is_malicious(
    estate: Estate, net: Net, now: datetime
) -> None:
    host = f"ws{net.number}"
    event = {
        "EventID": 3,
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "Provider_Name": "Microsoft-Windows-Sysmon",
        "Computer": host,
        "ProcessGuid": "{7a1c0e5b-0001-0000-0000-000000000001}",
        "ProcessId": "4242",
        "Image": "C:\\Users\\Public\\sync.exe",
        "Protocol": "tcp",
        "Initiated": "true",
        "SourceIp": net.inside(),
        "SourcePort": "50000",
        "DestinationIp": net.outside(),
        "DestinationPort": "443",
    }
    old = {**event, "Image": "C:\\Windows\\System32\\svchost.exe", "DestinationIp": net.outside(50)}
    times = [*regular(now, 60, 40)]
    stamped = [{**event, "UtcTime": f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3]} for at in times]
    stamped.append({**old, "UtcTime": f"{now - 3 * DAY:%Y-%m-%d %H:%M:%S.%f}"[:-3]})
    ids = await estate.keeps(stamped)
    judged = await estate.assessed(ids[0])
    assert judged.verdict == "malicious", judged
    assert any("everybody may write to" in finding.claim for finding in judged.findings)


async def test_an_upload_that_no_earlier_day_had_is_told(estate: Estate, net: Net, now: datetime) -> None:
    await estate.keeps([zeek(now - day * DAY, net.inside(), net.outside(), orig_bytes=5 * _MIB) for day in range(2, 8)])
    sent = [
        zeek(now - number * MINUTE, net.inside(), net.outside(30), orig_bytes=90 * _MIB, resp_bytes=9000)
        for number in range(10)
    ]
    ids = await estate.keeps(sent)
    judged = await estate.assessed(ids[0])
    assert any("sent 900 MiB" in finding.claim for finding in judged.findings), judged
    assert judged.confidence >= SUSPICIOUS_FROM


async def test_an_alert_without_any_network_log_is_left_undetermined(estate: Estate, net: Net, now: datetime) -> None:
    line = {"@timestamp": now.isoformat(), "message": "a line", "host": {"name": f"alone{net.number}"}}
    ids = await estate.keeps([line])
    judged = await estate.assessed(ids[0])
    assert (judged.verdict, judged.confidence) == ("undetermined", 0.0)
    assert "no network logs tell of it" in judged.not_checked
