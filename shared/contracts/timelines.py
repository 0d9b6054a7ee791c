"""Timelines: what happened on some hosts between two times, in order, each entry with the result that carries it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Refusal
from shared.contracts.constants import Method

EntryKind = Literal[
    "process", "script", "file", "registry", "network", "logon", "service", "account", "log_clearing", "other"
]
_Name = Annotated[str, Meta(min_length=1, max_length=256)]
_Time = Annotated[datetime, Meta(tz=True)]


class TimelineRequest(msgspec.Struct, kw_only=True):
    """Params of `build_timeline`: an alert (its hosts and times), or hosts with both times. Given times bound an
    alert's too; `users` leaves only what these accounts did."""

    alert_id: Annotated[str, Meta(max_length=64)] | None = None
    hosts: Annotated[list[_Name], Meta(max_length=8)] = []
    users: Annotated[list[_Name], Meta(max_length=8)] = []
    since: _Time | None = None
    until: _Time | None = None


class TimelineEntry(msgspec.Struct, kw_only=True):
    """One thing that happened, `count` times between `timestamp` and `last`. `phase` is the ATT&CK tactic it belongs
    to, null where its techniques aren't known. `text` may quote untrusted data."""

    timestamp: datetime
    last: datetime
    count: int
    host: str
    actor: str
    kind: EntryKind
    phase: str | None
    mitre_techniques: list[str]
    weight: float
    text: str
    log_ids: list[str]
    citation: str


class TimelineGap(msgspec.Struct, kw_only=True):
    """A time in which a host that was talking before and after said nothing."""

    host: str
    since: datetime
    until: datetime
    citation: str


class Timeline(msgspec.Struct, kw_only=True):
    """Result of `build_timeline`, oldest first. `complete` is false when entries were left out, least telling first;
    `skewed` names hosts whose clocks don't agree with the arrival of their events."""

    entries: list[TimelineEntry]
    gaps: list[TimelineGap]
    skewed: list[str]
    complete: bool
    not_checked: list[str] = []
    citations: list[Citation] = []
    refused: list[Refusal] = []


BUILD_TIMELINE = Method(
    "build_timeline", TimelineRequest, Timeline, "Put in order what happened around an alert or on some hosts"
)
