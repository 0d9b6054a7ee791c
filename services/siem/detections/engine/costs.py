"""What evaluation costs, and which rule takes how much of it: measured on every so many events.

Owns the figures. A rule's own time is that of trying it where its triggers fire; who asks first for a folded text or a
test that rules share pays for it. Finding out which rules to try is the work of all together, and in the total only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter

from services.siem.detections.engine.facts import Facts
from services.siem.detections.engine.leaves import Matcher

#: One event of so many is measured; a prime, so that what comes in rounds doesn't hide.
MEASURED_EVERY = 61
#: Fewer measured events say nothing.
MIN_EVENTS = 10


@dataclass(slots=True)
class Sample:
    """Measured events, the seconds they took in all, and of that the seconds of each rule that was tried."""

    events: int = 0
    seconds: float = 0.0
    rules: dict[str, float] = field(default_factory=dict)

    def decided(self, rule_id: str, matcher: Matcher, facts: Facts) -> bool:
        """What the matcher says, with its time put down to the rule."""
        began = perf_counter()
        found = matcher(facts)
        self.rules[rule_id] = self.rules.get(rule_id, 0.0) + perf_counter() - began
        return found


class Costs:
    """Samples of several engines together, for the rules that are served now."""

    def __init__(self) -> None:
        self._events = 0
        self._seconds = 0.0
        self._rules: dict[str, float] = {}
        self._since: dict[str, int] = {}

    def add(self, sample: Sample) -> None:
        """Counts a sample; rules that aren't served any more are left out."""
        self._events += sample.events
        self._seconds += sample.seconds
        for rule_id, seconds in sample.rules.items():
            if rule_id in self._since:
                self._rules[rule_id] = self._rules.get(rule_id, 0.0) + seconds

    def begin(self, rule_id: str) -> None:
        """A rule is new, or another text: what it cost before says nothing of it."""
        self.end(rule_id)
        self._since[rule_id] = self._events

    def end(self, rule_id: str) -> None:
        """A rule isn't served any more; an unknown id is no error."""
        self._since.pop(rule_id, None)
        self._rules.pop(rule_id, None)

    def total(self) -> float | None:
        """Microseconds an event, of all rules and the search for those to try; None until enough was measured."""
        return self._seconds / self._events * 1e6 if self._events >= MIN_EVENTS else None

    def of(self, rule_ids: Iterable[str]) -> dict[str, float]:
        """Microseconds an event of each rule's own, 0 for one that never had to be tried; without those that aren't
        served, or not for long enough."""
        measured = {rule_id: self._events - self._since[rule_id] for rule_id in rule_ids if rule_id in self._since}
        return {
            rule_id: self._rules.get(rule_id, 0.0) / events * 1e6
            for rule_id, events in measured.items()
            if events >= MIN_EVENTS
        }
