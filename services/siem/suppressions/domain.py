"""When a suppression hides a match. No I/O, no clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.siem.detections.engine.facts import scalar_texts
from services.siem.match import Match
from shared.contracts.suppressions import Suppression, SuppressionState

_PIECES = re.compile(r"\\[*\\]|\*")


def state(ended_at: datetime | None, expires_at: datetime | None, now: datetime) -> SuppressionState:
    """Whether it still hides anything."""
    if ended_at is not None:
        return "ended"
    return "expired" if expires_at is not None and expires_at <= now else "active"


def of_group(rule_id: str, log_id: str, timestamp: datetime, group: Mapping[str, str]) -> Match:
    """A recorded match of a correlation, as far as it can be hidden: by its time and its group."""
    return Match(
        rule_id=rule_id,
        log_id=log_id,
        timestamp=timestamp,
        ingested_at=timestamp,
        source="",
        message="",
        ecs={},
        fields=dict(group),
    )


class Filter:
    """The conditions of one suppression, prepared: every field has a value that one of its patterns fits."""

    def __init__(
        self, fields: Mapping[str, Sequence[str]], active_from: datetime | None, active_to: datetime | None
    ) -> None:
        self._fields = {name.lower(): [pieces(pattern) for pattern in patterns] for name, patterns in fields.items()}
        self._from = active_from
        self._to = active_to

    @classmethod
    def of(cls, suppression: Suppression) -> Filter:
        """That of a stored suppression."""
        return cls(suppression.fields, suppression.active_from, suppression.active_to)

    def hides(self, match: Match) -> bool:
        """Whether it fits, by the event's time and its fields under their ECS or their Sigma names."""
        if self._from is not None and match.timestamp < self._from:
            return False
        if self._to is not None and match.timestamp >= self._to:
            return False
        return all(self._fits(match, name, patterns) for name, patterns in self._fields.items())

    def _fits(self, match: Match, name: str, patterns: list[tuple[str, ...]]) -> bool:
        return any(
            fits(pattern, text.casefold())
            for fields in (match.ecs, match.fields)
            for text in _texts(fields, name)
            for pattern in patterns
        )


def _texts(fields: Mapping[str, Any], name: str) -> Sequence[str]:
    value = fields.get(name)
    if value is not None:
        return tuple(scalar_texts(value))
    # Sigma's names have capitals, and a rule may write them in any way.
    return tuple(text for key, value in fields.items() if key.lower() == name for text in scalar_texts(value))


def pieces(pattern: str) -> tuple[str, ...]:
    """The folded literal texts between the wildcards; one piece means an exact value."""
    found = [""]
    last = 0
    for match in _PIECES.finditer(pattern):
        found[-1] += pattern[last : match.start()]
        if match.group() == "*":
            found.append("")
        else:
            found[-1] += match.group()[1]
        last = match.end()
    found[-1] += pattern[last:]
    return tuple(piece.casefold() for piece in found)


def fits(pattern: tuple[str, ...], text: str) -> bool:
    """Whether a folded text is the pattern's pieces with any text between them; in time linear in both."""
    first, *middle = pattern
    if not middle:
        return text == first
    last = middle.pop()
    if not text.startswith(first) or len(text) < len(first) + len(last):
        return False
    place = len(first)
    for piece in middle:
        found = text.find(piece, place)
        if found < 0:
            return False
        place = found + len(piece)
    return text.endswith(last) and len(text) - len(last) >= place
