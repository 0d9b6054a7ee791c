"""The tool that asks which files ran or were written on a host, by their hashes, and of which the bytes are stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.agents.toolkit.fitting import fitted
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogEvent, LogQuery, log_term
from shared.contracts.wire import format_time

_PAGE, _PAGES = 200, 2
_MOST = 60
_MOST_NAMES = 3
_TEXT = 200
_BYTES = 14000
_AT_ONCE = 8
#: Of one file a log tells up to three: the longest names it.
_KINDS = ("sha256", "sha1", "md5")
#: Whose hashes an event tells, and where the same file is named.
_FILES = {"process": ("process.executable",), "file": ("file.path", "file.name")}
_HASHES = [f"{whose}.hash.{kind}" for whose in _FILES for kind in _KINDS]
_HAPPENED = "(event.category:process event.type:start or event.category:file event.type:(creation or change))"


class FilesArguments(msgspec.Struct, frozen=True, kw_only=True):
    """One host between two times; `since` included, `until` not."""

    host: Annotated[str, Meta(min_length=1, max_length=256)]
    since: datetime
    until: datetime


async def _files_seen(arguments: FilesArguments, sources: Sources) -> Any:
    hashed = " or ".join(f"{name}:*" for name in _HASHES)
    query = LogQuery(
        q=f"{log_term('host.name', arguments.host)} {_HAPPENED} ({hashed})",
        since=arguments.since,
        until=arguments.until,
        limit=_PAGE,
    )
    found = await sources.pages(query, _PAGES)
    files = _files_in(found.events)
    kept = sorted(files.values(), key=lambda file: (file["first_seen"], file["hash"]))[:_MOST]
    free = asyncio.Semaphore(_AT_ONCE)

    async def is_stored(file: dict[str, Any]) -> bool:
        async with free:
            return await sources.has_sample(file["hash"])

    stored = await asyncio.gather(*map(is_stored, kept))
    rows = [{**file, "stored": there} for file, there in zip(kept, stored, strict=True)]
    # Those whose bytes can be looked at stand first, whatever is cut.
    shown = fitted(sorted(rows, key=lambda row: not row["stored"]), _BYTES)
    return {"files": shown, "seen": len(files), "complete": found.complete and len(shown) == len(files)}


def _files_in(events: Iterable[LogEvent]) -> dict[str, dict[str, Any]]:
    """Hash -> {hash, names, first_seen, log_id of the first event}."""
    files: dict[str, dict[str, Any]] = {}
    for event in sorted(events, key=lambda event: (event.timestamp, event.id)):
        for whose, fields in _FILES.items():
            value = next((text for kind in _KINDS if (text := _text(event, f"{whose}.hash.{kind}"))), "").lower()
            if not (len(value) in (32, 40, 64) and value.isalnum()):
                continue
            first = {"hash": value, "names": [], "first_seen": format_time(event.timestamp), "log_id": event.id}
            names: list[str] = files.setdefault(value, first)["names"]
            name = next((text for field in fields if (text := _text(event, field))), "")[:_TEXT]
            if name and name not in names and len(names) < _MOST_NAMES:
                names.append(name)
    return files


def _text(event: LogEvent, field: str) -> str:
    value = event.ecs.get(field)
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)


#: {files: [{hash, names, first_seen, log_id, stored}], those stored first; seen, complete}
FILES_SEEN = Tool(
    "files_seen", "Which files ran or were written on a host, by their hashes", FilesArguments, SIEM_READ, _files_seen
)
