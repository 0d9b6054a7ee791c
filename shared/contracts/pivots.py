"""Hunts of a specialist: where else on the estate indicators were seen. Saved searches of people are in hunts.py."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Refusal
from shared.contracts.common import Observable
from shared.contracts.constants import Method

_Time = Annotated[datetime, Meta(tz=True)]


class HuntRequest(msgspec.Struct, kw_only=True):
    """Params of `hunt`: what to look for (type ip, domain, hash, user, file or command) and when; `since` included,
    `until` not."""

    observables: Annotated[list[Observable], Meta(min_length=1, max_length=20)]
    since: _Time
    until: _Time


class Sighting(msgspec.Struct, kw_only=True):
    """Where one observable was seen. `hosts` maps a host to its number of events, the most frequent ten; `more` says
    that there are others. `common`: on so many hosts that it tells nothing."""

    observable: Observable
    count: int
    hosts: dict[str, int]
    more: bool
    common: bool
    first_seen: datetime
    last_seen: datetime
    citation: str


class HuntResult(msgspec.Struct, kw_only=True):
    """Result of `hunt`. `not_found` was looked for and isn't there."""

    sightings: list[Sighting]
    not_found: list[Observable]
    not_checked: list[str] = []
    citations: list[Citation] = []
    refused: list[Refusal] = []


HUNT = Method("hunt", HuntRequest, HuntResult, "Look for indicators in the logs of all hosts")
