"""Whose network the analyst looks at: the hosts and addresses that an alert and its events are about. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from services.agents.roster.network_analyst.known import is_public
from services.agents.toolkit.evidence import Evidence, Seen
from services.agents.toolkit.network.names import registered
from services.agents.toolkit.tools.network import DNS_QUESTIONS, NETWORK_FLOWS, Selector
from shared.contracts.claims import Citation
from shared.contracts.common import Observable

_MOST = 3
_MOST_STRANGE = 20
_NOBODY = ("", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Subject:
    """Events where `field` has the value."""

    field: Selector
    value: str


def subjects_of(evidence: Evidence) -> list[Subject]:
    """At most three: who acted in the events, the alert's host and source, and addresses among the indicators."""
    found: dict[Subject, None] = {}
    for seen in evidence.events:
        for subject in _of_event(seen):
            found.setdefault(subject)
    if evidence.entity("source_ip") not in _NOBODY:
        found.setdefault(Subject("source.ip", evidence.entity("source_ip")))
    if not found and evidence.entity("host"):
        found.setdefault(Subject("host.name", evidence.entity("host")))
    for ioc in evidence.iocs:
        if ioc.type == "ip" and is_public(ioc.value):
            found.setdefault(Subject("destination.ip", ioc.value))
    return list(found)[:_MOST]


def _of_event(seen: Seen) -> list[Subject]:
    """What a host's own sensor tells is asked for by the host, what stands in the network by the address that acts."""
    source, host = seen.field("source.ip"), seen.field("host.name")
    if host and (seen.field("process.executable") or seen.field("process.pid") or not source):
        return [Subject("host.name", host)]
    return [Subject("source.ip", source)] if source not in _NOBODY else []


def focus_of(evidence: Evidence) -> frozenset[str]:
    """The addresses and names that the alert itself is about."""
    fields = ("destination.ip", "dns.question.name", "tls.client.server_name", "url.domain", "destination.domain")
    named = {seen.field(field).lower() for seen in evidence.events for field in fields}
    named |= {ioc.value.lower() for ioc in evidence.iocs if ioc.type in ("ip", "domain")}
    return frozenset(named) - {""}


def is_network(evidence: Evidence) -> bool:
    """Whether the alert's own events are connections, questions or requests."""
    categories = {category for seen in evidence.events for category in seen.event["ecs"].get("event.category", [])}
    return bool({"network", "web"} & categories)


def strangers(found: Iterable[Citation], focus: Collection[str]) -> list[Observable]:
    """Destinations of regular connections and of tunnels that the alert doesn't name: at most 20, in the order of
    their names, whichever was read first."""
    named: set[Observable] = set()
    for citation in found:
        for beacon in citation.result.get("beacons", ()) if citation.tool == NETWORK_FLOWS.name else ():
            if is_public(beacon["destination"]):
                named.add(Observable("ip", beacon["destination"]))
        for domain in citation.result.get("telling", ()) if citation.tool == DNS_QUESTIONS.name else ():
            if domain["tunnel"]:
                named.add(Observable("domain", domain["domain"]))
    below = {registered(name) for name in focus}
    strange = [item for item in named if item.value not in focus and item.value not in below]
    return sorted(strange, key=lambda item: (item.type, item.value))[:_MOST_STRANGE]
