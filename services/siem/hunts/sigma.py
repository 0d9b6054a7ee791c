"""A Sigma rule held against the stored past: compiled once, evaluated over rows that are read and parsed again.

Knows neither hunts nor runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

from services.siem.detections.engine.compile import compile_rule
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.engine import Engine
from services.siem.evaluate import evaluate_rows
from services.siem.logs.store import LogStore
from services.siem.match import Match
from shared.errors import SIGMA_INVALID, AuroraError

_PAGE_ROWS = 2_000


class PastSigma:
    """Evaluates rules over the stored events."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    async def check(self, sigma: str) -> None:
        """Raises AURORA-4222 when the text is no rule that can be evaluated over single events."""
        await _compiled(sigma)

    async def matching(
        self, sigma: str, since: datetime, until: datetime
    ) -> AsyncIterator[tuple[datetime, list[Match]]]:
        """The matches of [since, until) from the oldest on, page by page, each with the time that was reached.

        Raises AURORA-4222, 5032, and LimitExceededError for a page that takes too long.
        """
        rule = await _compiled(sigma)
        engine = Engine([rule])
        condition, values = _log_source(rule)
        after: tuple[datetime, str] | None = None
        while rows := await self._store.rows(since, until, after, _PAGE_ROWS, condition=condition, values=values):
            after = (rows[-1].timestamp, rows[-1].id)
            matches, _ = await evaluate_rows(rows, engine)
            yield rows[-1].timestamp, matches
            if len(rows) < _PAGE_ROWS:
                return


async def _compiled(sigma: str) -> CompiledRule:
    rule = await asyncio.to_thread(compile_rule, sigma)
    if rule.condition is None:
        message = rule.problem or "correlations and filters can't be hunted with"
        raise AuroraError(SIGMA_INVALID, [{"message": message, "line": None, "path": None}])
    return rule


def _log_source(rule: CompiledRule) -> tuple[str, dict[str, str]]:
    """Leaves out rows whose log source can't be the rule's. Older rows don't say theirs, so they stay in."""
    named = [name.lower().replace(" ", "_") for name in (rule.product, rule.category, rule.service) if name]
    if not named:
        return "1", {}
    parts = [f"position(logsource, {{part{number}:String}}) > 0" for number in range(len(named))]
    values = {f"part{number}": f"|{name}|" for number, name in enumerate(named)}
    return f"logsource = '' OR ({' AND '.join(parts)})", values
