"""Which alerts a round looks at, and which rounds count: so that what an investigation concludes follows from its
alerts and not from when they came. Pure: knows no specialist and no store.

Alerts have one order, by what they say themselves. While some of them wait for a first look they are looked at as they
come; at rest each part of eleven, in that order, has been looked at together. A look takes the place of earlier ones at
the same alerts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.orchestrator.investigations.rounds import Round
from services.orchestrator.investigations.subject import Subject, severity_rank

#: As many alerts as one specialist reads: the worst and ten others (services/agents/toolkit/evidence.py).
AT_ONCE = 11
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Held:
    """An alert of an investigation, and the last round that looked at it."""

    subject: Subject
    round: int | None


def ordered(subjects: Sequence[Subject]) -> list[Subject]:
    """The worst first, then the earliest. Ids, which say when an alert came, only decide between equals."""
    return sorted(subjects, key=_key)


def next_look(alerts: Sequence[Held], *, last: bool = False) -> list[str]:
    """The alerts that the next round is about; empty when nothing is left to look at.

    First those that no round looked at, as many as fit one look (all of them in the `last` round); then each part of
    what is there that wasn't looked at together, or not in the order of the parts."""
    known = sorted(alerts, key=lambda alert: _key(alert.subject))
    waiting = [alert.subject.id for alert in known if alert.round is None]
    if waiting and len(known) > AT_ONCE:
        return waiting if last else waiting[:AT_ONCE]
    before = 0
    for start in range(0, len(known), AT_ONCE):
        part = known[start : start + AT_ONCE]
        number = part[0].round
        if number is None or number <= before or [alert for alert in known if alert.round == number] != part:
            return [alert.subject.id for alert in part]
        before = number
    return []


def standing(known: Sequence[Round]) -> list[Round]:
    """The rounds that count: those that are the last to look at one of their alerts. Where a specialist gave no answer
    in a later look, what it said before counts too."""
    #: alert -> who was silent in later looks at it
    again: dict[str, set[str]] = {}
    kept: list[Round] = []
    for item in reversed(known):
        later = [again.get(alert) for alert in item.alerts]
        if not later or any(silent is None or silent.intersection(item.assessments) for silent in later):
            kept.append(item)
        for alert in item.alerts if item.assessments else ():
            again.setdefault(alert, set()).update(item.failures)
    return kept[::-1]


def _key(subject: Subject) -> tuple[int, datetime, str, str, str, str]:
    seen = subject.first_seen or _NEVER
    return (-severity_rank(subject.severity), seen, subject.title, subject.source, subject.type, subject.id)
