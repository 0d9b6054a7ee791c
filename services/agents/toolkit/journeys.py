"""Journeys between the places where somebody was, one after the other, and whether anybody travels so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from services.agents.toolkit.fencing import quote
from services.agents.toolkit.geography import Place, least_km

#: Faster than an airliner, over more than a few hundred kilometres.
LIMIT_KM_H = 900.0
_LEAST_KM = 500.0
_MOST = 5


class Point(NamedTuple):
    """Somebody was somewhere: `log_id` names the event that says so."""

    at: datetime
    who: str
    source: str
    place: Place
    log_id: str


def journeys(points: Iterable[Point]) -> list[dict[str, Any]]:
    """The five fastest ways between two sources of the same person, points in the order of time:
    {user, from, to, km, seconds, log_ids}; `km` is the least distance possible."""
    last: dict[str, Point] = {}
    pairs: list[tuple[Point, Point]] = []
    for point in points:
        before = last.get(point.who)
        if before is not None and before.source != point.source:
            pairs.append((before, point))
        last[point.who] = point
    rows = [_row(one, two) for one, two in pairs]
    return sorted((row for row in rows if row["km"] > 0), key=lambda row: -row["km"] / max(row["seconds"], 1.0))[:_MOST]


def _row(one: Point, two: Point) -> dict[str, Any]:
    return {
        "user": two.who,
        "from": {"ip": one.source, "country": one.place.country, "network": one.place.network},
        "to": {"ip": two.source, "country": two.place.country, "network": two.place.network},
        "km": round(least_km(one.place, two.place)),
        "seconds": round((two.at - one.at).total_seconds()),
        "log_ids": [one.log_id, two.log_id],
    }


def is_impossible(row: Mapping[str, Any]) -> bool:
    """Whether nobody travels so far in that time."""
    if row["km"] < _LEAST_KM:
        return False
    return bool(row["seconds"] <= 0 or row["km"] / (row["seconds"] / 3600) > LIMIT_KM_H)


def told(row: Mapping[str, Any]) -> str:
    """The journey in words: who, between where, how far, how fast."""
    ends = " and ".join(f"{quote(end['ip'], 60)} ({_where(end)})" for end in (row["from"], row["to"]))
    seconds = row["seconds"]
    span = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{round(seconds / 60)} minutes"
    return f"{quote(row['user'], 60)} was at {ends}, at least {row['km']} km apart, within {span}"


def _where(end: Mapping[str, Any]) -> str:
    return quote(end["country"], 20) if end["country"] else "by coordinates"
