"""Nodes -> closures that decide one view: boolean structure, sharing and remembering.

Owns evaluation of whole conditions. Refuses to know which rules to try: that is the index's work. Equal nodes of
different rules share one closure, and a dear one is decided once a view.
"""

from __future__ import annotations

from weakref import WeakValueDictionary

from services.siem.detections.engine.compiled import AllOf, AnyOf, Cidr, Glob, Node, Not, Regex, Text
from services.siem.detections.engine.facts import Facts
from services.siem.detections.engine.leaves import Matcher, leaf

# A text test over this many values costs more than remembering its answer.
REMEMBER_VALUES = 4


class Matchers:
    """node -> matcher, one for all equal nodes; forgotten with the last rule that holds it."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[Node, Matcher] = WeakValueDictionary()

    def matcher(self, node: Node) -> Matcher:
        """The closure that says whether the node is true of a view."""
        known = self._known.get(node)
        if known is None:
            known = self._build(node)
            if _is_dear(node):
                known = _remembered(known)
            self._known[node] = known
        return known

    def _build(self, node: Node) -> Matcher:
        match node:
            case AllOf():
                return _every([self.matcher(item) for item in sorted(node.items, key=_cost)])
            case AnyOf():
                return _some([self.matcher(item) for item in sorted(node.items, key=_cost)])
            case Not():
                inner = self.matcher(node.item)
                return lambda facts: not inner(facts)
        return leaf(node)


def _cost(node: Node) -> int:
    """A rough order of price, so that cheap tests decide first."""
    match node:
        case AllOf() | AnyOf():
            return 10 + sum(_cost(item) for item in node.items)
        case Not():
            return 20 + _cost(node.item)
        case Text():
            return (1 if node.how != "contains" else len(node.values)) + (100 if node.field is None else 0)
        case Glob():
            return 30 + (100 if node.field is None else 0)
        case Regex():
            return 300
    return 5


def _is_dear(node: Node) -> bool:
    match node:
        case Text():
            return node.field is None or (node.how == "contains" and len(node.values) >= REMEMBER_VALUES)
        case Regex() | Glob() | Cidr():
            return True
    return False


def _remembered(test: Matcher) -> Matcher:
    def remembered(facts: Facts) -> bool:
        decided = facts.decided.get(test)
        if decided is None:
            decided = facts.decided[test] = test(facts)
        return decided

    return remembered


def _every(tests: list[Matcher]) -> Matcher:
    def every(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110 -- a generator would cost more than the tests it wraps
            if not test(facts):
                return False
        return True

    return every


def _some(tests: list[Matcher]) -> Matcher:
    def some(facts: Facts) -> bool:
        for test in tests:  # noqa: SIM110 -- as above
            if test(facts):
                return True
        return False

    return some
