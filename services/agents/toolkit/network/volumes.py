"""Unusual volumes: what a source sent to one destination in a day, against what it sent anywhere before. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from services.agents.toolkit.network.flows import Flow

DAY_SECONDS = 86400.0
#: Less than this in a day is no volume, whatever came before.
MIN_BYTES = 50 * 1024 * 1024
#: So many times the most that was ever sent to one destination in a day.
TIMES = 5.0
#: Uploads send more than they get; downloads don't count however large they are.
MIN_RATIO = 2.0


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes that went to `destination` in the last day. `most_before` is the largest earlier day of any destination of
    the same source, over `days_before` days that had any large transfer."""

    source: str
    destination: str
    sent: int
    received: int
    most_before: int
    days_before: int
    name: str = ""


def most_sent(flows: Sequence[Flow]) -> int:
    """The most that a source sent to one destination, by one log; whether a closer look at volumes is worth it."""
    totals: dict[tuple[str, str, str], int] = defaultdict(int)
    for flow in flows:
        totals[flow.source, flow.destination, flow.log] += flow.sent or 0
    return max(totals.values(), default=0)


def uploads_in(flows: Sequence[Flow], end: float) -> list[Upload]:
    """The unusual uploads of the day before `end` (epoch seconds), the largest first.

    Where several logs tell of the same pair, the one that counted most speaks, so that nothing counts twice."""
    now = _per_day([flow for flow in flows if end - DAY_SECONDS <= flow.at < end], end)
    before = _per_day([flow for flow in flows if flow.at < end - DAY_SECONDS], end)
    names = {(flow.source, flow.destination): flow.name for flow in flows if flow.name}
    found = []
    for (source, destination, _), (sent, received) in now.items():
        earlier = {day: total[0] for (other, _, day), total in before.items() if other == source}
        most = max((total[0] for (other, _, _), total in before.items() if other == source), default=0)
        if sent >= MIN_BYTES and sent >= MIN_RATIO * received and sent >= TIMES * most:
            name = names.get((source, destination), "")
            found.append(Upload(source, destination, sent, received, most, len(earlier), name))
    return sorted(found, key=lambda upload: (-upload.sent, upload.source, upload.destination))


def _per_day(flows: Sequence[Flow], end: float) -> dict[tuple[str, str, int], tuple[int, int]]:
    """(source, destination, days before the end) -> bytes sent and received, of the log that counted most."""
    by_log: dict[tuple[str, str, int, str], list[int]] = defaultdict(lambda: [0, 0])
    for flow in flows:
        total = by_log[flow.source, flow.destination, int((end - flow.at) // DAY_SECONDS), flow.log]
        total[0] += flow.sent or 0
        total[1] += flow.received or 0
    best: dict[tuple[str, str, int], tuple[int, int]] = {}
    for (source, destination, day, _), (sent, received) in by_log.items():
        key = (source, destination, day)
        best[key] = max(best.get(key, (0, 0)), (sent, received))
    return best
