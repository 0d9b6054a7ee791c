"""What is known of the entries of one window while it moves, for each kind of correlation. No I/O, no clock."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from operator import eq, ge, gt, le, lt, ne
from typing import Protocol

from services.siem.detections.engine.compiled import AllSeen, AnySeen, Bound, Correlation, Formula, NotSeen
from services.siem.detections.engine.facts import number

_OPERATORS: dict[str, Callable[[float, float], bool]] = {"lt": lt, "lte": le, "gt": gt, "gte": ge, "eq": eq, "neq": ne}
NUMERIC = ("value_sum", "value_avg", "value_percentile", "value_median")


@dataclass(frozen=True, slots=True)
class Entry:
    """One match as a correlation counts it. `values` are those of its field, folded.

    `cited` once it was in a window that fired, `hit` once its own window, the one that ends with it, is a match.
    """

    reference: str
    log_id: str
    timestamp: datetime
    values: tuple[str, ...]
    cited: bool = False
    hit: bool = False


class Measure(Protocol):
    """What is known of the entries of one window while it moves."""

    def add(self, entry: Entry) -> None:
        """Takes an entry in; they come in the order of time."""

    def remove(self, entry: Entry) -> None:
        """Lets the oldest entry go."""

    def fires(self, start: datetime) -> bool:
        """Whether the window that begins at `start` fires."""


def measure_of(correlation: Correlation) -> Measure:
    """A measure of an empty window."""
    match correlation.kind:
        case "event_count":
            return _Distinct(correlation.bounds, lambda entry: (entry.log_id,))
        case "value_count":
            return _Distinct(correlation.bounds, lambda entry: entry.values)
        case "temporal":
            return _Seen(correlation)
        case "temporal_ordered":
            return _Ordered(correlation)
    return _Numbers(correlation)


def _holds(bounds: Iterable[Bound], amount: float) -> bool:
    return all(_OPERATORS[bound.operator](amount, bound.number) for bound in bounds)


class _Distinct:
    """How many different keys the entries have."""

    def __init__(self, bounds: tuple[Bound, ...], keys: Callable[[Entry], tuple[str, ...]]) -> None:
        self._bounds = bounds
        self._keys = keys
        self._counts: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        self._counts.update(self._keys(entry))

    def remove(self, entry: Entry) -> None:
        for key in self._keys(entry):
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def fires(self, _start: datetime) -> bool:
        return _holds(self._bounds, len(self._counts))


class _Seen:
    """Which of the rules matched, in any order."""

    def __init__(self, correlation: Correlation) -> None:
        self._bounds = correlation.bounds
        self._formula = correlation.formula
        self.counts: Counter[str] = Counter()

    def add(self, entry: Entry) -> None:
        self.counts[entry.reference] += 1

    def remove(self, entry: Entry) -> None:
        self.counts[entry.reference] -= 1

    def fires(self, _start: datetime) -> bool:
        if self._formula is not None:
            return _true(self._formula, self.counts)
        return _holds(self._bounds, sum(1 for count in self.counts.values() if count))


class _Ordered:
    """How many of the rules matched one after the other, in the order in which the correlation names them.

    `_latest[length][place]` is the latest beginning of a chain of that length that ends with the rule at `place`.
    """

    def __init__(self, correlation: Correlation) -> None:
        self._seen = _Seen(correlation)
        self._bounds = correlation.bounds
        self._formula = correlation.formula
        self._rules = correlation.rules
        self._places = {reference: place for place, reference in enumerate(correlation.rules)}
        self._latest: list[dict[int, datetime]] = [{} for _ in range(len(correlation.rules) + 1)]
        self._together: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self._seen.add(entry)
        if self._together and self._together[-1].timestamp != entry.timestamp:
            self._settle()
        self._together.append(entry)

    def remove(self, entry: Entry) -> None:
        self._seen.remove(entry)

    def fires(self, start: datetime) -> bool:
        self._settle()
        chained = [any(began >= start for began in ends.values()) for ends in self._latest]
        longest = max((length for length, there in enumerate(chained) if there), default=0)
        if self._formula is None:
            return _holds(self._bounds, longest)
        in_order = longest == sum(1 for count in self._seen.counts.values() if count)
        return in_order and _true(self._formula, self._seen.counts)

    def _settle(self) -> None:
        # Events of one moment have no order of their own, so they are taken in the order that the rule asks for.
        for entry in sorted(self._together, key=lambda entry: self._places[entry.reference]):
            self._chain(self._places[entry.reference], entry.timestamp)
        self._together.clear()

    def _chain(self, place: int, moment: datetime) -> None:
        for length in range(place + 1, 1, -1):
            begun = [began for end, began in self._latest[length - 1].items() if end < place]
            if begun:
                self._latest[length][place] = max(begun)
        self._latest[1][place] = moment


class _Numbers:
    """Sum, average, median or percentile of the values."""

    def __init__(self, correlation: Correlation) -> None:
        self._bounds = correlation.bounds
        self._kind = correlation.kind
        self._percent = 50 if correlation.kind == "value_median" else correlation.percentile or 0
        self._numbers: list[float] = []
        self._sum = 0.0

    def add(self, entry: Entry) -> None:
        for value in _numbers(entry):
            insort(self._numbers, value)
            self._sum += value

    def remove(self, entry: Entry) -> None:
        for value in _numbers(entry):
            del self._numbers[bisect_left(self._numbers, value)]
            # A sum of nothing is nothing, whatever rounding left behind.
            self._sum = self._sum - value if self._numbers else 0.0

    def fires(self, _start: datetime) -> bool:
        if not self._numbers:
            return False
        match self._kind:
            case "value_sum":
                amount = self._sum
            case "value_avg":
                amount = self._sum / len(self._numbers)
            case _:
                amount = percentile(self._numbers, self._percent)
        return _holds(self._bounds, amount)


def _numbers(entry: Entry) -> list[float]:
    return [value for text in entry.values if (value := to_number(text)) is not None]


def to_number(text: str) -> float | None:
    value = number(text)
    return value if value is not None and isfinite(value) else None


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The percentile of sorted numbers, between neighbours in proportion to their distance."""
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _true(formula: Formula, seen: Counter[str]) -> bool:
    match formula:
        case AllSeen():
            return all(_true(item, seen) for item in formula.items)
        case AnySeen():
            return any(_true(item, seen) for item in formula.items)
        case NotSeen():
            return not _true(formula.item, seen)
        case str():
            return seen[formula] > 0
