"""Which path a request is for, where one has written out what another has as a parameter. Pure.

`DELETE /users/me` isn't `DELETE /users/{username}`: the nearer path wins with all methods, also with those it lacks.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

_PARAMETER = re.compile(r"\{\w+\}")


class Nearer:
    """The paths that are nearer than another one. `routes` are (method, path) of all there are."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        methods: dict[str, set[str]] = defaultdict(set)
        for method, path in routes:
            methods[path].add(method)
        self._rivals: dict[str, list[tuple[re.Pattern[str], set[str]]]] = defaultdict(list)
        self._all: dict[str, tuple[re.Pattern[str], set[str]]] = {}
        for path, allowed in methods.items():
            for other in methods:
                if _is_nearer(path, other):
                    self._all[path] = _pattern(path), allowed
                    self._rivals[other].append(self._all[path])

    def methods(self, matched: str | None, path: str) -> set[str] | None:
        """The methods of the nearer path that a request's `path` is for, None when that is the one that was `matched`
        (None: no path with the request's method was)."""
        rivals = self._all.values() if matched is None else self._rivals.get(matched, ())
        return next((methods for pattern, methods in rivals if pattern.fullmatch(path)), None)


def _is_nearer(path: str, other: str) -> bool:
    mine, theirs = path.split("/"), other.split("/")
    if path == other or len(mine) != len(theirs):
        return False
    pairs = list(zip(mine, theirs, strict=True))
    return all(one == two or _PARAMETER.fullmatch(two) for one, two in pairs) and any(
        _PARAMETER.fullmatch(two) and not _PARAMETER.fullmatch(one) for one, two in pairs
    )


def _pattern(path: str) -> re.Pattern[str]:
    parts = ("[^/]+" if _PARAMETER.fullmatch(part) else re.escape(part) for part in path.split("/"))
    return re.compile("/".join(parts))
