"""Conditions on the fields of an event, as the knowledge files state them: patterns that must be found in a field, and
patterns that must not. Pure; matched in linear time over attackers' text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import re2

from services.agents.toolkit.fencing import quote

_MAX_TEXT = 8192
_MAX_SHOWN = 120
#: The texts of a field by its name.
Texts = Callable[[str], Iterable[str]]


class Conditions:
    """Holds when every pattern of `when` is found in its field and none of `unless` is; both map a field to a
    case-insensitive regular expression."""

    __slots__ = ("_unless", "_when")

    def __init__(self, when: Mapping[str, str], unless: Mapping[str, str]) -> None:
        self._when = _compiled(when)
        self._unless = _compiled(unless)

    def hold(self, texts: Texts) -> bool:
        """Whether they hold of the event whose fields `texts` gives."""
        return all(_found(texts(name), pattern) for name, pattern in self._when) and not any(
            _found(texts(name), pattern) for name, pattern in self._unless
        )


def texts_in(value: Any) -> list[str]:
    """The values of a field as texts; a field that isn't there has none."""
    values: Iterable[Any] = value if isinstance(value, list) else (value,)
    return [str(item)[:_MAX_TEXT] for item in values if item is not None]


def shown(texts: Texts, names: Sequence[str]) -> str:
    """The first text of each field, quoted, for a claim; "" where none is there."""
    firsts = (next(iter(texts(name)), None) for name in names)
    return " ".join(quote(text, _MAX_SHOWN) for text in firsts if text is not None)


def _compiled(conditions: Mapping[str, str]) -> tuple[tuple[str, Any], ...]:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return tuple((name, re2.compile(pattern, options)) for name, pattern in conditions.items())


def _found(texts: Iterable[str], pattern: Any) -> bool:
    return any(pattern.search(text) for text in texts)
