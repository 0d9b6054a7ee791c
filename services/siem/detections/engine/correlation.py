"""From pySigma's correlation rule to a Correlation: references, windows, bounds and extended conditions.

Owns what a correlation may ask for. Refuses to know how windows are evaluated (the correlations feature does that).
"""

from __future__ import annotations

from typing import Any, Literal, cast

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaCorrelationRule,
    SigmaExtendedCorrelationCondition,
    SigmaRuleReference,
)

from services.siem.detections.engine.compiled import (
    AllSeen,
    AnySeen,
    Bound,
    Correlation,
    CorrelationKind,
    Formula,
    NotSeen,
)
from services.siem.detections.engine.document import invalid
from services.siem.detections.engine.parse import BOUNDS
from services.siem.detections.engine.placeholders import NotServed

# A window is looked at as a whole, so what it may hold is bounded, and with it what a rule may wait for.
MAX_WINDOW_EVENTS = 10_000
MAX_SECONDS = 90 * 86_400
MAX_REFERENCES = 64
MAX_DEPTH = 32
_COUNTS = ("event_count", "value_count")
TEMPORAL = ("temporal", "temporal_ordered")


def correlation_of(rule: SigmaCorrelationRule, section: dict[str, Any]) -> Correlation:
    """The correlation of a rule whose YAML has `section` under `correlation`. Raises NotServed, AURORA-4222."""
    condition = rule.condition
    references = [item.reference for item in rule.rules or ()]
    bounds: tuple[Bound, ...] = ()
    fields: tuple[str, ...] = ()
    formula, percentile = None, None
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        references = references or condition.get_referenced_rules()
        formula = _formula(condition.parsed, MAX_DEPTH)
    else:
        bounds = _bounds(section.get("condition"), len(references))
        fields, percentile = _fields(condition.fieldref), condition.percentile
    correlation = Correlation(
        kind=cast(CorrelationKind, rule.type.name.lower()),
        rules=tuple(dict.fromkeys(map(str, references))),
        group_by=tuple(rule.group_by or ()),
        seconds=rule.timespan.seconds,
        bounds=bounds,
        formula=formula,
        fields=fields,
        percentile=percentile,
        aliases=_aliases(rule),
        generate=rule.generate,
    )
    _check(correlation)
    return correlation


def _formula(tree: object, depth: int) -> Formula:
    if depth == 0:
        raise invalid("the condition is nested too deeply", path="correlation.condition")
    match tree:
        case SigmaRuleReference():
            return str(tree.reference)
        case CorrelationConditionAND():
            return AllSeen(tuple(_formula(item, depth - 1) for item in tree.args))
        case CorrelationConditionOR():
            return AnySeen(tuple(_formula(item, depth - 1) for item in tree.args))
        case CorrelationConditionNOT():
            return NotSeen(_formula(tree.args[0], depth - 1))
    raise NotServed(f"conditions of type {type(tree).__name__} are not served")


def _bounds(condition: Any, references: int) -> tuple[Bound, ...]:
    """Every bound of the condition; where there is none (temporal kinds), each rule has to match."""
    found = []
    for name, number in condition.items() if isinstance(condition, dict) else ():
        if name not in BOUNDS:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise invalid(f"'{name}' needs a number", path="correlation.condition")
        found.append(Bound(cast(Literal["gte"], name), number))
    return tuple(found) or (Bound("gte", references),)


def _fields(fields: Any) -> tuple[str, ...]:
    return () if fields is None else tuple(map(str, fields if isinstance(fields, list) else [fields]))


def _aliases(rule: SigmaCorrelationRule) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    return tuple(
        (str(alias.alias), tuple((str(reference.reference), str(name)) for reference, name in alias.mapping.items()))
        for alias in rule.aliases
    )


def _check(correlation: Correlation) -> None:
    """Raises AURORA-4222 for what means nothing, NotServed for what is more than a window may hold."""
    if not 0 < len(correlation.rules) <= MAX_REFERENCES:
        raise invalid(f"a correlation refers to 1 to {MAX_REFERENCES} rules", path="correlation.rules")
    if (
        correlation.kind == "value_percentile"
        and not 0 <= (-1 if correlation.percentile is None else correlation.percentile) <= 100
    ):
        raise invalid("value_percentile needs a `percentile` of 0 to 100", path="correlation.condition")
    if correlation.kind not in (*_COUNTS, *TEMPORAL) and len(correlation.fields) != 1:
        raise invalid("this kind of correlation computes over one field", path="correlation.condition.field")
    if correlation.seconds > MAX_SECONDS:
        raise NotServed(f"a window may span at most {MAX_SECONDS // 86_400} days")
    if correlation.kind in _COUNTS and any(bound.number > MAX_WINDOW_EVENTS for bound in correlation.bounds):
        raise NotServed(f"a window holds at most {MAX_WINDOW_EVENTS} events of a group, and this one waits for more")
