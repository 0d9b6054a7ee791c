"""Parent and child pairs that seldom belong together, as data. Pure."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

_FILE = Path(__file__).parent / "knowledge" / "lineage.json"


class Pair(msgspec.Struct, frozen=True):
    """Which parents with which children, and what it means. `weight` is 0..1."""

    id: str
    parents: frozenset[str]
    children: frozenset[str]
    weight: float
    techniques: tuple[str, ...]
    text: str


class _Knowledge(msgspec.Struct):
    description: str
    pairs: list[Pair]


@lru_cache(maxsize=1)
def _pairs() -> list[Pair]:
    return msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).pairs


def odd_pairs(parent: str, child: str) -> list[Pair]:
    """The pairs that a parent's and a child's base name make."""
    return [pair for pair in _pairs() if parent in pair.parents and child in pair.children]
