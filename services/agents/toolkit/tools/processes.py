"""The tool that builds the process tree around one process: its ancestors and what it started, from the logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from services.agents.toolkit.process_tree import Process, Relation, starts_in
from services.agents.toolkit.queries import phrase
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.logs import compact
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import LogQuery

_BEFORE = timedelta(hours=12)
_AFTER = timedelta(minutes=30)
_MAX_ANCESTORS = 8
_MAX_DESCENDANTS = 60
_MAX_QUERIES = 24
_PAGE = 50


class TreeArguments(msgspec.Struct, frozen=True, kw_only=True):
    """The process to look around: by entity id where there is one, else by pid, at a time."""

    host: str
    at: datetime
    pid: int | None = None
    entity_id: str | None = None


class _Walk:
    """One bounded walk through the logs of a host."""

    def __init__(self, arguments: TreeArguments, sources: Sources) -> None:
        self._host = arguments.host
        self._since = arguments.at - _BEFORE
        self._until = arguments.at + _AFTER
        self._sources = sources
        self._queries = 0

    async def find(self, field: str, value: object, *, until: datetime | None = None) -> list[Process]:
        """Process starts on the host whose field has the value, oldest first."""
        if self._queries >= _MAX_QUERIES:
            return []
        self._queries += 1
        q = f"host.name:{phrase(self._host)} {field}:{phrase(str(value))} event.category:*process*"
        query = LogQuery(q=q, since=self._since, until=until or self._until, limit=_PAGE)
        return starts_in([compact(event) for event in await self._sources.logs(query)])

    @property
    def exhausted(self) -> bool:
        """Whether the walk was cut short by its bound."""
        return self._queries >= _MAX_QUERIES


def _moment(process: Process) -> datetime:
    return datetime.fromisoformat(process.timestamp)


async def _process_tree(arguments: TreeArguments, sources: Sources) -> Any:
    walk = _Walk(arguments, sources)
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
    until = arguments.at + timedelta(seconds=2)
    if arguments.entity_id:
        return _as(await walk.find("process.entity_id", arguments.entity_id), "self")
    if arguments.pid is None:
        return []
    starts = await walk.find("process.pid", arguments.pid, until=until)
    if not starts:
        return []
    parent = starts[-1].parent_pid
    return _as([process for process in starts if process.parent_pid == parent], "self")


async def _ancestors(process: Process, walk: _Walk, known: dict[str, Process]) -> None:
    for _ in range(_MAX_ANCESTORS):
        if process.parent_entity_id:
            found = await walk.find("process.entity_id", process.parent_entity_id)
        elif process.parent_pid:
            found = await walk.find("process.pid", process.parent_pid, until=_moment(process) + timedelta(seconds=1))
        else:
            return
        fresh = [item for item in found if item.log_id not in known]
        if not fresh:
            return
        process = _as(fresh, "ancestor")[-1]
        known[process.log_id] = process


async def _descendants(roots: Sequence[Process], walk: _Walk, known: dict[str, Process]) -> None:
    waiting = list(roots)
    seen: set[object] = set()
    while waiting and len(known) < _MAX_DESCENDANTS:
        parent = waiting.pop(0)
        key = parent.entity_id or parent.pid
        if key is None or key in seen:
            continue
        seen.add(key)
        field = "process.parent.entity_id" if parent.entity_id else "process.parent.pid"
        for child in _as(await walk.find(field, key), "descendant"):
            if child.log_id not in known and child.timestamp >= parent.timestamp:
                known[child.log_id] = child
                waiting.append(child)


def _as(processes: list[Process], relation: Relation) -> list[Process]:
    for process in processes:
        process.relation = relation
    return processes


PROCESS_TREE = Tool(
    "process_tree", "Ancestors and descendants of a process, from the logs", TreeArguments, SIEM_READ, _process_tree
)
