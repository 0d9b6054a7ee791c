"""A search as a tree. Pure data: refuses to know how it was written, and how it is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, TypeAlias

Operator: TypeAlias = Literal["<", "<=", ">", ">="]
Bound: TypeAlias = float | datetime | IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Term:
    """`field` None: a word anywhere. `pieces` are the literal texts between the wildcards; one piece means none."""

    field: str | None
    pieces: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether there is no wildcard."""
        return len(self.pieces) == 1


@dataclass(frozen=True, slots=True)
class Range:
    """A field beside a bound. Values that aren't of the bound's kind (number, time, address) don't match."""

    field: str
    operator: Operator
    bound: Bound


@dataclass(frozen=True, slots=True)
class Not:
    """What doesn't match `part`."""

    part: Node


@dataclass(frozen=True, slots=True)
class And:
    """What matches all parts; without parts, everything."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """What matches any part."""

    parts: tuple[Node, ...]


Node: TypeAlias = Term | Range | Not | And | Or
