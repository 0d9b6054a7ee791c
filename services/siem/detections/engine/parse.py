"""From YAML text to pySigma's rule object, or to AURORA-4222 with the place of every mistake.

Owns the call into pySigma's parser and the bounds that keep one rule from costing more than its share. Refuses to
know how conditions are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sigma import exceptions
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.modifiers import SigmaWideModifier, modifier_mapping
from sigma.rule import SigmaRule
from sigma.rule.base import SigmaRuleBase, check_alias_expansion
from sigma.rule.detection import SigmaDetectionItem, SigmaDetections

from services.siem.detections.engine.document import MALFORMED, invalid, line_of, load_document, problem
from services.siem.detections.engine.regexes import POLICY
from shared.errors import SIGMA_INVALID, AuroraError

# The specification (modifiers appendix 2.1) has both names, pySigma only `wide`.
modifier_mapping.setdefault("utf16le", SigmaWideModifier)

# pySigma expands values (five dashes to the power of three for one windash value) and repeats a detection wherever
# the condition names it, so the product is bounded before it is asked to. SigmaHQ's largest rule has 4,400 values and
# 12 with windash.
MAX_VALUES = 20_000
MAX_WINDASH_VALUES = 100
MAX_REFERENCED_VALUES = 100_000
MAX_CONDITION_CHARACTERS = 4096

BOUNDS = ("lt", "lte", "gt", "gte", "eq", "neq")

_PATHS: dict[type[SigmaError], str] = {
    exceptions.SigmaTitleError: "title",
    exceptions.SigmaIdentifierError: "id",
    exceptions.SigmaNameError: "name",
    exceptions.SigmaLevelError: "level",
    exceptions.SigmaStatusError: "status",
    exceptions.SigmaTagError: "tags",
    exceptions.SigmaDateError: "date",
    exceptions.SigmaModifiedError: "modified",
    exceptions.SigmaLogsourceError: "logsource",
    exceptions.SigmaDetectionError: "detection",
    exceptions.SigmaConditionError: "detection.condition",
    exceptions.SigmaAuthorError: "author",
    exceptions.SigmaDescriptionError: "description",
    exceptions.SigmaReferencesError: "references",
    exceptions.SigmaRelatedError: "related",
    exceptions.SigmaFieldsError: "fields",
    exceptions.SigmaFalsePositivesError: "falsepositives",
    exceptions.SigmaLicenseError: "license",
    exceptions.SigmaScopeError: "scope",
    exceptions.SigmaTaxonomyError: "taxonomy",
    exceptions.SigmaCorrelationRuleError: "correlation",
    exceptions.SigmaFilterError: "filter",
}


def parse_rule(yaml_text: str) -> tuple[SigmaRuleBase, dict[str, Any]]:
    """pySigma's rule, correlation or filter, and the document it was made of.

    Raises AURORA-4222 with `[{"message", "line", "path"}]`, one entry for each mistake found.
    """
    document = load_document(yaml_text)
    _check_document(document)
    if "correlation" in document:
        return _checked(yaml_text, _one_bound(document), SigmaCorrelationRule.from_dict), document
    if "filter" in document:
        _check_size(yaml_text, document.get("filter"), "filter")
        return _checked(yaml_text, document, SigmaFilter.from_dict), document
    _check_size(yaml_text, document.get("detection"), "detection")
    return _checked(yaml_text, document, SigmaRule.from_dict), document


def _one_bound(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the first bound of its condition alone: the specification has ranges, pySigma one bound."""
    correlation = document["correlation"]
    condition = correlation.get("condition") if isinstance(correlation, dict) else None
    if not isinstance(condition, dict):
        return document
    more = [name for name in condition if name in BOUNDS][1:]
    kept = {name: value for name, value in condition.items() if name not in more}
    return {**document, "correlation": {**correlation, "condition": kept}}


def _check_document(document: dict[str, Any]) -> None:
    try:
        check_alias_expansion(document)
    except SigmaError as error:
        raise invalid(_message(error)) from error
    if "action" in document:
        raise invalid("rule collections (`action`) are not part of Sigma 2; write each rule out", path="action")


def _checked(yaml_text: str, document: dict[str, Any], build: Callable[..., SigmaRuleBase]) -> SigmaRuleBase:
    try:
        rule = build(document, collect_errors=True, policy=POLICY)
        errors = rule.errors
    except SigmaError as error:
        raise AuroraError(SIGMA_INVALID, [_placed(yaml_text, document, error)]) from error
    except MALFORMED as error:
        raise _misplaced(yaml_text, document) from error
    if errors:
        raise AuroraError(SIGMA_INVALID, [_placed(yaml_text, document, error) for error in errors])
    return rule


def _placed(yaml_text: str, document: dict[str, Any], error: SigmaError) -> dict[str, Any]:
    for path, found in _item_errors(document.get("detection")):
        if type(found) is type(error) and found.args == error.args:
            return problem(_message(error), line=line_of(yaml_text, path), path=".".join(path))
    name = next((name for kind, name in _PATHS.items() if isinstance(error, kind)), "detection")
    if type(error) is exceptions.SigmaValueError:
        name = "tags"  # the only part of the header pySigma has no error of its own for
    return problem(_message(error), line=line_of(yaml_text, tuple(name.split("."))), path=name)


def _misplaced(yaml_text: str, document: dict[str, Any]) -> AuroraError:
    """The refusal of a document whose parts have types pySigma didn't expect."""
    for path, _ in _item_errors(document.get("detection")):
        return invalid("not a form Sigma knows", line=line_of(yaml_text, path), path=".".join(path))
    for name in ("id", "title", "logsource", "detection", "correlation", "filter"):
        if name in document:
            return invalid(
                "a part of the rule isn't in a form Sigma knows", line=line_of(yaml_text, (name,)), path=name
            )
    return invalid("not in a form Sigma knows", line=1)


def _item_errors(detection: object) -> Iterator[tuple[tuple[str, ...], Exception]]:
    """Each `field|modifier: value` of the detection that pySigma refuses, with its path."""
    for path, key, value in _items(detection, ("detection",)):
        try:
            SigmaDetectionItem.from_mapping(key, value, policy=POLICY)
        except (SigmaError, *MALFORMED) as error:
            yield path, error


def _items(value: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            here = (*path, str(key))
            nested = isinstance(inner, dict) or (isinstance(inner, list) and any(isinstance(i, dict) for i in inner))
            if nested or here == ("detection", "condition") or len(here) == 2:
                yield from _items(inner, here)
            else:
                yield here, key, inner
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _items(inner, (*path, str(index)))


def _check_size(yaml_text: str, detection: object, section: str) -> None:
    values = windash = 0
    for path, key, value in _items(detection, (section,)):
        count = len(value) if isinstance(value, list) else 1
        values += count
        windash += count if "|windash" in str(key) else 0
        if values > MAX_VALUES or windash > MAX_WINDASH_VALUES:
            raise invalid("too many values in one rule", line=line_of(yaml_text, path), path=".".join(path))
    if isinstance(detection, dict):
        _check_condition(yaml_text, detection.get("condition"), values, section)


def _check_condition(yaml_text: str, condition: object, values: int, section: str) -> None:
    conditions = condition if isinstance(condition, list) else [condition]
    text = " ".join(item for item in conditions if isinstance(item, str))
    reason = None
    if any(not isinstance(item, str) for item in conditions if item is not None):
        reason = "a condition is a text"
    elif len(text) > MAX_CONDITION_CHARACTERS or len(text.split()) * values > MAX_REFERENCED_VALUES:
        reason = "the condition is too long"
    if reason is not None:
        path = (section, "condition")
        raise invalid(reason, line=line_of(yaml_text, path), path=".".join(path))


def condition_error(yaml_text: str, message: str, section: str = "detection") -> AuroraError:
    """AURORA-4222 at the rule's condition."""
    return invalid(message, line=line_of(yaml_text, (section, "condition")), path=f"{section}.condition")


def parse_conditions(yaml_text: str, detections: SigmaDetections, section: str = "detection") -> list[Any]:
    """pySigma's condition trees, one for each condition of the rule; AURORA-4222 where one can't be read."""
    trees = []
    for condition in detections.parsed_condition:
        try:
            tree = condition.parsed
        except SigmaError as error:
            raise condition_error(yaml_text, _message(error), section) from error
        except MALFORMED as error:
            raise condition_error(yaml_text, "the condition can't be read", section) from error
        if tree is None:
            raise condition_error(yaml_text, "the condition selects nothing", section)
        trees.append(tree)
    return trees


def _message(error: SigmaError) -> str:
    """What pySigma says of the rule, without the source it would append."""
    return str(error.args[0]) if error.args else "not valid Sigma"
