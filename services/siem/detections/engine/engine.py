"""The engine: which rules match an event.

Owns the set of rules served and the way from an event's views to them. Refuses to know YAML, storage and the time of
day; it keeps nothing of an event but bounded caches.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from time import perf_counter

from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.costs import MEASURED_EVERY, Sample
from services.siem.detections.engine.facts import Facts
from services.siem.detections.engine.matcher import Matchers
from services.siem.detections.engine.routing import Bucket, Route
from services.siem.event import Event, View

# A log's channel may be any text, so the remembered kinds of view are bounded.
REMEMBERED_VIEWS = 1024

LogSource = tuple[str | None, str | None, str | None]
"""Product, category and service, None where a rule leaves one open."""


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
        self._routes: dict[tuple[LogSource, ...], Route] = {}
        self._views: dict[tuple[str | None, str | None, tuple[str, ...]], Route] = {}
        self._version = 0
        self._unmeasured = 0
        self._sample = Sample()
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
        if place not in self._buckets:
            self._buckets[place] = Bucket(self._matchers.matcher)
            self._forget_routes()
        self._buckets[place].put(rule.id, rule.condition, self._matchers.matcher(rule.condition))
        self._places[rule.id] = place
        self._version += 1

    def remove(self, rule_id: str) -> None:
        """Stop serving a rule; an unknown id is no error."""
        place = self._places.pop(rule_id, None)
        if place is None:
            return
        bucket = self._buckets[place]
        bucket.drop(rule_id)
        self._version += 1
        if not bucket:
            del self._buckets[place]
            self._forget_routes()

    def evaluate(self, event: Event) -> list[str]:
        """The ids of the rules that match any view of the event, sorted, each once. Never raises."""
        return sorted(self.matches(event))

    def matches(self, event: Event) -> dict[str, View]:
        """The rules that match: id -> the first view of the event that the rule matched. Never raises."""
        self._unmeasured += 1
        if self._unmeasured < MEASURED_EVERY:
            return self._matches(event, None)
        self._unmeasured = 0
        began = perf_counter()
        found = self._matches(event, self._sample)
        self._sample.seconds += perf_counter() - began
        self._sample.events += 1
        return found

    def measured(self) -> Sample | None:
        """What was measured since the last call; None when nothing was."""
        sample, self._sample = self._sample, Sample()
        return sample if sample.events else None

    def _matches(self, event: Event, sample: Sample | None) -> dict[str, View]:
        found: dict[str, View] = {}
        for view in event.views:
            route = self._views.get((view.product, view.category, view.services)) or self._route(view)
            if route.buckets:
                matched: set[str] = set()
                route.collect(Facts(view.fields, event.message), matched, self._version, sample)
                for rule_id in sorted(matched):
                    found.setdefault(rule_id, view)
        return found

    def _route(self, view: View) -> Route:
        products = {None, view.product and view.product.lower()}
        categories = {None, view.category and view.category.lower()}
        services = {None, *(service.lower() for service in view.services)}
        places = [place for place in product(products, categories, services) if place in self._buckets]
        # Views that reach the same buckets share a route, whatever names their log sources have.
        key = tuple(sorted(places, key=str))
        route = self._routes.get(key)
        if route is None:
            route = self._routes[key] = Route([self._buckets[place] for place in key], self._indexed)
        if len(self._views) >= REMEMBERED_VIEWS:
            self._views.clear()
        self._views[view.product, view.category, view.services] = route
        return route

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._views.clear()
