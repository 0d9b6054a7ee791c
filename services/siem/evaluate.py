"""Holds events against an engine: one event, or stored rows that are parsed from `raw` again.

This is what makes the past and the present agree: the parsers and the engine are those of intake. Knows neither which
rules the engine has nor what becomes of a match.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.siem.batch import StoredEvent
from services.siem.detections.engine.engine import Engine
from services.siem.event import View
from services.siem.logs.parsers import join_apart
from services.siem.logs.preparation import parse_again
from services.siem.logs.store import StoredRow
from services.siem.match import Failure, Match
from shared.log import get_logger

_SLICE_EVENTS = 200
_MESSAGE_LENGTH = 300
_log = get_logger("detection")


def evaluate_event(stored: StoredEvent, engine: Engine) -> list[Match] | Failure:
    """The matches of one event, sorted by rule; a Failure when the engine breaks on it."""
    try:
        found = engine.matches(stored.event)
    except Exception as error:  # noqa: BLE001 - one event that breaks the engine must not hold up all that follow
        reason = type(error).__name__
        _log.error("event not evaluated", log_id=stored.log_id, reason=reason)
        return Failure(stored.log_id, stored.event.timestamp, reason)
    return [_match(rule_id, stored, view) for rule_id, view in sorted(found.items())]


def _match(rule_id: str, stored: StoredEvent, view: View) -> Match:
    return Match(
        rule_id=rule_id,
        log_id=stored.log_id,
        timestamp=stored.event.timestamp,
        ingested_at=stored.ingested_at,
        source=stored.source,
        message=stored.event.message[:_MESSAGE_LENGTH],
        ecs=stored.event.ecs,
        fields=view.fields,
        trace=dict(stored.trace),
    )


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


def evaluate_here(rows: Sequence[StoredRow], engine: Engine) -> tuple[list[Match], list[Failure]]:
    """As evaluate_rows, in this thread and in one go."""
    matches: list[Match] = []
    failures: list[Failure] = []
    _evaluate_slice(events_of(rows), engine, matches, failures)
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
    """The rows' events in their order; audit records are completed from their siblings, which aren't asked for."""
    wanted = {row.id: place for place, row in enumerate(rows)}
    parts = {id(row.siblings): row.siblings for row in rows if row.siblings}
    alone = [row for row in rows if not row.siblings]
    events = [event for siblings in parts.values() for event in _completed(siblings) if event.log_id in wanted]
    events += [event for row in alone for event in parse_again([row])]
    return sorted(events, key=lambda event: wanted[event.log_id])


def _completed(siblings: Sequence[StoredRow]) -> list[StoredEvent]:
    events = parse_again(siblings)
    join_apart([stored.event for stored in events])
    return events
