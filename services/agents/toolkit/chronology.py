"""Events as entries of a timeline: what happened, by whom, in which phase of an intrusion; merged, chosen, bounded.

Pure: no I/O and no clock. What an entry says of intent is the toolkit's knowledge of events and commands; nothing is
judged here. Texts quote what attackers wrote, fenced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from services.agents.toolkit.behaviours import Behaviour, behaviours_in
from services.agents.toolkit.eventsigns import Fact, facts_of, texts_of
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.phases import phase_of
from shared.contracts.logs import TimeCount
from shared.contracts.timelines import EntryKind
from shared.contracts.wire import format_time

SKEW_FIELD = "aurora.clock_skew_seconds"
_BEFORE, _AFTER = timedelta(minutes=15), timedelta(minutes=30)
_JUST_BEFORE, _JUST_AFTER = timedelta(minutes=2), timedelta(minutes=3)
#: A timeline longer than this says little about one alert and costs much.
_LONGEST = timedelta(hours=6)
_MAX_ENTRIES = 48
_MAX_BYTES = 13 * 1024
_MAX_IDS = 2
#: Audit records, sudo and a sensor tell of one command within this time, with and without its folder.
_AT_ONCE = timedelta(seconds=1)
_SAID_OTHERWISE = re.compile(r'"(?:sudo (?:-\S+ )*)?(?:/(?:[\w.-]+/)*)?(?=[\w.])')
#: Of the kept, so many are the most telling, and so many orient at most; these kinds do.
_MOST_TELLING = 24
_MOST_ORIENTING = 14
_ORIENTING = ("logon", "account", "service", "log_clearing")
_SHOWN = 160
_MAX_TECHNIQUES = 3
#: A host is silent, not idle, when it says nothing for so long and for so many times its usual pause.
_SILENCE = timedelta(minutes=10)
_TIMES_USUAL = 5
_MAX_GAPS = 5
_RUN = ("process.command_line", "powershell.file.script_block_text", "powershell.command.invocation_details")
#: Accounts of the system itself: their logons and programs are the host's own life.
_SYSTEM = frozenset({"system", "local service", "network service", "anonymous logon", "local system", "-", ""})
_KINDS: tuple[tuple[str, EntryKind], ...] = (
    ("authentication", "logon"), ("session", "logon"), ("iam", "account"), ("registry", "registry"),
    ("network", "network"), ("file", "file"), ("process", "process"),
)  # fmt: skip
_ACTIONS: dict[str, EntryKind] = {
    "audit-log-cleared": "log_clearing", "event-log-cleared": "log_clearing", "powershell-script-block": "script",
    "powershell-module": "script", "service-installed": "service", "service-changed": "service",
    "scheduled-task-created": "service", "scheduled-task-updated": "service", "scheduled-task-deleted": "service",
    "started-service": "service", "stopped-service": "service", "service-state-changed": "service",
}  # fmt: skip
#: What stands in a timeline though it says nothing of intent, and how it is told.
_LANDMARKS = {
    "service-installed": "installed a service",
    "scheduled-task-created": "scheduled a task",
    "scheduled-task-deleted": "deleted a scheduled task",
    "added-user-account": "made an account",
    "user_added": "made an account",
    "group_member_added": "added a member to a group",
    "deleted-user-account": "deleted an account",
    "added-member-to-group": "added a member to a group",
    "changed-password": "changed a password",
    "reset-password": "reset a password",
    "audit-log-cleared": "cleared the audit log",
    "event-log-cleared": "cleared an event log",
    "loaded-kernel-module": "loaded a kernel module",
    "booted-system": "the system started",
    "shutdown-system": "the system was shut down",
    "shutdown-audit": "the audit daemon ended",
    "changed-audit-configuration": "the audit configuration changed",
    "file-time-changed": "changed the creation time of a file",
}
_LANDMARK_FIELDS = ("service.name", "winlog.task_name", "user.target.name", "group.name", "file.path")
#: Types of a Windows logon by which somebody enters: at the console, over the network, remotely, with credentials.
_ENTERING = frozenset({"2", "3", "7", "9", "10", "11"})


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing that happened, `count` times from `timestamp` to `last` (RFC 3339). `weight` is how strongly it speaks
    of an attack (ADR 7), 0 for what only orients."""

    timestamp: str
    last: str
    count: int = 1
    host: str = ""
    actor: str = ""
    kind: EntryKind
    phase: str | None = None
    mitre_techniques: list[str] = []
    weight: float = 0.0
    text: str
    log_ids: list[str]


class Gap(NamedTuple):
    """A host's silence, by the interval it was counted in."""

    since: datetime
    until: datetime


def window(first_seen: datetime, last_seen: datetime) -> tuple[datetime, datetime]:
    """The time around an alert that its timeline covers; the end of a very long alert."""
    until = last_seen + _AFTER
    return max(first_seen - _BEFORE, until - _LONGEST), until


def focus(first_seen: datetime, last_seen: datetime) -> tuple[datetime, datetime]:
    """The time of the alert itself, which is read even where the rest is too much."""
    return max(first_seen, last_seen - _LONGEST) - _JUST_BEFORE, last_seen + _JUST_AFTER


def entries_of(events: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The entries of compact events, oldest first. The same thing again is counted on the first; what several sources
    tell of at once, each in its own words, is one thing."""
    merged: dict[tuple[str, ...], list[Entry]] = {}
    for event in sorted(events, key=lambda event: (event["timestamp"], event["log_id"])):
        entry = entry_of(event)
        if entry is None:
            continue
        alike = merged.setdefault((entry.kind, entry.host, _SAID_OTHERWISE.sub('"', entry.text, count=1)), [])
        known = next((item for item in alike if _at_once(item, entry)), None)
        again = None if known else next((item for item in alike if item.actor == entry.actor), None)
        if again is not None:
            again.count += 1
            again.last = entry.last
        if (first := known or again) is None:
            alike.append(entry)
        elif len(first.log_ids) < _MAX_IDS:
            first.log_ids += entry.log_ids
    return sorted((entry for alike in merged.values() for entry in alike), key=_place)


def _at_once(known: Entry, entry: Entry) -> bool:
    """Whether both may tell of one occurrence: from sources of other names, or of the same within its fractions."""
    apart = datetime.fromisoformat(entry.timestamp) - datetime.fromisoformat(known.last)
    return apart <= _AT_ONCE


def _place(entry: Entry) -> tuple[str, list[str]]:
    return entry.timestamp, entry.log_ids


def entry_of(event: Mapping[str, Any]) -> Entry | None:
    """What one compact event adds to a timeline; None for what neither tells of intent nor orients."""
    told = _telling(event) or _plain(event, _kind(event))
    if told is None:
        return None
    return Entry(
        timestamp=event["timestamp"],
        last=event["timestamp"],
        host=_first(event, "host.name")[:120],
        actor=_first(event, "user.name")[:120],
        kind=told.kind,
        phase=phase_of(told.techniques),
        mitre_techniques=list(told.techniques[:_MAX_TECHNIQUES]),
        weight=told.weight,
        text=told.text,
        log_ids=[event["log_id"]],
    )


class _Told(NamedTuple):
    kind: EntryKind
    text: str
    weight: float = 0.0
    techniques: tuple[str, ...] = ()


def _telling(event: Mapping[str, Any]) -> _Told | None:
    """The strongest thing that the event's fields or its command say of intent."""
    ran = [text for name in _RUN for text in texts_of(event, name)]
    found: list[Behaviour | Fact] = [*facts_of(event), *(item for text in ran for item in behaviours_in(text))]
    if not found:
        return None
    found.sort(key=lambda item: (-item.weight, item.id))
    strongest = found[0]
    techniques = tuple(dict.fromkeys(technique for item in found for technique in item.techniques))
    if isinstance(strongest, Fact):
        kind, shown = _kind(event), _first(event, *strongest.show)
    else:
        # Whatever record holds the command: it tells of what was run.
        kind, shown = "process" if texts_of(event, _RUN[0]) else "script", ran[0]
    return _Told(kind, f"{strongest.text}: {quote(shown or event['message'], _SHOWN)}", strongest.weight, techniques)


def _plain(event: Mapping[str, Any], kind: EntryKind) -> _Told | None:
    """What orients: a person's programs and logons, and what changes a host."""
    action = _first(event, "event.action")
    if action in _LANDMARKS:
        about = " ".join(quote(text[0], 80) for name in _LANDMARK_FIELDS if (text := texts_of(event, name)))
        return _Told(kind, f"{_LANDMARKS[action]} {about}".strip())
    if _first(event, "user.name").lower() in _SYSTEM:
        return None
    if kind == "logon":
        return _logon(event)
    if kind == "process" and "start" in texts_of(event, "event.type"):
        command = _first(event, "process.command_line", "process.executable")
        return _Told(kind, f"ran {quote(command, _SHOWN)}") if command else None
    return None


def _logon(event: Mapping[str, Any]) -> _Told | None:
    if "start" not in texts_of(event, "event.type") or not _entered(event):
        return None
    failed = _first(event, "event.outcome") == "failure"
    source = _first(event, "source.ip", "source.domain")
    origin = f" from {quote(source, 80)}" if source else ""
    return _Told("logon", f"{'failed to log on' if failed else 'logged on'}{origin}")


def _entered(event: Mapping[str, Any]) -> bool:
    kind = _first(event, "winlog.logon.type")
    machine = _first(event, "user.name").endswith("$")
    return not machine and (kind in _ENTERING or (not kind and "winlog.channel" not in event["ecs"]))


def _kind(event: Mapping[str, Any]) -> EntryKind:
    action = _first(event, "event.action")
    if action in _ACTIONS:
        return _ACTIONS[action]
    categories = texts_of(event, "event.category")
    return next((kind for category, kind in _KINDS if category in categories), "other")


def _first(event: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names for text in texts_of(event, name)), "")


def chosen(entries: Sequence[Entry]) -> list[Entry]:
    """At most so many that a record holds them, in their order: the most telling, then logons and changes that orient,
    evenly over the time, then what is less telling, then other programs."""
    ranked = sorted((entry for entry in entries if entry.weight > 0), key=lambda entry: (-entry.weight, *_place(entry)))
    landmarks = [entry for entry in entries if entry.weight == 0 and entry.kind in _ORIENTING]
    programs = [entry for entry in entries if entry.weight == 0 and entry.kind not in _ORIENTING]
    kept = [*ranked[:_MOST_TELLING], *_evenly(landmarks, _MOST_ORIENTING), *ranked[_MOST_TELLING:]]
    kept = [*kept, *_evenly(programs, max(_MAX_ENTRIES - len(kept), 0))][:_MAX_ENTRIES]
    while kept and len(msgspec.json.encode(kept)) > _MAX_BYTES:
        kept.pop()
    return sorted(kept, key=_place)


def _evenly(entries: Sequence[Entry], most: int) -> list[Entry]:
    if len(entries) <= most:
        return list(entries)
    return [entries[place * (len(entries) - 1) // max(most - 1, 1)] for place in range(most)]


def skew_of(events: Iterable[Mapping[str, Any]]) -> int | None:
    """How many seconds the events' clock is at most ahead of their arrival; None where the siem flagged none."""
    found = [int(text) for event in events for text in texts_of(event, SKEW_FIELD) if text.isdigit()]
    return max(found, default=None)


def gaps(counts: Sequence[TimeCount], interval: timedelta) -> list[Gap]:
    """Silences between two times at which a host talked: long ones, and unusual by its own pauses. `counts` leave
    intervals without events out, oldest first."""
    times = [item.time for item in counts]
    pauses = sorted(later - earlier - interval for earlier, later in pairwise(times))
    if not pauses:
        return []
    usual = max(pauses[len(pauses) // 2], interval)
    least = max(_SILENCE, usual * _TIMES_USUAL)
    found = [
        Gap(earlier + interval, later) for earlier, later in pairwise(times) if later - earlier - interval >= least
    ]
    return sorted(sorted(found, key=lambda gap: gap.since - gap.until)[:_MAX_GAPS])


def gap_json(gap: Gap) -> dict[str, str]:
    """A gap as a tool returns it."""
    return {"since": format_time(gap.since), "until": format_time(gap.until)}
