"""Whether a rule could match at all: was its log source seen, and were the fields there that it looks at.

Pure. A source or field that was not seen is a reason for a person to look, so the reasons are words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from services.siem.detections.engine.compiled import AllOf, AnyOf, CompiledRule, FieldRef, Node, Not, Null
from services.siem.event import View

#: Product, category and services as the column `logsource` writes them; "" where a view has none.
Source = tuple[str, str, tuple[str, ...]]
Fields = Mapping[Source, frozenset[str]]
_NAMED_FIELDS = 5


def sources_of(logsource: str) -> Iterator[Source]:
    """The sources that a value of the column `logsource` lists."""
    for entry in logsource.split():
        product, category, *services = entry[1:-1].split("|")
        yield product, category, tuple(services)


def source_of(view: View) -> Source:
    """The source of a view, written in the same way."""
    return _name(view.product), _name(view.category), tuple(map(_name, view.services))


def populated(view: View) -> Iterator[str]:
    """The fields of a view that hold something, in lower case."""
    return (name.lower() for name, value in view.fields.items() if not _empty(value))


def missing(rule: CompiledRule, seen: Iterable[Source], fields: Fields) -> list[str]:
    """Why no event that was seen could match the rule; empty when one could."""
    if rule.condition is None:
        return ["counts matches of other rules: they count by themselves"]
    sources = [source for source in seen if _routed(rule, source)]
    if not sources:
        return ["log source not seen in the last 7 days"]
    there = frozenset[str]().union(*(fields.get(source, frozenset()) for source in sources))
    if _satisfiable(rule.condition, there):
        return []
    absent = sorted(set(_fields_of(rule.condition)) - there)
    shown = ", ".join(absent[:_NAMED_FIELDS]) + (", ..." if len(absent) > _NAMED_FIELDS else "")
    return [f"fields not populated: {shown}"]


def _routed(rule: CompiledRule, source: Source) -> bool:
    product, category, services = source
    return (
        _name(rule.product) in ("", product)
        and _name(rule.category) in ("", category)
        and (rule.service is None or _name(rule.service) in services)
    )


def _satisfiable(node: Node, fields: frozenset[str]) -> bool:
    match node:
        case AllOf():
            return all(_satisfiable(item, fields) for item in node.items)
        case AnyOf():
            return any(_satisfiable(item, fields) for item in node.items)
        case Not() | Null():
            return True
        case FieldRef():
            return node.field in fields and node.other in fields
    return node.field is None or node.field in fields


def _fields_of(node: Node) -> Iterator[str]:
    match node:
        case AllOf() | AnyOf():
            for item in node.items:
                yield from _fields_of(item)
        case Not() | Null():
            return
        case FieldRef():
            yield from (node.field, node.other)
        case _:
            if node.field is not None:
                yield node.field


def _name(name: str | None) -> str:
    return (name or "").lower().replace(" ", "_")


def _empty(value: Any) -> bool:
    return value is None or value == "" or value == []
