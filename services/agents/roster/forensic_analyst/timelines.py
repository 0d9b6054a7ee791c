"""From recorded timelines of hosts to one timeline: merged, in order, each entry with its citation. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from services.agents.toolkit.chronology import Entry
from services.agents.toolkit.fencing import quote
from shared.contracts.investigations import Citation
from shared.contracts.timelines import Timeline, TimelineEntry, TimelineGap

_MAX_ENTRIES = 400


def merged(read: Sequence[Citation]) -> Timeline:
    """All entries of the recorded timelines, each once, oldest first; above 400 the most telling."""
    entries: dict[tuple[str, ...], TimelineEntry] = {}
    for citation in read:
        for entry in msgspec.convert(citation.result.get("entries", []), list[Entry]):
            entries.setdefault((entry.timestamp, *entry.log_ids, entry.text), _entry(entry, citation))
    telling = sorted(entries.values(), key=lambda entry: (-entry.weight, entry.timestamp, entry.log_ids))
    return Timeline(
        entries=sorted(telling[:_MAX_ENTRIES], key=lambda entry: (entry.timestamp, entry.log_ids)),
        gaps=_gaps(read),
        skewed=[note for citation in read for note in skewed(citation)],
        complete=len(telling) <= _MAX_ENTRIES and all(complete(citation) for citation in read),
        citations=list(read),
    )


def complete(citation: Citation) -> bool:
    """Whether a recorded timeline holds all that was told."""
    result = citation.result
    return not (result.get("cut") or result.get("left_out") or "truncated" in result)


def skewed(citation: Citation) -> list[str]:
    """A note where the host's clock runs ahead: its events stand too late in the timeline."""
    ahead = citation.result.get("clock_ahead_seconds")
    if not ahead:
        return []
    host = quote(citation.arguments.get("host", ""), 60)
    return [f"the clock of {host} is up to {ahead} s ahead: its events stand too late among others'"]


def cut_notes(citation: Citation) -> list[str]:
    """What of a host's timeline was not read or left out."""
    host = quote(citation.arguments.get("host", ""), 60)
    result = citation.result
    notes = []
    if result.get("cut"):
        notes.append(f"the oldest of {', '.join(result['cut'])} on {host}: there were too many")
    if result.get("left_out"):
        notes.append(f"{result['left_out']} less telling entries of the timeline of {host} were left out")
    return notes


def _entry(entry: Entry, citation: Citation) -> TimelineEntry:
    return TimelineEntry(
        timestamp=datetime.fromisoformat(entry.timestamp),
        last=datetime.fromisoformat(entry.last),
        count=entry.count,
        host=entry.host,
        actor=entry.actor,
        kind=entry.kind,
        phase=entry.phase,
        mitre_techniques=entry.mitre_techniques,
        weight=entry.weight,
        text=entry.text,
        log_ids=entry.log_ids,
        citation=citation.id,
    )


def _gaps(read: Sequence[Citation]) -> list[TimelineGap]:
    found = {
        (str(citation.arguments.get("host", "")), gap["since"], gap["until"]): citation.id
        for citation in read
        for gap in citation.result.get("gaps", ())
    }
    return [
        TimelineGap(host=host, since=datetime.fromisoformat(since), until=datetime.fromisoformat(until), citation=id_)
        for (host, since, until), id_ in sorted(found.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
