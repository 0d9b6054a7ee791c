"""Flows, questions and events as the network tests make them; pure and reproducible."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.agents.toolkit.network.dns import Question
from services.agents.toolkit.network.flows import Flow
from shared.contracts.logs import LogEvent
from tests.unit.agents.agent_kit import NOW


def flow(at: float, **changes: Any) -> Flow:
    given: dict[str, Any] = {
        "log": "zeek.conn/",
        "log_id": f"log-{at}",
        "source": "10.0.0.5",
        "destination": "203.0.113.9",
        "port": 443,
    }
    return Flow(at=at, **{**given, **changes})


def flows_at(times: Iterable[float], **changes: Any) -> list[Flow]:
    return [flow(at, **changes) for at in times]


def every(interval: float, count: int, *, jitter: float = 0.0, seed: int = 1) -> list[float]:
    """Check-ins as frameworks sleep: the interval, less a random part of up to `jitter` of it."""
    chance = random.Random(seed)
    times = [1_000_000.0]
    for _ in range(count):
        times.append(times[-1] + interval * (1 - jitter * chance.random()))
    return times


def browsing(mean: float, count: int, seed: int) -> list[float]:
    """What has no rhythm: exponential intervals."""
    chance = random.Random(seed)
    times = [1_000_000.0]
    for _ in range(count):
        times.append(times[-1] + chance.expovariate(1 / mean))
    return times


def questions(names: Sequence[str], **changes: Any) -> list[Question]:
    given: dict[str, Any] = {"source": "10.0.0.5", "kind": "A", "missing": False}
    return [
        Question(at=1_000_000.0 + place, log_id=f"log-{place}", name=name, **{**given, **changes})
        for place, name in enumerate(names)
    ]


def logged(ecs: Mapping[str, Any]) -> LogEvent:
    """A stored event."""
    return LogEvent(
        id="log-1",
        timestamp=NOW,
        ingested_at=NOW,
        source="test",
        dataset="zeek.conn",
        message="a line",
        ecs=dict(ecs),
        raw="",
        receipt="r",
    )
