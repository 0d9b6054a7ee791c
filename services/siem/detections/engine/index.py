"""The literal index: from the texts of a view to the few rules worth evaluating.

Owns the automata, one for each field of a bucket. Refuses to know conditions: it is handed triggers and rule numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ahocorasick_rs

from services.siem.detections.engine.facts import Facts, folded, scalar_texts
from services.siem.detections.engine.literals import Trigger

# Values repeat (images, users, channels), so what a value fires is remembered: this many for each field, and only
# short ones, which bounds the memory whatever the events hold.
REMEMBERED_VALUES = 2048
REMEMBERED_CHARACTERS = 512
SLICE_CHARACTERS = 64 * 1024


class FieldIndex:
    """What the values of one field fire. `present` are the rules that only need the field to be there."""

    def __init__(self, triggers: Iterable[tuple[Trigger, int]]) -> None:
        self._exact: dict[str, list[int]] = {}
        found: dict[str, list[tuple[str, int]]] = {}
        present: set[int] = set()
        for trigger, rule in triggers:
            if trigger.how == "present":
                present.add(rule)
            elif trigger.how == "equals":
                self._exact.setdefault(trigger.text, []).append(rule)
            else:
                found.setdefault(trigger.text, []).append((trigger.how, rule))
        self.present = frozenset(present)
        self._rules = list(found.values())
        self._automaton = ahocorasick_rs.AhoCorasick(list(found)) if found else None
        self._longest = max(map(len, found), default=0)
        self._remembered: dict[str | int, frozenset[int]] = {}

    def fired(self, value: Any) -> frozenset[int]:
        """The rules one of whose triggers occurs in a value of the field."""
        # The value as it came is the key: most events are decided without folding a single text. Texts and integers
        # never equal one another; anything else (True equals 1) is taken apart first.
        kind = type(value)
        if kind is not str and kind is not int:
            return frozenset().union(*(self.fired(text) for text in scalar_texts(value)))
        known = self._remembered.get(value)
        return known if known is not None else self._remember(value)

    def _remember(self, value: str | int) -> frozenset[int]:
        text = "".join(scalar_texts(value))
        rules = self.found(folded(text))
        if len(text) <= REMEMBERED_CHARACTERS:
            if len(self._remembered) >= REMEMBERED_VALUES:
                self._remembered.clear()
            self._remembered[value] = rules
        return rules

    def found(self, text: str) -> frozenset[int]:
        """As `fired`, for a folded text and without remembering it."""
        rules = set(self._exact.get(text, ()))
        for number, at_start, at_end in self._places(text):
            for how, rule in self._rules[number]:
                if how == "contains" or (at_start if how == "startswith" else at_end):
                    rules.add(rule)
        return frozenset(rules)

    def _places(self, text: str) -> set[tuple[int, bool, bool]]:
        """Which literals occur: (number, at the very start, at the very end), each once however often it is there."""
        places: set[tuple[int, bool, bool]] = set()
        if self._automaton is None:
            return places
        end = len(text)
        # In slices, overlapping by a literal, because the automaton lists every single hit: a million backslashes
        # must not become millions of tuples.
        for offset in range(0, end, SLICE_CHARACTERS):
            first = max(0, offset - self._longest)
            hits = self._automaton.find_matches_as_indexes(text[first : offset + SLICE_CHARACTERS], overlapping=True)
            places.update((number, first + start == 0, first + stop == end) for number, start, stop in hits)
        return places


class Index:
    """All fields of one bucket. What must occur anywhere in an event is kept apart, for a search shared by buckets."""

    def __init__(self, triggers: Iterable[tuple[Trigger, int]], always: Iterable[int]) -> None:
        by_field: dict[str | None, list[tuple[Trigger, int]]] = {}
        for trigger, rule in triggers:
            by_field.setdefault(trigger.field, []).append((trigger, rule))
        self.keywords = by_field.pop(None, [])
        self._always = frozenset(always)
        self._fields = {str(field): FieldIndex(pairs) for field, pairs in by_field.items()}

    def candidates(self, facts: Facts) -> set[int]:
        """The rules that may match, but for those of `keywords`."""
        rules = set(self._always)
        fields = facts.fields
        for field, index in self._fields.items():
            if field in fields:
                rules |= index.present
                rules |= index.fired(fields[field])
        return rules
