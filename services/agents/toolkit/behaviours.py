"""What a command line says of intent: patterns as data, matched in linear time over attackers' text. Pure.

The patterns are knowledge/behaviours.json; each says which ATT&CK techniques it shows and how strongly it speaks of an
attack. What administrators do every day weighs below 0.5, so that it never makes a verdict alone.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import re2

_FILE = Path(__file__).parent / "knowledge" / "behaviours.json"
MAX_TEXT = 16 * 1024
#: Longer texts aren't remembered.
_MAX_KEPT = 2048
#: What the automaton may keep of itself between texts; measured: a tenth of it for ordinary ones.
_AUTOMATON_BYTES = 64 * 1024 * 1024


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


def _options() -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.dot_nl = True  # scripts have lines
    options.max_mem = _AUTOMATON_BYTES
    return options


@lru_cache(maxsize=1)
def known() -> tuple[Behaviour, ...]:
    """All behaviours, in the order of the file."""
    return tuple(msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).behaviours)


@lru_cache(maxsize=1)
def _automaton() -> Any:
    """All patterns as one: a text is read once, whatever their number."""
    automaton = re2.Set.SearchSet(_options())
    for behaviour in known():
        automaton.Add(behaviour.pattern)
    automaton.Compile()
    return automaton


def behaviours_in(text: str) -> list[Behaviour]:
    """The behaviours that the text shows, strongest first; of a long text its first 16 KiB count."""
    return list(_found(text) if len(text) <= _MAX_KEPT else _search(text[:MAX_TEXT]))


# The same commands are looked at by several tools and specialists.
@lru_cache(maxsize=8192)
def _found(text: str) -> tuple[Behaviour, ...]:
    return _search(text)


def _search(text: str) -> tuple[Behaviour, ...]:
    found = [known()[index] for index in _automaton().Match(text) or ()]
    return tuple(sorted(found, key=lambda behaviour: (-behaviour.weight, behaviour.id)))
