"""What the functions that a programme imports let it do: groups of them as data. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

_FILE = Path(__file__).parents[1] / "knowledge" / "imports.json"
_SHOWN = 8


class Group(msgspec.Struct, frozen=True):
    """Functions (without library, and without a final A or W) of which `least` make a group. `weight` is 0..1."""

    id: str
    format: str
    functions: frozenset[str]
    least: int
    weight: float
    techniques: tuple[str, ...]
    text: str


class _Knowledge(msgspec.Struct):
    description: str
    groups: list[Group]


@lru_cache(maxsize=1)
def groups() -> tuple[Group, ...]:
    """All groups, in the order of the file."""
    return tuple(msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).groups)


def groups_in(imports: Iterable[str]) -> list[dict[str, Any]]:
    """The groups that some imports make (`library!function`, or a function alone): id and the functions found."""
    named = {_plain(name) for name in imports}
    found = []
    for group in groups():
        members = sorted(group.functions & named)
        if len(members) >= group.least:
            found.append({"id": group.id, "functions": members[:_SHOWN]})
    return found


def _plain(name: str) -> str:
    function = name.rpartition("!")[2].partition("@")[0]
    return function[:-1] if function[-1:] in ("A", "W") and function[-2:-1].islower() else function
