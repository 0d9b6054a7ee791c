"""What the network analyst is asked by itself: `find_beacons` and `analyze_dns`. Each answer names its tool results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Literal

from services.agents.roster.network_analyst import judgement, known
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tools.network import (
    DNS_QUESTIONS,
    NETWORK_FLOWS,
    RARITY,
    DnsArguments,
    FlowArguments,
    RarityArguments,
)
from services.agents.toolkit.work import Work
from shared.contracts.claims import Citation
from shared.contracts.network_analysis import (
    AnalyzeDns,
    BeaconReport,
    DnsFinding,
    DnsReport,
    FindBeacons,
    FoundBeacon,
)
from shared.errors import field_error

_CUT = "more than could be read: narrow the time"


async def find_beacons(params: FindBeacons, work: Work) -> BeaconReport:
    """Raises AURORA-4220 without a source and a destination."""
    if params.source is not None:
        arguments = FlowArguments(
            field=source_field(params.source),
            value=params.source,
            since=params.since,
            until=params.until,
            destination=params.destination,
        )
    elif params.destination is not None:
        arguments = FlowArguments(
            field="destination.ip", value=params.destination, since=params.since, until=params.until
        )
    else:
        raise field_error("params.source", "give a source, a destination, or both")
    flows = await work.use(NETWORK_FLOWS, arguments)
    found: list[FoundBeacon] = []
    if flows is not None:
        found = [await _found(beacon, flows, params.until, work) for beacon in flows.result["beacons"]]
        if not flows.result.get("complete", False):
            work.not_checked.append(_CUT)
    return BeaconReport(
        connections=0 if flows is None else flows.result["seen"],
        beacons=sorted(found, key=lambda beacon: (-beacon.weight, -beacon.checkins)),
        citations=work.citations,
        not_checked=work.not_checked,
    )


async def _found(beacon: Mapping[str, Any], flows: Citation, until: datetime, work: Work) -> FoundBeacon:
    rarity = None
    if known.is_public(beacon["destination"]):
        rarity = await work.use(RARITY, RarityArguments(field="destination.ip", value=beacon["destination"], at=until))
    judged = judgement.beacon_signs(beacon, flows, rarity, {})
    strongest: Sign | None = max(judged.signs, key=lambda sign: sign.weight, default=None)
    rhythm = beacon["rhythm"]
    return FoundBeacon(
        source=beacon["source"],
        destination=beacon["destination"],
        port=beacon["port"],
        names=beacon["names"],
        processes=beacon["processes"],
        checkins=rhythm["checkins"],
        interval_seconds=rhythm["interval"],
        jitter_seconds=rhythm["mad"],
        near=rhythm["near"],
        regularity=rhythm["regularity"],
        first_seen=datetime.fromisoformat(beacon["first"]),
        last_seen=datetime.fromisoformat(beacon["last"]),
        weight=0.0 if strongest is None else strongest.weight,
        judged=strongest.claim if strongest is not None else judged.ruled_out[0],
        citation=flows.id,
    )


async def analyze_dns(params: AnalyzeDns, work: Work) -> DnsReport:
    """What the questions of one source look like."""
    field = source_field(params.source)
    asked = await work.use(
        DNS_QUESTIONS, DnsArguments(field=field, value=params.source, since=params.since, until=params.until)
    )
    findings: list[DnsFinding] = []
    if asked is not None:
        for domain in asked.result["telling"]:
            if domain["tunnel"]:
                judged = judgement.tunnel_signs(domain, asked)
                work.ruled_out += judged.ruled_out
                examples = list(domain["examples"])
                findings += [_finding("tunnel", domain["domain"], examples, sign) for sign in judged.signs]
        for generated in asked.result["generated"]:
            for sign in judgement.generated_signs(generated, asked):
                findings.append(_finding("generated", generated["source"], list(generated["examples"]), sign))
        if not asked.result.get("complete", False):
            work.not_checked.append(_CUT)
    return DnsReport(
        questions=0 if asked is None else asked.result["seen"],
        findings=sorted(findings, key=lambda finding: -finding.weight),
        ruled_out=work.ruled_out,
        citations=work.citations,
        not_checked=work.not_checked,
    )


def _finding(kind: Literal["tunnel", "generated"], subject: str, examples: list[str], sign: Sign) -> DnsFinding:
    return DnsFinding(
        kind=kind, subject=subject, claim=sign.claim, examples=examples, weight=sign.weight, citation=sign.citation.id
    )


def source_field(source: str) -> Literal["source.ip", "host.name"]:
    """An address is asked for as one, anything else is a host's name."""
    try:
        ip_address(source)
    except ValueError:
        return "host.name"
    return "source.ip"
