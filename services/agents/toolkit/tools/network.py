"""Tools that read network logs: connections, DNS, large uploads, and how common something is on this estate.

Each pages through some thousand events at most and returns statistics of them, not the events; `complete` says whether
all were read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from services.agents.toolkit.network import dns, flows
from services.agents.toolkit.network.beacons import Beacon, beacons_in
from services.agents.toolkit.network.flows import Flow, flows_of
from services.agents.toolkit.network.names import GENERATED_FROM
from services.agents.toolkit.network.scans import scans_in
from services.agents.toolkit.network.volumes import DAY_SECONDS, MIN_BYTES, most_sent, uploads_in
from services.agents.toolkit.sources import Found, Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogQuery, log_term
from shared.contracts.wire import format_time

_PAGE = 200
_PAGES = 20
_HISTORY_DAYS = 14
_KEPT = 12
_TEXT = 120
#: A transfer below this is no part of a volume; it keeps the history of a week within the pages.
_LARGE = MIN_BYTES // 50

Selector = Literal["source.ip", "destination.ip", "host.name"]
Rarity = Literal[
    "destination.ip", "dns.question.name", "tls.client.ja3", "user_agent.original", "tls.client.server_name"
]


class FlowArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Whose connections: those where `field` has the value, to one destination or all. `since` is included, `until`
    not."""

    field: Selector
    value: str
    since: datetime
    until: datetime
    destination: str | None = None


class DnsArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Whose questions: those where `field` has the value; `since` included, `until` not."""

    field: Literal["source.ip", "host.name"]
    value: str
    since: datetime
    until: datetime


class UploadArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Whose uploads in the day before `until`, against the fortnight before that."""

    field: Literal["source.ip", "host.name"]
    value: str
    until: datetime


class RarityArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a field, and the moment before which a fortnight is looked at."""

    field: Rarity
    value: str
    at: datetime


async def _network_flows(arguments: FlowArguments, sources: Sources) -> Any:
    q = f"{log_term(arguments.field, arguments.value)} source.ip:* destination.ip:*"
    if arguments.destination is not None:
        q += f" {log_term('destination.ip', arguments.destination)}"
    found = await _read(sources, q, arguments.since, arguments.until, flows.FIELDS)
    seen = flows_of(found.events)
    beacons, scans = beacons_in(seen), scans_in(seen)
    return {
        "seen": len(seen),
        "complete": found.complete,
        "first": _time(seen[0].at) if seen else None,
        "beacons": [_beacon(beacon) for beacon in beacons[:_KEPT]],
        "scans": [{**asdict(scan), "start": _time(scan.start), "end": _time(scan.end)} for scan in scans[:_KEPT]],
        "most_sent": most_sent(seen),
        "destinations": len({flow.destination for flow in seen}),
        "clients": {"user_agents": _distinct(seen, "agent"), "ja3": _distinct(seen, "ja3")},
    }


def _beacon(beacon: Beacon) -> dict[str, Any]:
    return {
        **asdict(beacon),
        "names": [name[:_TEXT] for name in beacon.names],
        "processes": [process[:_TEXT] for process in beacon.processes],
        "agents": [agent[:_TEXT] for agent in beacon.agents],
        "first": _time(beacon.first),
        "last": _time(beacon.last),
    }


def _distinct(seen: Sequence[Flow], name: str) -> list[str]:
    return sorted({getattr(flow, name) for flow in seen} - {""})[:_KEPT]


async def _dns_questions(arguments: DnsArguments, sources: Sources) -> Any:
    q = f"{log_term(arguments.field, arguments.value)} dns.question.name:*"
    found = await _read(sources, q, arguments.since, arguments.until, dns.FIELDS)
    questions = dns.questions_of(found.events)
    domains = dns.domains_in(questions)
    telling = [domain for domain in domains if domain.is_tunnel]
    telling += [domain for domain in domains if domain.oddness >= GENERATED_FROM and not domain.is_tunnel]
    telling += [domain for domain in domains if domain not in telling]
    return {
        "seen": len(questions),
        "complete": found.complete,
        "domains": len(domains),
        "telling": [_domain(domain) for domain in telling[:_KEPT]],
        "generated": [asdict(item) for item in dns.generated_in(questions)[:_KEPT]],
        "names": {answer: name for name, answer in _answered(questions)},
    }


def _domain(domain: dns.Domain) -> dict[str, Any]:
    return {
        **asdict(domain),
        "tunnel": domain.is_tunnel,
        "examples": [name[:_TEXT] for name in domain.examples],
        "processes": [process[:_TEXT] for process in domain.processes],
        "first": _time(domain.first),
        "last": _time(domain.last),
    }


def _answered(questions: Sequence[dns.Question]) -> list[tuple[str, str]]:
    """Names and the addresses that they were answered with, the newest of each address; at most 60."""
    found = {answer: question.name[:_TEXT] for question in questions for answer in question.answers}
    return [(name, answer) for answer, name in list(found.items())[-60:]]


async def _large_uploads(arguments: UploadArguments, sources: Sources) -> Any:
    term = log_term(arguments.field, arguments.value)
    until = arguments.until
    since = until - timedelta(days=_HISTORY_DAYS + 1)
    found = await _read(sources, f"{term} destination.ip:* source.bytes >= {_LARGE}", since, until, flows.FIELDS)
    seen = flows_of(found.events)
    uploads = uploads_in(seen, until.timestamp())
    # Whether there is a past to compare with is asked only where there is something to compare.
    day = until - timedelta(seconds=DAY_SECONDS)
    past = f"{term} destination.ip:* source.bytes:*"
    return {
        "seen": len(seen),
        "complete": found.complete,
        "history": bool(uploads) and await _any(sources, past, since, day),
        "uploads": [asdict(upload) for upload in uploads[:_KEPT]],
    }


async def _rarity(arguments: RarityArguments, sources: Sources) -> Any:
    """Which hosts and addresses met the value; whether anything of its kind was logged before at all."""
    since, term = arguments.at - timedelta(days=_HISTORY_DAYS), log_term(arguments.field, arguments.value)
    day = arguments.at - timedelta(days=1)
    counts: dict[str, dict[str, int]] = {}
    for name in ("host.name", "source.ip"):
        page = await sources.page(LogQuery(q=term, since=since, until=arguments.at, limit=1, fields=name, top=name))
        top = [] if page.top is UNSET else page.top
        counts[name] = {item.value[:_TEXT]: item.count for item in top}
    earlier = await _any(sources, term, since, day)
    return {
        "hosts": sorted(counts["host.name"]),
        "addresses": sorted(counts["source.ip"]),
        "count": max(sum(values.values()) for values in counts.values()),
        "earlier": earlier,
        "history": earlier or await _any(sources, f"{arguments.field}:*", since, day),
    }


async def _any(sources: Sources, q: str, since: datetime, until: datetime) -> bool:
    return bool(await sources.logs(LogQuery(q=q, since=since, until=until, limit=1, fields="event.category")))


async def _read(sources: Sources, q: str, since: datetime, until: datetime, fields: Sequence[str]) -> Found:
    query = LogQuery(q=q, since=since, until=until, limit=_PAGE, fields=",".join(fields))
    return await sources.pages(query, _PAGES)


def _time(moment: float) -> str:
    return format_time(datetime.fromtimestamp(moment, UTC))


NETWORK_FLOWS = Tool(
    "network_flows",
    "Connections of a host or address: which are regular, which are scans",
    FlowArguments,
    SIEM_READ,
    _network_flows,
)
DNS_QUESTIONS = Tool(
    "dns_questions", "What names were asked for: tunnels and generated names", DnsArguments, SIEM_READ, _dns_questions
)
LARGE_UPLOADS = Tool(
    "large_uploads", "What was sent out in a day, against the fortnight before", UploadArguments, SIEM_READ,
    _large_uploads,
)  # fmt: skip
RARITY = Tool(
    "rarity", "How many hosts met a value in a fortnight, and since when", RarityArguments, SIEM_READ, _rarity
)
