"""An alert as planning and reports see it, kept from when it was last told of; and which alerts belong together. Pure.

Nothing of it is asked for later: the same stored subjects give the same plan, also after a crash.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from shared.contracts.alerts import Alert
from shared.contracts.common import SEVERITIES, Observable, Severity

_MESSAGES = 5
_MESSAGE_LENGTH = 300
_OBSERVABLES = 50
_TECHNIQUES = 50
#: Which entity makes alerts one investigation's: the first that an alert has.
_GROUPED_BY = ("host", "user", "source_ip")
_KEY_LENGTH = 300


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What an investigation keeps of one alert. Texts may quote untrusted data."""

    id: str
    title: str = ""
    severity: Severity = "info"
    source: str = ""
    type: str = ""
    mitre_techniques: list[str] = []
    entities: dict[str, str] = {}
    observables: list[Observable] = []
    messages: list[str] = []
    count: int = 1
    first_seen: datetime | None = None
    last_seen: datetime | None = None


def subject_of(alert: Alert) -> Subject:
    """The subject of an alert, cut to what planning needs."""
    messages = [item.message for item in alert.evidence[:_MESSAGES] if item.message]
    return Subject(
        id=alert.id,
        title=alert.title,
        severity=alert.severity,
        source=alert.source,
        type=alert.type,
        mitre_techniques=alert.mitre_techniques[:_TECHNIQUES],
        entities=alert.entities,
        observables=alert.observables[:_OBSERVABLES],
        messages=[message[:_MESSAGE_LENGTH] for message in messages],
        count=alert.count,
        first_seen=alert.first_seen,
        last_seen=alert.last_seen,
    )


def severity_rank(severity: Severity) -> int:
    """0 for info to 4 for critical."""
    return SEVERITIES.index(severity)


def group_key(alert: Alert) -> str | None:
    """What alerts must share to be investigated together: the host, else the user, else the source address. None for
    an alert that names none of them: it stays alone."""
    for kind in _GROUPED_BY:
        if value := alert.entities.get(kind, "").strip().lower():
            return f"{kind}:{value}"[:_KEY_LENGTH]
    return None
