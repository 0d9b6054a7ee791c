"""The literal index: from the texts of a view to the few rules worth evaluating.

Owns the automata, one for each field of a bucket. Refuses to know conditions: it is handed triggers and rule numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ahocorasick_rs

from services.siem.detections.engine.compiled import Node
from services.siem.detections.engine.facts import (
    REMEMBERED_NAMES,
    REMEMBERED_SHAPES,
    Facts,
    folded,
    places_of,
    scalar_texts,
)
from services.siem.detections.engine.leaves import Matcher
from services.siem.detections.engine.literals import GROUPS, Group, Trigger

Decide = Callable[[Node], Matcher]
"""A node -> the closure that decides it."""

# Values repeat (images, users, channels), so what a value fires is remembered: this many for each field, and only
# short ones, which bounds the memory whatever the events hold.
REMEMBERED_VALUES = 2048
REMEMBERED_CHARACTERS = 512
SLICE_CHARACTERS = 64 * 1024
# Up to so many literals are looked for one after another: an automaton takes ten times as long for the first.
FEW_LITERALS = 8


Plan = tuple[Mapping[str, str], Sequence[tuple[str, dict[str | int, int], Callable[[Any], int]]]]
"""Of a kind of view: where its fields are, and for each indexed one its name, what its values fired before, and how to
find out."""


class FieldIndex:
    """What the values of one field fire, as a set of bits.

    `test` decides a node that is more than its literal; it is asked once for each value that is remembered.
    """

    def __init__(self, field: str | None, triggers: Iterable[tuple[Trigger, int]], test: Decide | None = None) -> None:
        self._field = field
        self.present = 0
        self._exact: dict[str, int] = {}
        self._tested: list[tuple[Matcher, int]] = []
        found: dict[str, _Literal] = {}
        for trigger, bits in triggers:
            matcher = test(trigger.test) if test and trigger.test is not None else None
            if trigger.how == "present" and matcher is not None:
                self._tested.append((matcher, bits))
            elif trigger.how == "present":
                self.present |= bits
            elif trigger.how == "equals":
                self._exact[trigger.text] = self._exact.get(trigger.text, 0) | bits
            else:
                found.setdefault(trigger.text, _Literal()).add(trigger.how, bits, matcher)
        self._literals = list(found.values())
        self._texts = list(found)
        self._automaton = ahocorasick_rs.AhoCorasick(self._texts) if len(found) > FEW_LITERALS else None
        self._longest = max(map(len, found), default=0)
        self.remembered: dict[str | int, int] = {}

    def fired(self, value: Any) -> int:
        """The bits of the triggers that fire for a value of the field, those of its presence among them."""
        # The value as it came is the key: most events are decided without folding a single text. Texts and integers
        # never equal one another; anything else (True equals 1) is taken apart first.
        kind = type(value)
        if kind is str or kind is int:
            known = self.remembered.get(value)
            return known if known is not None else self._remember(value)
        bits = self.present
        for text in scalar_texts(value):
            bits |= self.fired(text)
        return bits

    def _remember(self, value: str | int) -> int:
        text = value if isinstance(value, str) else "".join(scalar_texts(value))
        if len(text) > REMEMBERED_CHARACTERS:
            # A test that nobody would remember is left to the rule.
            bits = self.present | self._found(folded(text))
            for _, unsure in self._tested:
                bits |= unsure
            return bits
        facts = Facts({str(self._field): text}, "")
        bits = self.present | self._found(folded(text), facts)
        for matcher, sure in self._tested:
            if not bits & sure and matcher(facts):
                bits |= sure
        if len(self.remembered) >= REMEMBERED_VALUES:
            self.remembered.clear()
        self.remembered[value] = bits
        return bits

    def fired_anywhere(self, facts: Facts) -> int:
        """As `fired`, by any value of an event, or its message where no field holds it."""
        # Most events have values that were never there before: one search in all of them takes less than one in each.
        return self.present | self._found(facts.joined())

    def _found(self, text: str, facts: Facts | None = None) -> int:
        """The bits of the literals in a folded text; with `facts` those that are more are tested."""
        bits = self._exact.get(text, 0) if self._exact else 0
        for number, at_start, at_end in self._places(text):
            bits |= self._literals[number].bits(at_start, at_end, facts)
        return bits

    def _places(self, text: str) -> Iterable[tuple[int, bool, bool]]:
        """Which literals occur: (number, at the very start, at the very end), each once however often it is there."""
        if self._automaton is None:
            return [
                (number, text.startswith(literal), text.endswith(literal))
                for number, literal in enumerate(self._texts)
                if literal in text
            ]
        end = len(text)
        places: set[tuple[int, bool, bool]] = set()
        # In slices, overlapping by a literal, because the automaton lists every single hit: a million backslashes
        # must not become millions of tuples.
        for offset in range(0, end, SLICE_CHARACTERS):
            first = max(0, offset - self._longest)
            hits = self._automaton.find_matches_as_indexes(text[first : offset + SLICE_CHARACTERS], overlapping=True)
            places.update((number, first + start == 0, first + stop == end) for number, start, stop in hits)
        return places


class _Literal:
    """The bits that a literal fires, by where it stands."""

    __slots__ = ("_anywhere", "_end", "_start", "_tested")

    def __init__(self) -> None:
        self._anywhere = self._start = self._end = 0
        self._tested: list[tuple[Matcher, int]] = []

    def add(self, how: str, bits: int, matcher: Matcher | None) -> None:
        if matcher is not None:
            self._tested.append((matcher, bits))
        elif how == "contains":
            self._anywhere |= bits
        elif how == "startswith":
            self._start |= bits
        else:
            self._end |= bits

    def bits(self, at_start: bool, at_end: bool, facts: Facts | None) -> int:
        bits = self._anywhere
        if at_start:
            bits |= self._start
        if at_end:
            bits |= self._end
        for matcher, tested in self._tested:
            if facts is None or matcher(facts):
                bits |= tested
        return bits


class Index:
    """All fields of one bucket. What must occur anywhere in an event is kept apart, for a search shared by buckets.

    Rule `n` of `count` has bit `n` for its first group of triggers, `count + n` for its second, and so on; a group it
    doesn't have has always fired.
    """

    def __init__(self, rules: Sequence[Sequence[Group]], test: Decide) -> None:
        self._count = len(rules)
        self._rules_bits = (1 << self._count) - 1
        self._always = 0
        self.keywords: list[tuple[Trigger, int]] = []
        by_field: dict[str, list[tuple[Trigger, int]]] = {}
        for number, groups in enumerate(rules):
            for place in range(GROUPS):
                bit = 1 << (number + place * self._count)
                if place >= len(groups):
                    self._always |= bit
                    continue
                for trigger in groups[place]:
                    if trigger.field is None:
                        self.keywords.append((trigger, number))
                    else:
                        by_field.setdefault(trigger.field, []).append((trigger, bit))
        self._fields = {field: FieldIndex(field, pairs, test) for field, pairs in by_field.items()}
        self._plans: dict[tuple[str, ...], Plan] = {}

    def candidates(self, facts: Facts) -> Iterable[int]:
        """The rules that may match, but for those of `keywords`."""
        given, bits = facts.given, self._always
        names = tuple(given)
        facts.places, indexed = self._plans.get(names) or self._plan(names)
        for name, known, ask in indexed:
            value = given[name]
            found = known.get(value) if type(value) is str else None
            bits |= ask(value) if found is None else found
        fired = bits & self._rules_bits
        for place in range(1, GROUPS):
            fired &= bits >> place * self._count
        return set_bits(fired) if fired else ()

    def _plan(self, names: tuple[str, ...]) -> Plan:
        places = places_of(names)
        indexes = [(name, self._fields[field]) for field, name in places.items() if field in self._fields]
        plan = places, [(name, index.remembered, index.fired) for name, index in indexes]
        if len(names) <= REMEMBERED_NAMES:
            if len(self._plans) >= REMEMBERED_SHAPES:
                self._plans.clear()
            self._plans[names] = plan
        return plan


def set_bits(bits: int) -> Iterator[int]:
    """The places of the bits that are set, the lowest first."""
    while bits:
        lowest = bits & -bits
        bits ^= lowest
        yield lowest.bit_length() - 1
