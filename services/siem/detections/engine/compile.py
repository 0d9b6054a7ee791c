"""From a Sigma document to a CompiledRule: pySigma's condition tree, simplified into the engine's own nodes.

Owns compile_rule and the boolean simplification. Refuses to know YAML details, values (values.py) and evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec.structs import replace
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.correlations import SigmaCorrelationRule
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule
from sigma.rule.base import SigmaRuleBase
from sigma.rule.detection import SigmaDetections

from services.siem.detections.engine.compiled import AllOf, AnyOf, Cidr, CompiledRule, Filter, Node, Not, Text
from services.siem.detections.engine.correlation import correlation_of
from services.siem.detections.engine.parse import condition_error, parse_conditions, parse_rule
from services.siem.detections.engine.placeholders import NO_LISTS, Lists, NotServed
from services.siem.detections.engine.values import value_node
from shared.contracts.detections import Level

# Sigma leaves both optional; these are what SigmaHQ asks of a new rule nobody has rated yet.
DEFAULT_LEVEL: Level = "medium"
DEFAULT_STATUS = "experimental"

MAX_DEPTH = 64

_TECHNIQUE = re.compile(r"t\d{4}(\.\d{3})?")


def compile_rule(yaml_text: str, lists: Lists = NO_LISTS) -> CompiledRule:
    """Compile one Sigma document (Sigma rules specification 2.1); `lists` are the values of its placeholders.

    Raises AURORA-4222 whose detail is `[{"message", "line", "path"}]`, lines from 1 within `yaml_text`. A valid rule
    that can't be served comes back with `problem`. A rule without an id gets one derived from its text.
    """
    rule, document = parse_rule(yaml_text)
    header = _header(rule, yaml_text)
    try:
        match rule:
            case SigmaRule():
                return replace(header, condition=_condition(yaml_text, rule.detection, "detection", lists))
            case SigmaCorrelationRule():
                return replace(header, correlation=correlation_of(rule, document["correlation"]))
            case SigmaFilter():
                condition = _condition(yaml_text, rule.filter, "filter", lists)
                return replace(header, filter=Filter(_filtered(rule), condition))
    except NotServed as reason:
        return replace(header, problem=str(reason))
    return replace(header, problem=f"documents of type {type(rule).__name__} are not served")


def _condition(yaml_text: str, detections: SigmaDetections, section: str, lists: Lists) -> Node:
    trees = parse_conditions(yaml_text, detections, section)
    try:
        return any_of([_node(tree, MAX_DEPTH, lists) for tree in trees])
    except RecursionError as error:
        raise condition_error(yaml_text, "the condition is nested too deeply", section) from error


def _filtered(rule: SigmaFilter) -> tuple[str, ...] | None:
    rules = rule.filter.rules
    return None if isinstance(rules, str) else tuple(str(reference.reference) for reference in rules)


def _header(rule: SigmaRuleBase, yaml_text: str) -> CompiledRule:
    source = None if isinstance(rule, SigmaCorrelationRule) else getattr(rule, "logsource", None)
    tags = tuple(str(tag) for tag in rule.tags)
    return CompiledRule(
        id=str(rule.id or uuid5(NAMESPACE_URL, yaml_text)),
        title=rule.title,
        level=msgspec.convert(str(rule.level), Level) if rule.level else DEFAULT_LEVEL,
        status=str(rule.status) if rule.status else DEFAULT_STATUS,
        description=rule.description or "",
        author=rule.author or "",
        product=_part(source.product) if source else None,
        category=_part(source.category) if source else None,
        service=_part(source.service) if source else None,
        tags=tags,
        mitre_techniques=tuple(dict.fromkeys(_techniques(tags))),
        condition=None,
        problem=None,
        name=rule.name,
    )


def _part(name: str | None) -> str | None:
    return name.lower() if name else None


def _techniques(tags: Iterable[str]) -> Iterable[str]:
    for tag in tags:
        namespace, _, name = tag.lower().partition(".")
        if namespace == "attack" and _TECHNIQUE.fullmatch(name):
            yield name.upper()


def _node(tree: Any, depth: int, lists: Lists) -> Node:
    if depth == 0:
        raise RecursionError
    match tree:
        case ConditionAND():
            return all_of([_node(arg, depth - 1, lists) for arg in tree.args])
        case ConditionOR():
            return any_of([_node(arg, depth - 1, lists) for arg in tree.args])
        case ConditionNOT():
            inner = _node(tree.args[0], depth - 1, lists)
            return inner.item if isinstance(inner, Not) else Not(inner)
        case ConditionFieldEqualsValueExpression():
            return _simplified(value_node(tree.field, tree.value, lists))
        case ConditionValueExpression():
            return _simplified(value_node(None, tree.value, lists))
    raise NotServed(f"conditions of type {type(tree).__name__} are not served")


def _simplified(node: Node) -> Node:
    return any_of([_simplified(item) for item in node.items]) if isinstance(node, AnyOf) else node


def all_of(items: Iterable[Node]) -> Node:
    """The conjunction: nested ones flattened, repeated ones dropped."""
    flat: dict[Node, None] = {}
    for item in items:
        flat.update(dict.fromkeys(item.items if isinstance(item, AllOf) else (item,)))
    return next(iter(flat)) if len(flat) == 1 else AllOf(tuple(flat))


def any_of(items: Iterable[Node]) -> Node:
    """The disjunction: flattened, repeated ones dropped, tests of one kind on one field merged into one node."""
    merged: dict[Any, list[Node]] = {}
    for item in items:
        for part in item.items if isinstance(item, AnyOf) else (item,):
            merged.setdefault(_merge_key(part), []).append(part)
    flat = [_merge(nodes) for nodes in merged.values()]
    return flat[0] if len(flat) == 1 else AnyOf(tuple(flat))


def _merge_key(node: Node) -> Any:
    match node:
        case Text():
            return (Text, node.field, node.how, node.cased)
        case Cidr():
            return (Cidr, node.field)
    return node


def _merge(nodes: list[Node]) -> Node:
    first = nodes[0]
    match first:
        case Text():
            values = dict.fromkeys(value for node in nodes if isinstance(node, Text) for value in node.values)
            return Text(first.field, first.how, tuple(values), first.cased)
        case Cidr():
            networks = dict.fromkeys(net for node in nodes if isinstance(node, Cidr) for net in node.networks)
            return Cidr(first.field, tuple(networks))
    return first
