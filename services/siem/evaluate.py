"""Evaluates stored events again: read from the store, parsed from `raw`, held against an engine of the caller's own.

This is what makes the past and the present agree: the parsers and the engine are those of intake. Knows neither which
rules the engine has nor what becomes of a match.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.siem.batch import StoredEvent
from services.siem.detections.engine.engine import Engine
from services.siem.detections.evaluators import evaluate_event
from services.siem.logs.service import parse_again
from services.siem.logs.store import StoredRow
from services.siem.match import Failure, Match

_SLICE_EVENTS = 200


async def evaluate_rows(rows: Sequence[StoredRow], engine: Engine) -> tuple[list[Match], list[Failure]]:
    """Every (rule, event) that matches, in the order of the rows, and the events that no rule could be tried on.

    Works in a thread; evaluates in slices, so that others are served meanwhile.
    """
    matches: list[Match] = []
    failures: list[Failure] = []
    # All at once: audit records of one part would be parsed again with each slice that has one of them.
    events = await asyncio.to_thread(events_of, rows)
    for start in range(0, len(events), _SLICE_EVENTS):
        await asyncio.to_thread(_evaluate_slice, events[start : start + _SLICE_EVENTS], engine, matches, failures)
    return matches, failures


def _evaluate_slice(
    events: Sequence[StoredEvent], engine: Engine, matches: list[Match], failures: list[Failure]
) -> None:
    for stored in events:
        found = evaluate_event(stored, engine)
        if isinstance(found, Failure):
            failures.append(found)
        else:
            matches += found


def events_of(rows: Sequence[StoredRow]) -> list[StoredEvent]:
    """The rows' events in their order; audit records are parsed beside their siblings, which aren't asked for."""
    wanted = {row.id: place for place, row in enumerate(rows)}
    parts = {id(row.siblings): row.siblings for row in rows if row.siblings}
    alone = [row for row in rows if not row.siblings]
    events = [event for siblings in parts.values() for event in parse_again(siblings) if event.log_id in wanted]
    events += [event for row in alone for event in parse_again([row])]
    return sorted(events, key=lambda event: wanted[event.log_id])
