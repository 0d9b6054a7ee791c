"""When matches counted together become an alert: groups, values and windows in event time. No I/O, no clock.

A condition that more events can only fulfil is read of sliding windows: one ends at an event and reaches back over the
correlation's timespan, both ends included. So the answer depends on when events happened and not on when they came,
and a late event completes the windows it belongs to. A condition that more events can undo is read once, of windows
that nothing is expected for any more: stretches of the timespan, one after the other since 1970, for counts and
numbers; sliding windows, a stretch of them at a time, for temporal kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import groupby

from services.siem.correlations.measures import NUMERIC, Entry, measure_of, to_number
from services.siem.detections.engine.compiled import AllSeen, AnySeen, CompiledRule, Correlation, Formula
from services.siem.detections.engine.correlation import TEMPORAL
from services.siem.detections.engine.facts import encodable, folded, scalar_texts
from services.siem.match import Match

_GROWING = ("gt", "gte")
_COMPUTED = ("value_avg", "value_percentile", "value_median")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The least difference between two times.
TICK = timedelta(microseconds=1)
_VALUE_LENGTH = 256
_MAX_VALUES = 64
_REFERENCE_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Window:
    """A window that fires, by places in `Found.entries`: it holds [left, right).

    `begins` says that it starts a run of windows: it shares no entry with one that fired before. `news` are the events
    at its end, by their log ids, that are no match of the correlation yet.
    """

    left: int
    right: int
    begins: bool
    news: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A group's entries in the order of time, and the windows among them that fire, in the order of their ends."""

    entries: Sequence[Entry]
    windows: Sequence[Window]

    def end(self, window: Window) -> datetime:
        """The time of its last event."""
        return self.entries[window.right - 1].timestamp

    def uncited(self, windows: Iterable[Window]) -> list[Entry]:
        """The entries of windows that were in none that fired before, each once, in the order of time."""
        found: list[Entry] = []
        looked = 0
        for window in windows:
            found += [entry for entry in self.entries[max(window.left, looked) : window.right] if not entry.cited]
            looked = max(looked, window.right)
        return found


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
    if correlation.kind in NUMERIC:
        found = [text for text in found if to_number(text) is not None]
    return tuple(plain(folded(text))[:_VALUE_LENGTH] for text in found[:_MAX_VALUES]) or None


def group_fields(correlation: Correlation, group: Sequence[str]) -> dict[str, str]:
    """The values of a group under the names that the correlation groups by."""
    return dict(zip(correlation.group_by, map(plain, group), strict=True))


def fields_for(above: Iterable[Correlation], match: Match) -> dict[str, list[str]]:
    """What correlations look at in a match, by the fields' names."""
    names = {name for of in above for name in (*of.group_by, *of.fields)}
    names |= {actual for of in above for _, mapping in of.aliases for _, actual in mapping}
    found = {name: [plain(text) for text in _texts(match, name)[:_MAX_VALUES]] for name in sorted(names)}
    return {name: texts for name, texts in found.items() if texts}


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


def settles(correlation: Correlation) -> bool:
    """Whether more events can undo what the condition says, so that it is read of windows that are complete."""
    if correlation.formula is None:
        return correlation.kind in _COMPUTED or any(bound.operator not in _GROWING for bound in correlation.bounds)
    if correlation.kind == "temporal_ordered":
        # What matched beside the rules that suffice may break their order.
        return not _wants_all(correlation.formula, correlation.rules)
    return not _grows(correlation.formula)


def _wants_all(formula: Formula, rules: Sequence[str]) -> bool:
    items = formula.items if isinstance(formula, AllSeen) else (formula,)
    return set(items) == set(rules)


def _grows(formula: Formula) -> bool:
    if isinstance(formula, AllSeen | AnySeen):
        return all(_grows(item) for item in formula.items)
    return isinstance(formula, str)


def stretch_end(correlation: Correlation, moment: datetime) -> datetime:
    """Where the stretch ends that a time lies in: the first moment that isn't of it."""
    span = timedelta(seconds=correlation.seconds)
    return _EPOCH + ((moment - _EPOCH) // span + 1) * span


def reach(correlation: Correlation, end: datetime) -> tuple[datetime, datetime]:
    """The first and the last moment of what has to be known to read the stretch that ends before `end`."""
    spans = 2 if correlation.kind in TEMPORAL else 1
    return end - timedelta(seconds=spans * correlation.seconds), end - TICK


def complete(correlation: Correlation, entries: Sequence[Entry], end: datetime) -> Found:
    """The windows of a stretch that is complete, of entries within its `reach`."""
    if correlation.kind in TEMPORAL:
        return windows(correlation, entries, end - timedelta(seconds=correlation.seconds))
    ordered = _in_order(entries)
    measure = measure_of(correlation)
    for entry in ordered:
        measure.add(entry)
    if not ordered or not measure.fires(ordered[0].timestamp):
        return Found(ordered, [])
    begins = not any(entry.cited for entry in ordered)
    # One match for a stretch: what it ended with when it fired may not be its last event any more.
    news = () if any(entry.hit for entry in ordered) else (ordered[-1].log_id,)
    return Found(ordered, [Window(0, len(ordered), begins, news)])


def windows(correlation: Correlation, entries: Sequence[Entry], since: datetime) -> Found:
    """The sliding windows that end at or after `since` and fire. `entries` are one group's."""
    span = timedelta(seconds=correlation.seconds)
    measure = measure_of(correlation)
    ordered = _in_order(entries)
    found: list[Window] = []
    left = right = 0
    # The last that was in a window that fired, as far as is known.
    known = -1
    for end, together in groupby(ordered, key=lambda entry: entry.timestamp):
        last = right
        for entry in together:
            measure.add(entry)
            known = right if entry.cited else known
            right += 1
        while ordered[left].timestamp < end - span:
            measure.remove(ordered[left])
            left += 1
        if end >= since and measure.fires(end - span):
            found.append(Window(left, right, known < left, _news(ordered[last:right])))
            known = right - 1
    return Found(ordered, found)


def _news(ending: Sequence[Entry]) -> tuple[str, ...]:
    recorded = {entry.log_id for entry in ending if entry.hit}
    return tuple(dict.fromkeys(entry.log_id for entry in ending if entry.log_id not in recorded))


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.timestamp, entry.log_id, entry.reference))
