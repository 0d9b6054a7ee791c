"""When matches counted together become an alert: groups, values and windows in event time. No I/O, no clock.

A window ends at an event and reaches back over the correlation's timespan, both ends included. So the answer depends
on when events happened and not on when they came, and a late event completes the windows it belongs to.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import groupby
from math import isfinite
from operator import eq, ge, gt, le, lt, ne
from typing import Protocol

from services.siem.detections.engine.compiled import (
    AllSeen,
    AnySeen,
    Bound,
    CompiledRule,
    Correlation,
    Formula,
    NotSeen,
)
from services.siem.detections.engine.facts import encodable, folded, number, scalar_texts
from services.siem.match import Match

_OPERATORS: dict[str, Callable[[float, float], bool]] = {"lt": lt, "lte": le, "gt": gt, "gte": ge, "eq": eq, "neq": ne}
_NUMERIC = ("value_sum", "value_avg", "value_percentile", "value_median")
_VALUE_LENGTH = 256
_MAX_VALUES = 64
_REFERENCE_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """One match as a correlation counts it. `values` are those of its field, folded; `cited` once an alert has it."""

    reference: str
    log_id: str
    timestamp: datetime
    values: tuple[str, ...]
    cited: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What the windows of a group came to: the entries to cite now, and the ends of the windows that brought them.

    With each end goes whether it begins a run of windows: one that shares no entry with what was cited before.
    """

    entries: list[Entry]
    fired: list[tuple[datetime, bool]]


def group_of(correlation: Correlation, names: Iterable[str], match: Match) -> tuple[str, ...] | None:
    """The values of the group-by fields; None when the event lacks one: it belongs to no group."""
    called = set(names)
    values = [_texts(match, _field(correlation, called, field)) for field in correlation.group_by]
    return tuple(", ".join(texts)[:_VALUE_LENGTH] for texts in values) if all(values) else None


def values_of(correlation: Correlation, names: Iterable[str], match: Match) -> tuple[str, ...] | None:
    """What the correlation counts of this event; None when the event has no such value and so doesn't count."""
    if not correlation.fields:
        return ()
    called = set(names)
    texts = [_texts(match, _field(correlation, called, field)) for field in correlation.fields]
    if not all(texts):
        return None
    found = texts[0] if len(texts) == 1 else ["\x1f".join(", ".join(part) for part in texts)]
    if correlation.kind in _NUMERIC:
        found = [text for text in found if _number(text) is not None]
    return tuple(plain(folded(text))[:_VALUE_LENGTH] for text in found[:_MAX_VALUES]) or None


def plain(text: str) -> str:
    """The text as the store takes it: valid UTF-8 without U+0000."""
    return encodable(text).replace("\x00", "\ufffd")


def group_key(group: Sequence[str]) -> str:
    """What a group is stored under: the same for values that differ in case only."""
    return sha256("\x1f".join(folded(value) for value in group).encode()).hexdigest()


def identity(rule: CompiledRule, group: Sequence[str]) -> str:
    """The source_ref of the alert of a group: the rule and the group's values, or their hash where they are long."""
    shown = plain(f"{rule.id}:{', '.join(folded(value) for value in group)}")
    return shown if len(shown) <= _REFERENCE_LENGTH else f"{rule.id}:{group_key(group)}"


def _field(correlation: Correlation, names: set[str], field: str) -> str:
    """The field that an alias stands for in events of a rule with one of `names`; the field itself otherwise."""
    for alias, mapping in correlation.aliases:
        if alias == field:
            return next((actual for reference, actual in mapping if reference in names), field)
    return field


def _texts(match: Match, field: str) -> list[str]:
    wanted = field.lower()
    for fields in (match.fields, match.ecs):
        for name, value in fields.items():
            if name.lower() == wanted:
                return [text for text in scalar_texts(value) if text]
    return []


def windows(correlation: Correlation, entries: Sequence[Entry], since: datetime) -> Found:
    """The windows that end at or after `since` and fire. `entries` are one group's, in the order of time."""
    span = timedelta(seconds=correlation.seconds)
    measure = _measure(correlation)
    ordered = sorted(entries, key=lambda entry: entry.timestamp)
    found: list[Entry] = []
    fired: list[tuple[datetime, bool]] = []
    # Places in `ordered`: the window is [left, right), what was looked at ends before `looked`, `known` is the last
    # that some alert cites, or will.
    left = right = looked = 0
    known = -1
    for end, together in groupby(ordered, key=lambda entry: entry.timestamp):
        for entry in together:
            measure.add(entry)
            known = right if entry.cited else known
            right += 1
        while ordered[left].timestamp < end - span:
            measure.remove(ordered[left])
            left += 1
        if end < since or not measure.fires(end - span):
            continue
        fresh = [entry for entry in ordered[max(left, looked) : right] if not entry.cited]
        looked = right
        if fresh:
            fired.append((end, known < left))
        found += fresh
        known = right - 1
    return Found(found, fired)


class Measure(Protocol):
    """What is known of the entries of one window while it moves."""

    def add(self, entry: Entry) -> None:
        """Takes an entry in; they come in the order of time."""

    def remove(self, entry: Entry) -> None:
        """Lets the oldest entry go."""

    def fires(self, start: datetime) -> bool:
        """Whether the window that begins at `start` fires."""


def _measure(correlation: Correlation) -> Measure:
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
    return [value for text in entry.values if (value := _number(text)) is not None]


def _number(text: str) -> float | None:
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
