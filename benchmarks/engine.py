"""The streaming Sigma engine beside three floors: decoding the same events, rules tried one by one, and few rules.

All in one process and one thread, rounds alternating. The events are parsed beforehand: only evaluation is timed. The
matches of the engine and of the one-by-one loop are compared, and a difference ends the run.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from benchmarks.corpus import Corpus, corpus, sigma_rules
from services.siem.detections.engine import CompiledRule, Engine, compile_rule, decode, encode, split_documents
from services.siem.event import Event
from services.siem.logs.parsers import parse_items, read_items

_RECEIVED = datetime(2027, 1, 1, tzinfo=UTC)
_FEW_RULES = 100
_MANY_RULES = 1300
_ROUTED = ("windows", "process_creation")


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _rules() -> list[CompiledRule]:
    texts = [document for text in sigma_rules() for _, document in split_documents(text)]
    return [compile_rule(text) for text in texts]


def _events(work: Corpus) -> list[Event]:
    bodies = (read_items(body, work.media_type) for body in work.bodies)
    parsed = (parse_items(items, source="benchmark", received_at=_RECEIVED) for items in bodies)
    return [event for events in parsed for event in events if isinstance(event, Event)]


class _OneByOne:
    """Each rule an engine of its own: nothing is shared, nothing is looked up first."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._engines = [Engine([rule], index=False) for rule in rules]

    def evaluate(self, event: Event) -> list[str]:
        """As Engine.evaluate."""
        return sorted(rule_id for engine in self._engines for rule_id in engine.evaluate(event))


def _compare(engine: Engine, loop: _OneByOne, events: Sequence[Event]) -> None:
    for event in events:
        if engine.evaluate(event) != loop.evaluate(event):
            raise RuntimeError("the engine and the one-by-one loop disagree about an event")


def _few_and_many(rules: Sequence[CompiledRule]) -> tuple[Engine, Engine]:
    routed = [rule for rule in rules if (rule.product, rule.category) == _ROUTED and rule.condition is not None]
    chosen = random.Random(1).sample(routed, min(_MANY_RULES, len(routed)))
    return Engine(chosen[:_FEW_RULES]), Engine(chosen)


def _median_ratio(ours: Sequence[float], floors: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(ours, floors, strict=True))


def _seconds_an_event(evaluate: Callable[[Event], object], events: Sequence[Event]) -> float:
    return _timed(lambda: [evaluate(event) for event in events]) / max(1, len(events))


def _measure(rules: Sequence[CompiledRule], work: Corpus, rounds: int, every: int) -> dict[str, Any]:
    events = _events(work)
    lines = [line for body in work.bodies for line in body.splitlines()]
    sample = events[::every]
    routed = [event for event in events if any((view.product, view.category) == _ROUTED for view in event.views)]
    engine, loop = Engine(rules), _OneByOne(rules)
    few, many = _few_and_many(rules)
    _compare(engine, loop, sample)
    for warm in (engine, few, many):
        _seconds_an_event(warm.evaluate, events)
    ours, floor, single, few_cost, many_cost = [], [], [], [], []
    for _ in range(rounds):
        floor.append(_timed(lambda: [orjson.loads(line) for line in lines]) / len(lines))
        ours.append(_seconds_an_event(engine.evaluate, events))
        single.append(_seconds_an_event(loop.evaluate, sample))
        few_cost.append(_seconds_an_event(few.evaluate, routed))
        many_cost.append(_seconds_an_event(many.evaluate, routed))
    return {
        "per_second": round(1 / statistics.median(ours)),
        "floor_per_second": round(1 / statistics.median(floor)),
        "ratio": round(_median_ratio(ours, floor), 2),
        "microseconds_per_event": round(statistics.median(ours) * 1e6, 1),
        "times_faster_than_one_by_one": round(_median_ratio(single, ours), 1),
        f"microseconds_of_{_FEW_RULES}_rules": round(statistics.median(few_cost) * 1e6, 1),
        f"microseconds_of_{_MANY_RULES}_rules": round(statistics.median(many_cost) * 1e6, 1),
        f"{_MANY_RULES}_rules_cost_times_{_FEW_RULES}": round(_median_ratio(many_cost, few_cost), 2),
    }


async def run(events: int = 20_000, rounds: int = 5, one_by_one_every: int = 100) -> dict[str, Any]:
    """Medians of `rounds`; times are processor time. `ratio` is evaluation to decoding: how many floors it costs."""
    rules = _rules()
    if not rules:
        raise RuntimeError("the engine is measured on outside rules, and ../shared/data/sigma-rules.tar.xz isn't here")
    work = corpus(events, 1000)
    cached = [encode(rule) for rule in rules]
    from_cache = [_timed(lambda: Engine(map(decode, cached))) for _ in range(rounds)]
    return {
        "name": "engine",
        "unit": "events/s",
        "corpus": work.name,
        "rules": len(rules),
        **_measure(rules, work, rounds, one_by_one_every),
        "seconds_from_cache": round(statistics.median(from_cache), 2),
        "rounds": rounds,
    }
