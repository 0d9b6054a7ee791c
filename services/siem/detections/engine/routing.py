"""Rules grouped by logsource, and the groups a kind of view is routed to.

Owns which rules are tried on a view and the indexes that narrow them down. Refuses to know how a rule is compiled or
an event came about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from services.siem.detections.engine.compiled import Node
from services.siem.detections.engine.costs import Sample
from services.siem.detections.engine.facts import Facts
from services.siem.detections.engine.index import Decide, FieldIndex, Index, set_bits
from services.siem.detections.engine.leaves import Matcher
from services.siem.detections.engine.literals import Group, Trigger, groups, literals

# A second group of more triggers than this would make the automata larger than it is worth.
MAX_MORE_TRIGGERS = 64

Rule = tuple[str, Matcher]
"""An id and the closure that decides."""


class Bucket:
    """The rules of exactly one logsource. Its index is built on the first event after a change."""

    def __init__(self, test: Decide) -> None:
        self._test = test
        self._rules: dict[str, tuple[Node, Matcher]] = {}
        self._index: Index | None = None
        self._numbered: list[Rule] = []

    def __len__(self) -> int:
        return len(self._rules)

    def put(self, rule_id: str, condition: Node, matcher: Matcher) -> None:
        """Add a rule, or replace the one with its id."""
        self._rules[rule_id] = condition, matcher
        self._index = None

    def drop(self, rule_id: str) -> None:
        """Remove a rule that is there."""
        del self._rules[rule_id]
        self._index = None

    def rules(self) -> Iterator[Rule]:
        """All of them."""
        return ((rule_id, matcher) for rule_id, (_, matcher) in self._rules.items())

    def candidates(self, facts: Facts) -> Iterator[Rule]:
        """Those that may match, without those a keyword must call."""
        return (self._numbered[number] for number in self._current().candidates(facts))

    def keywords(self) -> Iterator[tuple[Trigger, Rule]]:
        """What calls a rule by occurring anywhere in an event."""
        return ((trigger, self._numbered[number]) for trigger, number in self._current().keywords)

    def _current(self) -> Index:
        if self._index is None:
            self._numbered = list(self.rules())
            self._index = build_index([condition for condition, _ in self._rules.values()], self._test)
        return self._index


class Route:
    """The buckets that views of one kind are routed to. Their keywords are searched for together, once a view."""

    def __init__(self, buckets: list[Bucket], indexed: bool) -> None:
        self.buckets = buckets
        self._indexed = indexed
        self._keywords: FieldIndex | None = None
        self._called: list[Rule] = []
        self._version = -1

    def collect(self, facts: Facts, matched: set[str], version: int, sample: Sample | None = None) -> None:
        """Add the ids of the rules that match to `matched`; `version` changes with the rules, `sample` measures."""
        for bucket in self.buckets:
            for rule_id, matcher in bucket.candidates(facts) if self._indexed else bucket.rules():
                if matcher(facts) if sample is None else sample.decided(rule_id, matcher, facts):
                    matched.add(rule_id)
        if not self._indexed:
            return
        if version != self._version:
            self._gather(version)
        if self._keywords is not None:
            for number in set_bits(self._keywords.fired_anywhere(facts)):
                rule_id, matcher = self._called[number]
                if matcher(facts) if sample is None else sample.decided(rule_id, matcher, facts):
                    matched.add(rule_id)

    def _gather(self, version: int) -> None:
        pairs = [pair for bucket in self.buckets for pair in bucket.keywords()]
        self._called = list({rule_id: (rule_id, matcher) for _, (rule_id, matcher) in pairs}.values())
        numbers = {rule_id: number for number, (rule_id, _) in enumerate(self._called)}
        triggers = [(trigger, 1 << numbers[rule_id]) for trigger, (rule_id, _) in pairs]
        self._keywords = FieldIndex(None, triggers) if triggers else None
        self._version = version


def build_index(conditions: list[Node], test: Decide) -> Index:
    """The index over conditions, each known by its place in the list; `test` makes the closure of a node."""
    shared = Counter[Trigger]()
    for condition in conditions:
        shared.update(set(literals(condition)))
    return Index([_looked_at(groups(condition, shared)) for condition in conditions], test)


def _looked_at(found: list[Group]) -> list[Group]:
    """The first group as it is; of those behind it what costs nothing to look at."""
    if any(trigger.field is None for trigger in found[0]) if found else True:
        return found[:1]
    more = [group for group in found[1:] if len(group) <= MAX_MORE_TRIGGERS]
    plain = [tuple(trigger._replace(test=None) for trigger in group) for group in more]
    return found[:1] + [group for group in plain if all(trigger.field is not None for trigger in group)]
