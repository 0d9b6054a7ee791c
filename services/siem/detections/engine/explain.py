"""Why a rule matched an event, or didn't: every part of its condition decided for every view, none left out.

Owns the tree that is shown. The leaves are decided by the matchers of the engine, so that an explanation never differs
from what detection does. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from services.siem.detections.engine.compiled import (
    AllOf,
    AnyOf,
    Cidr,
    Compare,
    CompiledRule,
    FieldRef,
    Glob,
    Node,
    Not,
    Null,
    Regex,
    Text,
)
from services.siem.detections.engine.facts import Facts
from services.siem.detections.engine.leaves import leaf
from services.siem.event import Event, View
from shared.contracts.explanations import ExplainedCondition, ExplainedView, Test

MAX_EXPECTED = 20
MAX_ACTUAL = 10
MAX_CHARACTERS = 200


def explain(rule: CompiledRule, event: Event) -> list[ExplainedView]:
    """The event's views in their order, each with the rule's condition decided where its log source fits."""
    return [_view(rule, view, event.message) for view in event.views]


def _view(rule: CompiledRule, view: View, message: str) -> ExplainedView:
    explained = ExplainedView(
        product=view.product,
        category=view.category,
        services=list(view.services),
        routed=_routed(rule, view),
        matched=False,
    )
    if explained.routed and rule.condition is not None:
        explained.condition = _node(rule.condition, Facts(view.fields, message))
        explained.matched = explained.condition.matched
    return explained


def _routed(rule: CompiledRule, view: View) -> bool:
    """As the engine routes: each part that the rule names is the view's, in whatever case."""
    return (
        (rule.product is None or rule.product == (view.product or "").lower())
        and (rule.category is None or rule.category == (view.category or "").lower())
        and (rule.service is None or rule.service in {service.lower() for service in view.services})
    )


def _node(node: Node, facts: Facts) -> ExplainedCondition:
    match node:
        case AllOf():
            items = [_node(item, facts) for item in node.items]
            return ExplainedCondition(test="all_of", matched=all(item.matched for item in items), items=items)
        case AnyOf():
            items = [_node(item, facts) for item in node.items]
            return ExplainedCondition(test="any_of", matched=any(item.matched for item in items), items=items)
        case Not():
            inner = _node(node.item, facts)
            return ExplainedCondition(test="not", matched=not inner.matched, items=[inner])
    test, expected = _asked(node, facts)
    actual = facts.cased[node.field]
    return ExplainedCondition(
        test=test,
        matched=leaf(node)(facts),
        field=node.field,
        expected=_cut(expected, MAX_EXPECTED),
        expected_count=len(expected),
        actual=_cut(actual, MAX_ACTUAL),
        actual_count=len(actual),
    )


def _asked(node: Node, facts: Facts) -> tuple[Test, list[str]]:  # noqa: PLR0911 -- one a kind
    """What a leaf asks for, and the values it compares with: those that hold first."""
    match node:
        case Text():
            return node.how, sorted(node.values, key=lambda value: not leaf(replace(node, values=(value,)))(facts))
        case Glob():
            return "wildcard", ["*".join("?".join(segment) for segment in node.segments)]
        case Regex():
            return "regex", [node.pattern]
        case Cidr():
            return "cidr", list(node.networks)
        case Compare():
            return node.operator, [f"{node.part} {node.number}" if node.part else str(node.number)]
        case FieldRef():
            return "fieldref", [f"{node.how} {node.other}: {value}" for value in facts.cased[node.other]] or [
                node.other
            ]
        case Null():
            return "null", []
    return "exists", []


def _cut(texts: Iterable[str], most: int) -> list[str]:
    return [text[:MAX_CHARACTERS] for text in texts][:most]
