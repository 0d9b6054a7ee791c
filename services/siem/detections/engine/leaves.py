"""Leaf nodes -> closures: one test of one field.

Owns how a value is compared. Refuses to know boolean structure, rules and the index.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from services.siem.detections.engine.compiled import Cidr, Compare, Exists, FieldRef, Glob, Null, Regex, Text
from services.siem.detections.engine.facts import Facts, address, number, time_part
from services.siem.detections.engine.glob import glob_test
from services.siem.detections.engine.regexes import compile_regex

Matcher = Callable[[Facts], bool]

# A field reference compares each value with each; more of them than this are not looked at.
MAX_REFERENCED = 64


def leaf(node: Any) -> Matcher:
    """The matcher of a node without inner nodes."""
    return _LEAVES[type(node)](node)


def _text(node: Text) -> Matcher:
    return _TEXTS[node.how](node.field, node.values, node.cased)


def _equals(field: str | None, values: tuple[str, ...], cased: bool) -> Matcher:
    wanted = frozenset(values)

    def test(facts: Facts) -> bool:
        return not wanted.isdisjoint((facts.cased if cased else facts.folded)[field])

    return test


def _contains(field: str | None, values: tuple[str, ...], cased: bool) -> Matcher:
    # Plain loops here and below: a generator would cost more than the comparisons it wraps.
    def test(facts: Facts) -> bool:
        for text in (facts.cased if cased else facts.folded)[field]:
            for value in values:
                if value in text:
                    return True
        return False

    return test


def _startswith(field: str | None, values: tuple[str, ...], cased: bool) -> Matcher:
    def test(facts: Facts) -> bool:
        for text in (facts.cased if cased else facts.folded)[field]:  # noqa: SIM110 -- as above
            if text.startswith(values):
                return True
        return False

    return test


def _endswith(field: str | None, values: tuple[str, ...], cased: bool) -> Matcher:
    def test(facts: Facts) -> bool:
        for text in (facts.cased if cased else facts.folded)[field]:  # noqa: SIM110 -- as above
            if text.endswith(values):
                return True
        return False

    return test


_TEXTS: dict[str, Callable[[str | None, tuple[str, ...], bool], Matcher]] = {
    "equals": _equals,
    "contains": _contains,
    "startswith": _startswith,
    "endswith": _endswith,
}


def _glob(node: Glob) -> Matcher:
    test, field = glob_test(node.segments), node.field
    if node.cased:
        return lambda facts: any(test(text) for text in facts.cased[field])
    return lambda facts: any(test(text) for text in facts.folded[field])


def _regex(node: Regex) -> Matcher:
    search, field = compile_regex(node.pattern).search, node.field
    return lambda facts: any(search(text) is not None for text in facts.bytes_of(field))


def _cidr(node: Cidr) -> Matcher:
    networks = [ip_network(text) for text in node.networks]
    field = node.field

    def test(facts: Facts) -> bool:
        for text in facts.folded[field]:
            found = address(text)
            # A network of the other IP version contains no address of this one.
            if found is not None and any(found in network for network in networks):
                return True
        return False

    return test


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
}


def _compare(node: Compare) -> Matcher:
    compares, field, bound, part = _COMPARISONS[node.operator], node.field, node.number, node.part

    def test(facts: Facts) -> bool:
        for text in facts.folded[field]:
            value = time_part(text, part) if part else number(text)
            if value is not None and compares(value, bound):
                return True
        return False

    return test


def _null(node: Null) -> Matcher:
    field = node.field
    return lambda facts: facts.is_null(field)


def _exists(node: Exists) -> Matcher:
    field = node.field
    return lambda facts: field in facts.places


_REFERENCES: dict[str, Callable[[str, str], bool]] = {
    "equals": operator.eq,
    "contains": operator.contains,
    "startswith": str.startswith,
    "endswith": str.endswith,
}


def _fieldref(node: FieldRef) -> Matcher:
    field, other, refers, equal = node.field, node.other, _REFERENCES[node.how], node.how == "equals"

    def test(facts: Facts) -> bool:
        if equal and facts.differ(field, other):
            return False
        others = facts.folded[other][:MAX_REFERENCED]
        return any(refers(text, value) for text in facts.folded[field][:MAX_REFERENCED] for value in others)

    return test


_LEAVES: dict[type, Callable[[Any], Matcher]] = {
    Text: _text,
    Glob: _glob,
    Regex: _regex,
    Cidr: _cidr,
    Compare: _compare,
    Null: _null,
    Exists: _exists,
    FieldRef: _fieldref,
}
