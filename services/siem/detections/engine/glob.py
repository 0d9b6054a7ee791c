"""Wildcard patterns (`*`, `?`) on one text, in linear time for each segment and without backtracking.

Owns nothing but the pattern; knows no fields and no rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Find = Callable[[str, int], int]
"""(text, from) -> where the segment starts, or -1."""


def glob_test(segments: tuple[tuple[str, ...], ...]) -> Callable[[str], bool]:
    """A test for `segments` (as in compiled.Glob): the first is anchored left, the last right, others float.

    Taking each floating segment at its leftmost place is complete, because only `*` stands between segments.
    """
    lengths = [sum(map(len, segment)) + len(segment) - 1 for segment in segments]
    first = re.compile(_expression(segments[0]), re.DOTALL)
    if len(segments) == 1:
        return lambda text: first.fullmatch(text) is not None
    last, last_length = re.compile(_expression(segments[-1]), re.DOTALL), lengths[-1]
    middle = [(_find(segment), length) for segment, length in zip(segments[1:-1], lengths[1:-1], strict=True)]
    first_length = lengths[0]

    def test(text: str) -> bool:
        if first_length and not first.match(text):
            return False
        position = first_length
        for find, length in middle:
            position = find(text, position)
            if position < 0:
                return False
            position += length
        end = len(text) - last_length
        return end >= position and (not last_length or last.match(text, end) is not None)

    return test


def _expression(segment: tuple[str, ...]) -> str:
    return ".".join(re.escape(piece) for piece in segment)


def _find(segment: tuple[str, ...]) -> Find:
    if len(segment) == 1:
        word = segment[0]
        return lambda text, start: text.find(word, start)
    search = re.compile(_expression(segment), re.DOTALL).search

    def find(text: str, start: int) -> int:
        found = search(text, start)
        return found.start() if found else -1

    return find
