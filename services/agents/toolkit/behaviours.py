"""What a command line says of intent: patterns as data, matched in linear time over attackers' text. Pure.

The patterns are knowledge/behaviours.json; each says which ATT&CK techniques it shows and how strongly it speaks of an
attack. What administrators do every day weighs below 0.5, so that it never makes a verdict alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import re2

_FILE = Path(__file__).parent / "knowledge" / "behaviours.json"
_MAX_TEXT = 32 * 1024


class Behaviour(msgspec.Struct, frozen=True):
    """One pattern and what it means. `weight` is 0..1."""

    id: str
    platform: str
    pattern: str
    techniques: tuple[str, ...]
    weight: float
    text: str


class _Knowledge(msgspec.Struct):
    description: str
    behaviours: list[Behaviour]


@lru_cache(maxsize=1)
def _compiled() -> tuple[tuple[Behaviour, Any], ...]:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.dot_nl = True  # scripts have lines
    known = msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).behaviours
    return tuple((behaviour, re2.compile(behaviour.pattern, options)) for behaviour in known)


def behaviours_in(texts: Iterable[str]) -> list[Behaviour]:
    """The behaviours that any of the texts shows, strongest first."""
    cut = [text[:_MAX_TEXT] for text in texts if text]
    found = [behaviour for behaviour, pattern in _compiled() if any(pattern.search(text) for text in cut)]
    return sorted(found, key=lambda behaviour: (-behaviour.weight, behaviour.id))
