"""One Sigma value on one field -> one node of the compiled condition.

Owns the mapping of pySigma's value types. Refuses to know conditions, rules and evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from services.siem.detections.engine.compiled import (
    AnyOf,
    Cidr,
    Compare,
    Exists,
    FieldRef,
    Glob,
    Node,
    Not,
    Null,
    Operator,
    Regex,
    Text,
    TimePart,
)
from services.siem.detections.engine.placeholders import NO_LISTS, Lists, NotServed, expanded
from services.siem.detections.engine.regexes import RefusedRegex, compile_regex

_OPERATORS: dict[CompareOperators, Operator] = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
}
_FLAGS = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}


def value_node(field: str | None, value: SigmaType, lists: Lists = NO_LISTS) -> Node:
    """The node for `field: value`; `field` None is a keyword, `lists` are the values of placeholders.

    Raises NotServed.
    """
    if isinstance(value, SigmaExpansion):
        return AnyOf(tuple(value_node(field, item, lists) for item in value.values))
    values = expanded(value, lists)
    if values is not None:
        return AnyOf(tuple(value_node(field, item) for item in values))
    name = field.lower() if field is not None else None
    # Subclasses first: a cased string is a string, a timestamp part is a number.
    for kind, build in _BUILDERS:
        if isinstance(value, kind):
            return build(name, value)
    raise NotServed(f"values of type {type(value).__name__} are not served")


def _string(field: str | None, value: SigmaString) -> Node:
    cased = isinstance(value, SigmaCasedString)
    segments = _segments(value, cased)
    if field is None:
        # A keyword is searched for anywhere in the event, as the specification's log search does.
        segments = [s for i, s in enumerate(segments) if 0 < i < len(segments) - 1 or s != ("",)]
        segments = [("",), *segments, ("",)]
    return _text(field, segments, cased) or Glob(field, tuple(segments), cased)


def _segments(value: SigmaString, cased: bool) -> list[tuple[str, ...]]:
    """Split at `*`, each part split at `?`; parts between adjacent stars are left out."""
    segments: list[list[str]] = [[""]]
    for part in value.s:
        if part is SpecialChars.WILDCARD_MULTI:
            segments.append([""])
        elif part is SpecialChars.WILDCARD_SINGLE:
            segments[-1].append("")
        else:
            segments[-1][-1] += str(part) if cased else str(part).casefold()
    last = len(segments) - 1
    return [tuple(s) for i, s in enumerate(segments) if i in (0, last) or s != [""]]


def _text(field: str | None, segments: list[tuple[str, ...]], cased: bool) -> Text | None:  # noqa: PLR0911 -- one a form
    """The plain text test that says the same as the pattern, if there is one."""
    if any(len(segment) > 1 for segment in segments) or len(segments) > 3:
        return None
    match [segment[0] for segment in segments]:
        case [word]:
            return Text(field, "equals", (word,), cased)
        case ["", "", ""] | ["", ""]:
            return Text(field, "contains", ("",), cased)
        case ["", word, ""]:
            return Text(field, "contains", (word,), cased)
        case ["", word]:
            return Text(field, "endswith", (word,), cased)
        case [word, ""]:
            return Text(field, "startswith", (word,), cased)
    return None


def _number(field: str | None, value: SigmaNumber) -> Node:
    how = "contains" if field is None else "equals"
    return Text(field, how, (str(value.number),))  # type: ignore[arg-type]


def _bool(field: str | None, value: SigmaBool) -> Node:
    how = "contains" if field is None else "equals"
    return Text(field, how, (str(value.boolean).lower(),))  # type: ignore[arg-type]


def _regex(field: str | None, value: SigmaRegularExpression) -> Node:
    if not isinstance(value.regexp, SigmaString):
        raise NotServed("a regular expression is a text")
    flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
    pattern = f"(?{flags}){value.regexp}" if flags else str(value.regexp)
    try:
        compile_regex(pattern)
    except RefusedRegex as error:
        raise NotServed(
            "its regular expression isn't one that runs in linear time (look-around, back-references and very large "
            "repetitions aren't part of Sigma's flavour): " + pattern[:200]
        ) from error
    return Regex(field, pattern)


def _cidr(field: str | None, value: SigmaCIDRExpression) -> Node:
    return Cidr(field, (str(value.network),))


def _compare(field: str | None, value: SigmaCompareExpression) -> Node:
    if field is None or value.op not in _OPERATORS:
        raise NotServed("a numeric comparison needs a field")
    return Compare(field, _OPERATORS[value.op], value.number.number, _part(value.number))


def _timestamp(field: str | None, value: SigmaTimestampPart) -> Node:
    if field is None:
        raise NotServed("a time modifier needs a field")
    return Compare(field, "eq", value.number, _part(value))


def _part(number: SigmaNumber) -> TimePart | None:
    if isinstance(number, SigmaTimestampPart):
        return number.timestamp_part.name.lower()  # type: ignore[return-value]
    return None


def _null(field: str | None, _: SigmaNull) -> Node:
    if field is None:
        raise NotServed("null needs a field")
    return Null(field)


def _exists(field: str | None, value: SigmaExists) -> Node:
    if field is None:
        raise NotServed("exists needs a field")
    return Exists(field) if value.exists else Not(Exists(field))


def _fieldref(field: str | None, value: SigmaFieldReference) -> Node:
    if field is None:
        raise NotServed("a field reference needs a field")
    other = value.field.lower()
    if value.starts_with and value.ends_with:
        return FieldRef(field, other, "contains")
    if value.starts_with:
        return FieldRef(field, other, "startswith")
    return FieldRef(field, other, "endswith" if value.ends_with else "equals")


_BUILDERS: tuple[tuple[type[SigmaType], Callable[[str | None, Any], Node]], ...] = (
    (SigmaString, _string),
    (SigmaTimestampPart, _timestamp),
    (SigmaNumber, _number),
    (SigmaBool, _bool),
    (SigmaRegularExpression, _regex),
    (SigmaCIDRExpression, _cidr),
    (SigmaCompareExpression, _compare),
    (SigmaNull, _null),
    (SigmaExists, _exists),
    (SigmaFieldReference, _fieldref),
)
