"""What evaluation hands to whoever decides on alerts: one rule that matched one stored event.

A match knows enough of its event for an alert, a suppression and a correlation to be decided without reading it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """One (rule, event) pair.

    `timestamp` is the event's time, aware UTC. `ecs` is flat ECS, `fields` are those of the view that matched, under
    the names Sigma rules use. `trace` has the ids of the request that brought the event, empty once it was read again.
    """

    rule_id: str
    log_id: str
    timestamp: datetime
    ingested_at: datetime
    source: str
    message: str
    ecs: dict[str, Any]
    fields: dict[str, Any]
    trace: dict[str, str] = {}


class Failure(msgspec.Struct, frozen=True):
    """An event that no rule could be evaluated over; `reason` names the kind of failure."""

    log_id: str
    timestamp: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What evaluating some events gave. `version` counts the changes of rules that had been taken over by then."""

    matches: list[Match]
    failures: list[Failure]
    version: int
