"""Beaconing: check-ins of one source with one destination at intervals that no person keeps. Pure.

Times closer together than BURST_SECONDS are one check-in. Of the intervals between check-ins the median and its
deviation (MAD) are taken; an interval of two or three times the median is a check-in that was missed. What people and
busy programmes do has no such centre: of exponential intervals 7% lie within NEAR of the median and 35% within WIDE.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from services.agents.toolkit.network.flows import Flow

BURST_SECONDS = 2.0
#: Intervals this near the median, as a part of it, are the same interval.
NEAR = 0.1
#: The widest jitter that frameworks offer in earnest: half of the interval.
WIDE = 0.5
MIN_STEADY_INTERVALS = 11
MIN_JITTERED_INTERVALS = 24
STEADY_SHARE = 0.85
JITTERED_SHARE = 0.95
#: Shorter than this, a download with its many requests looks regular too.
MIN_SPAN_SECONDS = 240.0
MIN_INTERVAL_SECONDS = 4.0
_MOST_MISSED = 3
_SAME_BYTES = 0.1
_BYTES_SLACK = 48

Regularity = Literal["steady", "jittered", "irregular"]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How regular some check-ins are. Times in seconds; shares from 0 to 1; `mad` is the median of the absolute
    deviations from the median interval."""

    checkins: int
    span: float
    interval: float
    mad: float
    near: float
    wide: float
    regularity: Regularity


@dataclass(frozen=True, slots=True)
class Beacon:
    """A series of connections with a rhythm. `same_bytes` is the share that sent about as much as the middle one, None
    where bytes weren't counted."""

    source: str
    destination: str
    port: int
    log: str
    rhythm: Rhythm
    same_bytes: float | None
    names: tuple[str, ...]
    processes: tuple[str, ...]
    agents: tuple[str, ...]
    first: float
    last: float
    log_ids: tuple[str, ...]


def rhythm_of(times: Iterable[float]) -> Rhythm | None:
    """The rhythm of some moments (epoch seconds, any order); None of fewer than three check-ins."""
    checkins = _checkins(sorted(times))
    if len(checkins) < 3:
        return None
    intervals = [later - earlier for earlier, later in pairwise(checkins)]
    middle = median(intervals)
    folded = [_folded(interval, middle) for interval in intervals]
    deviations = [abs(interval - middle) for interval in folded]
    near = sum(deviation <= NEAR * middle for deviation in deviations) / len(folded)
    wide = sum(deviation <= WIDE * middle for deviation in deviations) / len(folded)
    span = checkins[-1] - checkins[0]
    return Rhythm(
        checkins=len(checkins),
        span=round(span, 3),
        interval=round(middle, 3),
        mad=round(median(deviations), 3),
        near=round(near, 4),
        wide=round(wide, 4),
        regularity=_regularity(len(intervals), span, middle, near, wide),
    )


def _checkins(times: Sequence[float]) -> list[float]:
    kept: list[float] = []
    last = float("-inf")
    for moment in times:
        if moment - last > BURST_SECONDS:
            kept.append(moment)
        last = moment
    return kept


def _folded(interval: float, middle: float) -> float:
    """A missed check-in leaves a gap of two or three intervals: counted as one of them."""
    for missed in range(2, _MOST_MISSED + 1):
        if abs(interval - missed * middle) <= NEAR * middle:
            return interval / missed
    return interval


def _regularity(count: int, span: float, middle: float, near: float, wide: float) -> Regularity:
    if span < MIN_SPAN_SECONDS or middle < MIN_INTERVAL_SECONDS:
        return "irregular"
    if count >= MIN_STEADY_INTERVALS and near >= STEADY_SHARE:
        return "steady"
    return "jittered" if count >= MIN_JITTERED_INTERVALS and wide >= JITTERED_SHARE else "irregular"


def beacons_in(flows: Sequence[Flow]) -> list[Beacon]:
    """The regular series among some flows, the most check-ins first. Of a connection that several logs tell of, the
    log, and the programme, in which it is most regular speaks."""
    series: dict[tuple[str, str, int, str, str], list[Flow]] = defaultdict(list)
    for flow in flows:
        series[flow.series].append(flow)
    best: dict[tuple[str, str, int], Beacon] = {}
    for (source, destination, port, log, _), members in series.items():
        rhythm = rhythm_of(flow.at for flow in members)
        if rhythm is None or rhythm.regularity == "irregular":
            continue
        beacon = _beacon(source, destination, port, log, rhythm, members)
        known = best.get((source, destination, port))
        if known is None or beacon.rhythm.near > known.rhythm.near:
            best[source, destination, port] = beacon
    return sorted(
        best.values(), key=lambda beacon: (-beacon.rhythm.checkins, beacon.source, beacon.destination, beacon.port)
    )


def _beacon(source: str, destination: str, port: int, log: str, rhythm: Rhythm, flows: Sequence[Flow]) -> Beacon:
    sent = [flow.sent for flow in flows if flow.sent is not None]
    return Beacon(
        source=source,
        destination=destination,
        port=port,
        log=log,
        rhythm=rhythm,
        same_bytes=_same_bytes(sent) if len(sent) * 2 >= len(flows) else None,
        names=_distinct(flow.name for flow in flows),
        processes=_distinct(flow.process for flow in flows),
        agents=_distinct(flow.agent for flow in flows),
        first=min(flow.at for flow in flows),
        last=max(flow.at for flow in flows),
        log_ids=tuple(flow.log_id for flow in flows[:3]),
    )


def _same_bytes(sent: Sequence[int]) -> float:
    middle = median(sent)
    slack = max(_SAME_BYTES * middle, _BYTES_SLACK)
    return round(sum(abs(size - middle) <= slack for size in sent) / len(sent), 4)


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({text for text in texts if text})[:3])
