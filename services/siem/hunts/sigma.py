"""A Sigma rule held against the stored past: compiled once, evaluated over rows that are read and parsed again.

Knows neither hunts nor runs. What a store can leave out before the engine looks is told by whoever made it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.siem.compiling import Compile, without_lists
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.engine import Engine
from services.siem.evaluate import evaluate_rows
from services.siem.logs.store import LogStore
from services.siem.match import Match
from shared.clickhouse import LimitExceededError
from shared.errors import SIGMA_INVALID, AuroraError

_PAGE_ROWS = 2_000
_SHORTEST_WINDOW = timedelta(milliseconds=2)
_SLOW = "sigma: no text that every match has, so each event of its log source is read and evaluated"


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What every event has that a rule matches, as a condition of the store. `by_text`: not its log source only."""

    condition: str
    values: Mapping[str, Any]
    by_text: bool


@dataclass(frozen=True, slots=True)
class Looked:
    """The range was looked at up to `reached`: `rows` events were read since the last, and these match."""

    reached: datetime
    rows: int
    matches: list[Match]


class PastSigma:
    """Evaluates rules over the stored events."""

    def __init__(
        self, store: LogStore, narrowed: Callable[[CompiledRule], Narrowed], compiled: Compile = without_lists
    ) -> None:
        """`compiled` knows the lists of placeholders."""
        self._compile = compiled
        self._store = store
        self._narrowed = narrowed

    async def check(self, sigma: str) -> None:
        """Raises AURORA-4222 when the text is no rule that can be evaluated over single events."""
        await self._compiled(sigma)

    async def slow(self, sigma: str) -> list[str]:
        """Why a hunt with the rule is slow; empty when the store can leave out most events. Raises AURORA-4222."""
        return [] if self._narrowed(await self._compiled(sigma)).by_text else [_SLOW]

    async def matching(self, sigma: str, since: datetime, until: datetime) -> AsyncIterator[Looked]:
        """Looks at [since, until) from the oldest event on, page by page.

        A read that takes too long is tried again with half the time range, down to a few milliseconds. Raises
        AURORA-4222, 5032, and LimitExceededError when that is too much still.
        """
        rule = await self._compiled(sigma)
        engine = Engine([rule])
        narrowed = self._narrowed(rule)
        position, window = since, until - since
        after: tuple[datetime, str] | None = None
        while position < until:
            end = min(until, position + window)
            try:
                rows = await self._store.rows(
                    position, end, after, _PAGE_ROWS, condition=narrowed.condition, values=narrowed.values
                )
            except LimitExceededError:
                window = (end - position) / 2
                if window < _SHORTEST_WINDOW:
                    raise
                continue
            matches, _ = await evaluate_rows(rows, engine)
            whole = len(rows) < _PAGE_ROWS
            after = None if whole else (rows[-1].timestamp, rows[-1].id)
            position = end if whole else rows[-1].timestamp
            yield Looked(position, len(rows), matches)

    async def _compiled(self, sigma: str) -> CompiledRule:
        rule = await self._compile(sigma)
        if rule.condition is None:
            message = rule.problem or "correlations and filters can't be hunted with"
            raise AuroraError(SIGMA_INVALID, [{"message": message, "line": None, "path": None}])
        return rule
