"""A second opinion: Sigma semantics read straight off pySigma's condition tree, slow and without any index.

Shares no code with the engine but pySigma's parser, so that an agreement between the two means something.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from typing import Any

import yaml
from sigma.conditions import ConditionAND, ConditionNOT, ConditionOR, ConditionValueExpression
from sigma.rule import SigmaRule
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

_COMPARISONS = {
    CompareOperators.LT: operator.lt,
    CompareOperators.LTE: operator.le,
    CompareOperators.GT: operator.gt,
    CompareOperators.GTE: operator.ge,
}


def reference_matches(rule_text: str, fields: dict[str, Any]) -> bool:
    """Whether the rule matches a view with these fields."""
    rule = SigmaRule.from_dict(yaml.safe_load(rule_text))
    lowered = {name.lower(): value for name, value in fields.items()}
    return any(_tree(condition.parsed, lowered) for condition in rule.detection.parsed_condition)


def _tree(tree: Any, fields: dict[str, Any]) -> bool:
    if isinstance(tree, ConditionAND):
        return all(_tree(arg, fields) for arg in tree.args)
    if isinstance(tree, ConditionOR):
        return any(_tree(arg, fields) for arg in tree.args)
    if isinstance(tree, ConditionNOT):
        return not _tree(tree.args[0], fields)
    if isinstance(tree, ConditionValueExpression):
        return any(_keyword(tree.value, text) for name in fields for text in _texts(fields[name]))
    return _field(tree.field.lower(), tree.value, fields)


def _field(field: str, value: Any, fields: dict[str, Any]) -> bool:
    if isinstance(value, SigmaExpansion):
        return any(_field(field, inner, fields) for inner in value.values)
    if isinstance(value, SigmaExists):
        return (field in fields) == value.exists
    texts = _texts(fields.get(field))
    if isinstance(value, SigmaNull):
        return not texts
    if isinstance(value, SigmaFieldReference):
        others = _texts(fields.get(value.field.lower()))
        return any(_refers(text.casefold(), other.casefold(), value) for text in texts for other in others)
    return any(_scalar(value, text) for text in texts)


def _refers(text: str, other: str, value: SigmaFieldReference) -> bool:
    if value.starts_with and value.ends_with:
        return other in text
    if value.starts_with or value.ends_with:
        return text.startswith(other) if value.starts_with else text.endswith(other)
    return text == other


def _scalar(value: Any, text: str) -> bool:
    if isinstance(value, SigmaString):
        return _string(value, text, "")
    if isinstance(value, SigmaNumber | SigmaBool):
        return str(value).casefold() == text.casefold()
    if isinstance(value, SigmaRegularExpression):
        flags = sum((value.sigma_to_python_flags[flag] for flag in value.flags), re.ASCII)
        # RE2's classes are ASCII and its `$` is the very end; Python's also stands before a last line feed.
        return re.search(str(value.regexp).replace("$", "\\Z"), text, flags) is not None
    try:
        if isinstance(value, SigmaCIDRExpression):
            return ipaddress.ip_address(text) in value.network
        assert isinstance(value, SigmaCompareExpression)
        return bool(_COMPARISONS[value.op](float(text), value.number.number))
    except ValueError:
        return False


def _keyword(value: Any, text: str) -> bool:
    if isinstance(value, SigmaString):
        return _string(value, text, ".*")
    if isinstance(value, SigmaNumber | SigmaBool):
        return str(value).casefold() in text.casefold()
    return _scalar(value, text)


def _string(value: SigmaString, text: str, around: str) -> bool:
    cased = isinstance(value, SigmaCasedString)
    special: dict[Any, str] = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
    parts = [part if cased or not isinstance(part, str) else part.casefold() for part in value.s]
    body = "".join(re.escape(part) if isinstance(part, str) else special[part] for part in parts)
    return re.fullmatch(around + body + around, text if cased else text.casefold(), re.DOTALL) is not None


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if value is None:
        return []
    return [str(value).lower() if isinstance(value, bool) else str(value)]
