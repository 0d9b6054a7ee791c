"""The tool that reads one host's timeline: each kind of event by a search of its own, so that what a host says most
of can't hide the rest; merged, the most telling kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta
from msgspec.structs import replace

from services.agents.toolkit.chronology import chosen, entries_of, focus, gap_json, gaps, skew_of, window
from services.agents.toolkit.sources import Found, Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.logs import compact
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogQuery, log_term

_PAGE = 200
_AT_ONCE = 4
#: Kind of event -> its search and how many pages of it are read. What removes traces is read for itself, since it
#: is rare and must not be lost among the rest.
_READ: tuple[tuple[str, str, int], ...] = (
    (
        "traces removed",
        'event.action:("audit-log-cleared" or "event-log-cleared" or "file-time-changed" or "shutdown-audit" or'
        ' "changed-audit-configuration" or "sysmon-state-changed") or event.code:(1102 or 104 or 517 or 4719)'
        ' or wevtutil or vssadmin or histfile or "history -c" or shred',
        1,
    ),
    ("process starts", "event.category:process event.type:start", 2),
    (
        "logons",
        "event.category:(authentication or session) event.type:start not event.outcome:failure"
        " (source.ip:* or winlog.logon.type:(2 or 7 or 9 or 10 or 11))",
        1,
    ),
    ("failed logons", "event.category:authentication event.outcome:failure", 1),
    ("changes of accounts", "event.category:iam", 1),
    (
        "scripts, services and settings",
        'event.action:("powershell-script-block" or "powershell-module" or typed)'
        " or event.category:(configuration or driver or host)",
        2,
    ),
    ("file changes", "event.category:file event.type:(creation or change or deletion)", 1),
    ("registry changes", "event.category:registry", 1),
    ("connections", "event.category:network", 1),
)
_INTERVALS = 60
_LEAST_INTERVAL = timedelta(minutes=1)


class TimelineArguments(msgspec.Struct, frozen=True, kw_only=True):
    """One host between two times; `since` included, `until` not. `users` leaves only what these accounts did. Of what
    there is too much of, what happened from `focus_since` to `focus_until` is read besides the latest."""

    host: Annotated[str, Meta(min_length=1, max_length=256)]
    since: datetime
    until: datetime
    users: Annotated[tuple[str, ...], Meta(max_length=8)] = ()
    focus_since: datetime | None = None
    focus_until: datetime | None = None


def around(host: str, first_seen: datetime, last_seen: datetime) -> TimelineArguments:
    """The timeline of a host around alerts: the same arguments for whoever asks, and so the same record."""
    since, until = window(first_seen, last_seen)
    start, end = focus(first_seen, last_seen)
    return TimelineArguments(host=host[:256], since=since, until=until, focus_since=start, focus_until=end)


async def _timeline(arguments: TimelineArguments, sources: Sources) -> Any:
    base = log_term("host.name", arguments.host)
    if arguments.users:
        base += f" ({' or '.join(log_term('user.name', user) for user in arguments.users)})"
    free = asyncio.Semaphore(_AT_ONCE)

    async def read(search: str, pages: int) -> Found:
        query = LogQuery(q=f"{base} ({search})", since=arguments.since, until=arguments.until, limit=_PAGE)
        async with free:
            latest = await sources.pages(query, pages)
            if latest.complete or arguments.focus_since is None or arguments.focus_until is None:
                return latest
            focused = replace(query, since=arguments.focus_since, until=arguments.focus_until)
            return Found([*latest.events, *(await sources.pages(focused, pages)).events], complete=False)

    found = await asyncio.gather(*(read(search, pages) for _, search, pages in _READ))
    # A busy host's take a quarter of a second: others are served meanwhile.
    told = await asyncio.to_thread(_told, found)
    return {**told, "gaps": await _gaps(arguments, sources)}


def _told(found: Sequence[Found]) -> dict[str, Any]:
    events = {event.id: compact(event) for part in found for event in part.events}
    entries = entries_of(events.values())
    kept = chosen(entries)
    return {
        "seen": len(events),
        "entries": kept,
        "clock_ahead_seconds": skew_of(events.values()),
        "cut": [name for (name, _, _), part in zip(_READ, found, strict=True) if not part.complete],
        "left_out": len(entries) - len(kept),
    }


async def _gaps(arguments: TimelineArguments, sources: Sources) -> Sequence[dict[str, str]]:
    """The host's silences, whoever acted."""
    interval = max(_LEAST_INTERVAL, (arguments.until - arguments.since) / _INTERVALS)
    seconds = int(interval.total_seconds())
    page = await sources.page(
        LogQuery(
            q=log_term("host.name", arguments.host),
            since=arguments.since,
            until=arguments.until,
            limit=1,
            fields="host.name",
            histogram=f"{seconds}s",
        )
    )
    counts = [] if page.histogram is UNSET else page.histogram
    return [gap_json(gap) for gap in gaps(counts, timedelta(seconds=seconds))]


#: {seen, entries, gaps, clock_ahead_seconds, cut: kinds of which older events weren't read, left_out: entries}
TIMELINE = Tool("timeline", "What happened on a host, in order", TimelineArguments, SIEM_READ, _timeline)
