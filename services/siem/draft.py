"""What detection hands to alerts: an alert to raise, or to count on the open alert of the same identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.contracts.alerts import AlertEvidence
from shared.contracts.common import Observable, Severity

#: An alert keeps this much evidence and this many observables; what comes after is counted, not listed.
MAX_EVIDENCE = 100
MAX_OBSERVABLES = 200


@dataclass(slots=True)
class Draft:
    """An alert to raise, or to count on the open alert of the same identity.

    `source_ref` None makes it its own identity. `count` is how many events it stands for. `trace` has the ids of the
    request that brought the first of them.
    """

    title: str
    description: str
    severity: Severity
    source: str
    type: str
    source_ref: str | None
    rule_id: str | None
    first_seen: datetime
    last_seen: datetime
    count: int = 1
    mitre_techniques: list[str] = field(default_factory=list)
    observables: list[Observable] = field(default_factory=list)
    entities: dict[str, str] = field(default_factory=dict)
    evidence: list[AlertEvidence] = field(default_factory=list)
    trace: Mapping[str, str] = field(default_factory=dict)
