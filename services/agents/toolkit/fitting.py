"""Rows that fit a part of a tool's result, so that no row of an attacker's length crowds out the rest. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import orjson

T = TypeVar("T")


def fitted(rows: Iterable[T], most_bytes: int) -> list[T]:
    """The first rows whose JSON together is no longer."""
    kept: list[T] = []
    for row in rows:
        most_bytes -= len(orjson.dumps(row)) + 1
        if most_bytes < 0:
            break
        kept.append(row)
    return kept
