"""The tool that builds the process tree around one process: its ancestors and what it started, from the logs.

The starts on the host around the time are read at once, which is nearly always the whole tree; only what lies before
that, or a host too busy for it, is asked for process by process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from services.agents.toolkit.process_tree import Process, Relation, starts_in
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.logs import compact
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogQuery, log_term

_BEFORE = timedelta(hours=12)
#: The part that is read at once.
_NEAR_BEFORE = timedelta(minutes=3)
_AFTER = timedelta(minutes=10)
_MAX_ANCESTORS = 8
_MAX_DESCENDANTS = 40
_MAX_QUERIES = 20
_PAGE = 200
_AT_ONCE = 4
#: Two clocks of one host (the sensor's and the kernel's) differ by less.
_SKEW = timedelta(seconds=2)


class TreeArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The process to look around: by entity id where there is one, else by pid, at a time."""

    host: str
    at: datetime
    pid: int | None = None
    entity_id: str | None = None


class _Walk:
    """One bounded walk through the starts of a host."""

    def __init__(self, arguments: TreeArguments, sources: Sources) -> None:
        self._host = log_term("host.name", arguments.host)
        self._since = arguments.at - _BEFORE
        self._near = arguments.at - _NEAR_BEFORE
        self._until = arguments.at + _AFTER
        self._sources = sources
        self._queries = 0
        self._near_starts: list[Process] = []
        self._all_near = False

    async def look_around(self) -> None:
        """Reads the starts near the time."""
        self._queries += 1
        q = f"{self._host} event.category:process event.type:start"
        found = await self._sources.pages(LogQuery(q=q, since=self._near, until=self._until, limit=_PAGE), 1)
        self._near_starts = starts_in([compact(event) for event in found.events])
        self._all_near = found.complete

    async def find(self, field: str, value: object, since: datetime | None = None) -> list[Process]:
        """Starts whose field has the value, oldest first; `since` says that earlier ones don't matter."""
        near = [process for process in self._near_starts if _matches(process, field, value)]
        if near or (self._all_near and since is not None and since >= self._near):
            return near
        if self._queries >= _MAX_QUERIES:
            return []
        self._queries += 1
        q = f"{self._host} {log_term(field, str(value))} event.category:process event.type:start"
        query = LogQuery(q=q, since=self._since, until=self._until, limit=_PAGE // 4)
        return starts_in([compact(event) for event in await self._sources.logs(query)])

    @property
    def exhausted(self) -> bool:
        """Whether the walk was cut short by its bound."""
        return self._queries >= _MAX_QUERIES


_VALUES = {
    "process.entity_id": "entity_id",
    "process.pid": "pid",
    "process.parent.entity_id": "parent_entity_id",
    "process.parent.pid": "parent_pid",
}


def _matches(process: Process, field: str, value: object) -> bool:
    return bool(getattr(process, _VALUES[field]) == value)


def _moment(process: Process) -> datetime:
    return datetime.fromisoformat(process.timestamp)


async def _process_tree(arguments: TreeArguments, sources: Sources) -> Any:
    walk = _Walk(arguments, sources)
    await walk.look_around()
    selves = await _selves(arguments, walk)
    if not selves:
        return {"processes": [], "complete": True}
    known = {process.log_id: process for process in selves}
    await _ancestors(selves[-1], walk, known)
    await _descendants(selves, walk, known)
    ordered = sorted(known.values(), key=lambda process: (process.timestamp, process.log_id))
    return {"processes": ordered, "complete": not walk.exhausted}


async def _selves(arguments: TreeArguments, walk: _Walk) -> list[Process]:
    """The process itself: of a reused pid the last start before the event, with the execs that followed in it."""
    if arguments.entity_id:
        return _as(await walk.find("process.entity_id", arguments.entity_id), "self")
    if arguments.pid is None:
        return []
    until = arguments.at + _SKEW
    starts = [item for item in await walk.find("process.pid", arguments.pid) if _moment(item) <= until]
    return _as([item for item in starts if item.parent_pid == starts[-1].parent_pid], "self")


async def _ancestors(process: Process, walk: _Walk, known: dict[str, Process]) -> None:
    for _ in range(_MAX_ANCESTORS):
        if process.parent_entity_id:
            found = await walk.find("process.entity_id", process.parent_entity_id)
        elif process.parent_pid:
            found = await walk.find("process.pid", process.parent_pid)
        else:
            return
        until = _moment(process) + _SKEW
        fresh = [item for item in found if item.log_id not in known and _moment(item) <= until]
        if not fresh:
            return
        process = _as(fresh, "ancestor")[-1]
        known[process.log_id] = process


async def _descendants(roots: Sequence[Process], walk: _Walk, known: dict[str, Process]) -> None:
    waiting = list(roots)
    seen: set[object] = set()
    while waiting and len(known) < _MAX_DESCENDANTS:
        parents, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
        fresh = [parent for parent in parents if (parent.entity_id or parent.pid) not in {None, *seen}]
        seen.update(parent.entity_id or parent.pid for parent in fresh)
        for parent, children in zip(
            fresh, await asyncio.gather(*(_children(item, walk) for item in fresh)), strict=True
        ):
            for child in _as(children, "descendant"):
                if child.log_id not in known and child.timestamp >= parent.timestamp:
                    known[child.log_id] = child
                    waiting.append(child)


async def _children(parent: Process, walk: _Walk) -> list[Process]:
    since = _moment(parent)
    if parent.entity_id:
        return await walk.find("process.parent.entity_id", parent.entity_id, since)
    return await walk.find("process.parent.pid", parent.pid, since)


def _as(processes: list[Process], relation: Relation) -> list[Process]:
    return [msgspec.structs.replace(process, relation=relation) for process in processes]


PROCESS_TREE = Tool(
    "process_tree", "Ancestors and descendants of a process, from the logs", TreeArguments, SIEM_READ, _process_tree
)
