"""The engine: which rules match an event.

Owns logsource routing and the buckets that are rebuilt when a rule comes or goes. Refuses to know YAML, storage and
time; it keeps nothing of an event but bounded caches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product

from services.siem.detections.engine.compiled import CompiledRule, Node
from services.siem.detections.engine.facts import Facts
from services.siem.detections.engine.index import Index
from services.siem.detections.engine.leaves import Matcher
from services.siem.detections.engine.literals import Trigger, best_group, literals
from services.siem.detections.engine.matcher import Matchers
from services.siem.event import Event, View

# A log's channel may be any text, so the remembered routes are bounded.
REMEMBERED_ROUTES = 1024

LogSource = tuple[str | None, str | None, str | None]
"""Product, category and service, None where a rule leaves one open."""


class Bucket:
    """The rules of exactly one logsource. Its index is built on the first event after a change."""

    def __init__(self, indexed: bool) -> None:
        self._rules: dict[str, tuple[Node, Matcher]] = {}
        self._indexed = indexed
        self._index: Index | None = None
        self._numbered: list[tuple[str, Matcher]] = []

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

    def collect(self, facts: Facts, matched: set[str]) -> None:
        """Add the ids of the rules that match to `matched`."""
        if not self._indexed:
            matched.update(rule_id for rule_id, (_, matcher) in self._rules.items() if matcher(facts))
            return
        if self._index is None:
            self._index = build_index([condition for condition, _ in self._rules.values()])
            self._numbered = [(rule_id, matcher) for rule_id, (_, matcher) in self._rules.items()]
        for number in self._index.candidates(facts):
            rule_id, matcher = self._numbered[number]
            if matcher(facts):
                matched.add(rule_id)


def build_index(conditions: list[Node]) -> Index:
    """The index over conditions, each known by its place in the list."""
    shared = Counter[Trigger]()
    for condition in conditions:
        shared.update(set(literals(condition)))
    triggers: list[tuple[Trigger, int]] = []
    always: list[int] = []
    for number, condition in enumerate(conditions):
        group = best_group(condition, shared)
        if group is None:
            always.append(number)
        else:
            triggers.extend((trigger, number) for trigger in group)
    return Index(triggers, always)


class Engine:
    """Evaluates events against a changing set of rules.

    `index=False` tries every rule routed to a view: the same answers, slower; it is what the index is tested against.
    Not safe for concurrent use from several threads.
    """

    def __init__(self, rules: Iterable[CompiledRule] = (), *, index: bool = True) -> None:
        self._indexed = index
        self._matchers = Matchers()
        self._buckets: dict[LogSource, Bucket] = {}
        self._places: dict[str, LogSource] = {}
        self._routes: dict[tuple[str | None, str | None, tuple[str, ...]], list[Bucket]] = {}
        for rule in rules:
            self.add(rule)

    def __len__(self) -> int:
        """How many rules are served."""
        return len(self._places)

    def add(self, rule: CompiledRule) -> None:
        """Serve a rule, in place of one with the same id. One with a problem is not served."""
        self.remove(rule.id)
        if rule.condition is None:
            return
        place = (rule.product, rule.category, rule.service)
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = Bucket(self._indexed)
            self._routes.clear()
        bucket.put(rule.id, rule.condition, self._matchers.matcher(rule.condition))
        self._places[rule.id] = place

    def remove(self, rule_id: str) -> None:
        """Stop serving a rule; an unknown id is no error."""
        place = self._places.pop(rule_id, None)
        if place is None:
            return
        bucket = self._buckets[place]
        bucket.drop(rule_id)
        if not bucket:
            del self._buckets[place]
            self._routes.clear()

    def evaluate(self, event: Event) -> list[str]:
        """The ids of the rules that match any view of the event, sorted, each once. Never raises."""
        matched: set[str] = set()
        for view in event.views:
            buckets = self._routed(view)
            if buckets:
                facts = Facts(view.fields, event.message)
                for bucket in buckets:
                    bucket.collect(facts, matched)
        return sorted(matched)

    def _routed(self, view: View) -> list[Bucket]:
        source = (view.product, view.category, view.services)
        routes = self._routes.get(source)
        if routes is None:
            if len(self._routes) >= REMEMBERED_ROUTES:
                self._routes.clear()
            routes = self._routes[source] = self._route(view)
        return routes

    def _route(self, view: View) -> list[Bucket]:
        products = {None, view.product and view.product.lower()}
        categories = {None, view.category and view.category.lower()}
        services = {None, *(service.lower() for service in view.services)}
        places = product(products, categories, services)
        return [bucket for place in places if (bucket := self._buckets.get(place)) is not None]
