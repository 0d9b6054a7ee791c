"""Scans: one source that tries many ports of a host, or one port on many hosts, in a short time. Pure.

Ports above EPHEMERAL_FROM are left out where they were answered: there a server's replies look like attempts. A sweep
needs failures, or a port that is for administration: browsers talk to many hosts too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from services.agents.toolkit.network.flows import Flow

WINDOW_SECONDS = 300.0
MIN_PORTS = 20
MIN_HOSTS = 20
#: From this share on, what was tried was mostly not there.
FAILED_SHARE = 0.5
EPHEMERAL_FROM = 32768


@dataclass(frozen=True, slots=True)
class Scan:
    """What one source tried within WINDOW_SECONDS: `ports` of `target`, or hosts on the port `target`.

    `tried` counts distinct ports or hosts; `failed` is the share of its connections that were refused or unanswered."""

    kind: Literal["ports", "hosts"]
    source: str
    target: str
    tried: int
    failed: float
    examples: tuple[str, ...]
    start: float
    end: float


def scans_in(flows: Sequence[Flow]) -> list[Scan]:
    """The scans among some flows, the widest first; one for each source and target."""
    by_host: dict[tuple[str, str], list[Flow]] = defaultdict(list)
    by_port: dict[tuple[str, int], list[Flow]] = defaultdict(list)
    for flow in sorted(flows, key=lambda flow: flow.at):
        if flow.port and (flow.failed or flow.port < EPHEMERAL_FROM):
            by_host[flow.source, flow.destination].append(flow)
            by_port[flow.source, flow.port].append(flow)
    found: list[Scan] = []
    for (source, host), members in by_host.items():
        busiest = _busiest(members, [flow.port for flow in members])
        if busiest is not None and _distinct_ports(busiest) >= MIN_PORTS:
            ports = [str(port) for port in sorted({flow.port for flow in busiest})]
            found.append(_scan("ports", source, host, ports, busiest))
    for (source, port), members in by_port.items():
        busiest = _busiest(members, [flow.destination for flow in members])
        hosts = sorted({flow.destination for flow in busiest or ()})
        if busiest is not None and len(hosts) >= MIN_HOSTS:
            found.append(_scan("hosts", source, str(port), hosts, busiest))
    return sorted(found, key=lambda scan: (-scan.tried, scan.source, scan.target))


def _distinct_ports(flows: Sequence[Flow]) -> int:
    return len({flow.port for flow in flows})


def _busiest(flows: Sequence[Flow], values: Sequence[Hashable]) -> Sequence[Flow] | None:
    """The window of WINDOW_SECONDS with the most different values; None of no flows."""
    held: Counter[Hashable] = Counter()
    best, most, start = (0, 0), 0, 0
    for end, flow in enumerate(flows):
        held[values[end]] += 1
        while flow.at - flows[start].at > WINDOW_SECONDS:
            held[values[start]] -= 1
            if not held[values[start]]:
                del held[values[start]]
            start += 1
        if len(held) > most:
            best, most = (start, end + 1), len(held)
    return flows[best[0] : best[1]] or None


def _scan(
    kind: Literal["ports", "hosts"], source: str, target: str, tried: Sequence[str], flows: Sequence[Flow]
) -> Scan:
    failed = sum(flow.failed for flow in flows) / len(flows)
    return Scan(kind, source, target, len(tried), round(failed, 4), tuple(tried[:8]), flows[0].at, flows[-1].at)
