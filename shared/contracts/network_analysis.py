"""What the network analyst is asked beside `analyze_threat`: regular connections, and what DNS questions carry."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Refusal
from shared.contracts.constants import Method

Place = Annotated[str, Meta(min_length=1, max_length=255)]
Moment = Annotated[datetime, Meta(tz=True)]


class FindBeacons(msgspec.Struct, kw_only=True):
    """Params of `find_beacons`: connections of a `source` (address or host name), to a `destination` address, or both;
    `since` included, `until` not."""

    source: Place | None = None
    destination: Place | None = None
    since: Moment
    until: Moment


class FoundBeacon(msgspec.Struct, kw_only=True):
    """One series of regular connections. Times in seconds; `jitter_seconds` is the median deviation from the interval,
    `near` the part of the intervals within a tenth of it. `weight` is how strongly it speaks of an attack (0..1), and
    `judged` why; `citation` names the tool result that carries it."""

    source: str
    destination: str
    port: int
    names: list[str]
    processes: list[str]
    checkins: int
    interval_seconds: float
    jitter_seconds: float
    near: float
    regularity: Literal["steady", "jittered"]
    first_seen: datetime
    last_seen: datetime
    weight: float
    judged: str
    citation: str


class BeaconReport(msgspec.Struct, kw_only=True):
    """Result of `find_beacons`, those that speak loudest first. `connections` were looked at."""

    connections: int
    beacons: list[FoundBeacon]
    citations: list[Citation]
    not_checked: list[str] = []
    refused: list[Refusal] = []


class AnalyzeDns(msgspec.Struct, kw_only=True):
    """Params of `analyze_dns`: the questions of a `source` (address or host name); `since` included, `until` not."""

    source: Place
    since: Moment
    until: Moment


class DnsFinding(msgspec.Struct, kw_only=True):
    """What the questions below one domain, or of one source for many domains, look like. `subject` is the registered
    domain (tunnel) or the source (generated)."""

    kind: Literal["tunnel", "generated"]
    subject: str
    claim: str
    examples: list[str]
    weight: float
    citation: str


class DnsReport(msgspec.Struct, kw_only=True):
    """Result of `analyze_dns`. `questions` were looked at; `ruled_out` says what only looked like one."""

    questions: int
    findings: list[DnsFinding]
    ruled_out: list[str]
    citations: list[Citation]
    not_checked: list[str] = []
    refused: list[Refusal] = []


FIND_BEACONS = Method("find_beacons", FindBeacons, BeaconReport, "Find connections at regular intervals")
ANALYZE_DNS = Method("analyze_dns", AnalyzeDns, DnsReport, "Find tunnels and generated names in DNS")
