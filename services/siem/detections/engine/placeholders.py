"""Placeholders (`expand`): a value with named lists in it becomes the values it stands for.

Owns what a list's value means inside a rule and how many values may come of one. Refuses to know where lists are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from math import prod
from typing import TypeAlias

from sigma.types import Placeholder, SigmaRegularExpression, SigmaString, SigmaType, SpecialChars

Lists: TypeAlias = Mapping[str, Sequence[str]]
"""Name -> values, as they are configured."""

NO_LISTS: Lists = {}
# Several placeholders in one value multiply. SigmaHQ's largest rule has 4,400 values.
MAX_EXPANDED = 20_000


class NotServed(Exception):
    """The rule is valid Sigma, but this engine can't serve it; the text says why and is shown to the user."""


def may_have_placeholders(yaml_text: str) -> bool:
    """Whether a rule's text depends on the lists there are; says yes too often."""
    return "expand" in yaml_text


def expanded(value: SigmaType, lists: Lists) -> list[SigmaType] | None:
    """The values that one with placeholders stands for; None when it has none. Raises NotServed.

    `*`, `?` and `\\` in a list mean what they mean in a rule. In a regular expression a list's value is a text that is
    found letter by letter.
    """
    if isinstance(value, SigmaRegularExpression) and isinstance(value.regexp, SigmaString):
        parts = _parts(value.regexp, lists)
        return None if parts is None else [_expression(value, choice) for choice in _choices(parts)]
    if isinstance(value, SigmaString):
        parts = _parts(value, lists)
        return None if parts is None else [_string(value, choice) for choice in _choices(parts)]
    return None


# pySigma takes the wildcards out of an expression, too.
_WRITTEN: dict[object, str] = {SpecialChars.WILDCARD_MULTI: "*", SpecialChars.WILDCARD_SINGLE: "?"}
_Part: TypeAlias = tuple[object, Sequence[str] | None]
"""A part of a value, and the values of its list where it is a placeholder."""


def _parts(value: SigmaString, lists: Lists) -> list[_Part] | None:
    names = [part.name for part in value.s if isinstance(part, Placeholder)]
    if not names:
        return None
    missing = sorted({name for name in names if not lists.get(name)})
    if missing:
        named = ", ".join(f"%{name}%" for name in missing)
        raise NotServed(f"it needs values for {named}: put a list of that name (aurora rules placeholders put NAME)")
    if prod(len(lists[name]) for name in names) > MAX_EXPANDED:
        raise NotServed(f"its placeholders stand for more than {MAX_EXPANDED} values in one")
    return [(part, lists[part.name] if isinstance(part, Placeholder) else None) for part in value.s]


def _choices(parts: list[_Part]) -> Iterator[tuple[_Part, ...]]:
    """Every combination: in place of a placeholder one of its values."""
    return product(*[[(part, [value]) for value in values] if values else [(part, None)] for part, values in parts])


def _string(value: SigmaString, choice: tuple[_Part, ...]) -> SigmaString:
    made = value.__class__()
    made.s = tuple(chain.from_iterable([part] if text is None else SigmaString(text[0]).s for part, text in choice))  # type: ignore[assignment]
    return made


def _expression(value: SigmaRegularExpression, choice: tuple[_Part, ...]) -> SigmaRegularExpression:
    text = "".join(_WRITTEN.get(part, str(part)) if chosen is None else re.escape(chosen[0]) for part, chosen in choice)
    return SigmaRegularExpression(text, flags=set(value.flags), policy=value.policy)
