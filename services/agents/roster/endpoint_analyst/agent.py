"""Endpoint analyst: rebuilds what ran around the alert, decodes it, and judges the whole chain."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from services.agents.roster.endpoint_analyst import judgement
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.commandsigns import command_signs
from services.agents.toolkit.eventsigns import event_signs
from services.agents.toolkit.evidence import Seen, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.indicators import extract
from services.agents.toolkit.signs import Sign, scaled
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.commands import DECODE_COMMAND
from services.agents.toolkit.tools.history import PAIR_HISTORY, PairArguments
from services.agents.toolkit.tools.logs import ACTIVITY, GET_EVENT, ActivityArguments, ActivityField
from services.agents.toolkit.tools.processes import PROCESS_TREE, TreeArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.investigations import Citation

_MAX_TREES = 4
_MAX_PROCESSES = 60
_MAX_SESSIONS = 4
_BEFORE, _AFTER = timedelta(minutes=10), timedelta(minutes=30)
#: Pairs of parent and child whose past is asked for, how far back, and what just before belongs to the same action.
_MAX_PAIRS = 4
_HISTORY = timedelta(days=14)
_RECENT = timedelta(minutes=30)


class EndpointAnalyst:
    """What really ran."""

    id = "endpoint_analyst"
    description = "Process trees, decoded command lines, what the process and its session did before and after"
    tools: Sequence[Tool[Any]] = (
        GET_ALERT_TOOL, GET_EVENT, PROCESS_TREE, PAIR_HISTORY, ACTIVITY, DECODE_COMMAND,
    )  # fmt: skip
    skills: Sequence[Skill[Any, Any]] = ()

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        if evidence.alert is None:
            return await undetermined([], evidence.iocs, "low", "indicators alone name no process", work)
        signs: list[Sign] = []
        texts: list[str] = []
        for seen in evidence.events:
            signs += event_signs(seen.event, seen.citation)
            for command in seen.commands():
                found, hidden = await command_signs(command, seen.citation, work)
                signs += found
                texts += [command, *hidden]
        trees = await self._trees(evidence.events, work)
        for tree in trees:
            found, commands = await self._tree_signs(tree, work)
            signs += found
            texts += commands
        signs += await self._deeds(evidence.events, work)
        level = evidence.level
        if not (trees or texts or signs):
            reason = "no process is known for this alert's events"
            return await undetermined(signs, evidence.iocs, level, reason, work)
        iocs = list(dict.fromkeys([*evidence.iocs, *extract(texts)]))
        return await assess(signs, iocs, level, work, clean=judgement.clean(level, trees))

    async def _trees(self, events: Sequence[Seen], work: Work) -> list[Citation]:
        found = await asyncio.gather(*(work.use(PROCESS_TREE, arguments) for arguments in _targets(events)))
        trees = {tree.id: tree for tree in found if tree is not None and tree.result["processes"]}
        if not all(tree.result["complete"] for tree in trees.values()):
            work.not_checked.append("a process tree was too large to be read to its end")
        return list(trees.values())

    async def _tree_signs(self, tree: Citation, work: Work) -> tuple[list[Sign], list[str]]:
        processes = tree.result["processes"][:_MAX_PROCESSES]
        signs = judgement.discovery_signs(_lines(processes), tree) + await self._pair_signs(processes, tree, work)
        texts: list[str] = []
        for process in judgement.distinct(processes):
            found, hidden = await command_signs(process["command_line"], tree, work)
            signs += scaled(found, judgement.RELATION_WEIGHT[process.get("relation", "self")])
            texts += [process["command_line"], *hidden]
        if not signs:
            names = ", ".join(quote(process.get("name", ""), 40) for process in processes[:6])
            work.ruled_out.append(f"attack behaviour in {len(processes)} process(es) of the tree: {names}")
        return signs, texts

    async def _pair_signs(self, processes: Sequence[Mapping[str, Any]], tree: Citation, work: Work) -> list[Sign]:
        """Who started whom, held against what this estate did in the weeks before."""
        signs: list[Sign] = []
        for pair in judgement.telling_pairs(processes)[:_MAX_PAIRS]:
            until = pair.moment - _RECENT
            arguments = PairArguments(
                field_a="process.parent.executable",
                value_a=pair.parent,
                field_b="process.executable",
                value_b=pair.child,
                since=until - _HISTORY,
                until=until,
            )
            past = await work.use(PAIR_HISTORY, arguments)
            others = None
            if past is not None and past.result["count"] == 0:
                others = await work.use(PAIR_HISTORY, replace(arguments, field_b=None, value_b=None))
            signs += judgement.pair_signs(pair, tree, past, others)
        return signs

    async def _deeds(self, events: Sequence[Seen], work: Work) -> list[Sign]:
        """What the alert's processes and sessions did besides."""
        calls = [*_process_windows(events), *_session_windows(events), *_script_windows(events)]
        found = await asyncio.gather(*(work.use(ACTIVITY, call) for call in calls))
        signs: list[Sign] = []
        for arguments, deeds in zip(calls, found, strict=True):
            if deeds is not None:
                weight = judgement.DEED_WEIGHT[arguments.field]
                signs += scaled(await self._deed_signs(arguments, deeds, work), weight)
        return signs

    async def _deed_signs(self, arguments: ActivityArguments, deeds: Citation, work: Work) -> list[Sign]:
        events = deeds.result["events"]
        commands = _lines_of(events)
        signs = [sign for event in events for sign in event_signs(event, deeds)]
        for command in dict.fromkeys(commands):
            signs += (await command_signs(command, deeds, work))[0]
        signs += judgement.discovery_signs(commands, deeds)
        what = f"{arguments.field} {quote(arguments.value, 60)}"
        if not signs:
            work.ruled_out.append(f"attack behaviour in {deeds.result['seen']} event(s) of {what}")
        if not deeds.result["complete"] or "truncated" in deeds.result:
            work.not_checked.append(f"only the most telling events of {what} were kept")
        return signs


def _lines(processes: Sequence[Mapping[str, Any]]) -> list[str]:
    return [process.get("command_line", "") for process in processes]


def _lines_of(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was run or scripted, of brief events."""
    names = ("process.command_line", "powershell.file.script_block_text")
    lines = [event["ecs"].get(name) for event in events for name in names]
    return [line for line in lines if isinstance(line, str)]


def _targets(events: Sequence[Seen]) -> list[TreeArguments]:
    """The processes that the events name, each once."""
    found: dict[tuple[str, str], TreeArguments] = {}
    for seen in events:
        host, entity, pid = seen.field("host.name"), seen.field("process.entity_id"), _pid(seen.field("process.pid"))
        if not host or not (entity or pid):
            continue
        key = (host, entity or str(pid))
        arguments = TreeArguments(host=host, at=seen.moment, pid=None if entity else pid, entity_id=entity or None)
        found.setdefault(key, arguments)
    return list(found.values())[:_MAX_TREES]


def _process_windows(events: Sequence[Seen]) -> list[ActivityArguments]:
    """The events of each process: by entity id around the alert; by pid, which is soon reused, just after it."""
    found: dict[tuple[str, str], ActivityArguments] = {}
    for seen in events:
        host, entity, pid = seen.field("host.name"), seen.field("process.entity_id"), seen.field("process.pid")
        if host and entity:
            window = (seen.moment - _BEFORE, seen.moment + _AFTER)
            arguments = _window(host, "process.entity_id", entity, *window)
        elif host and pid:
            arguments = _window(host, "process.pid", pid, seen.moment - timedelta(minutes=1), seen.moment + _BEFORE)
        else:
            continue
        found.setdefault((host, entity or pid), arguments)
    return list(found.values())[:_MAX_TREES]


def _session_windows(events: Sequence[Seen]) -> list[ActivityArguments]:
    found: dict[tuple[str, str], ActivityArguments] = {}
    for seen in events:
        host, session = seen.field("host.name"), seen.session()
        if host and session is not None:
            arguments = _window(host, *session, seen.moment - _BEFORE, seen.moment + _AFTER)
            found.setdefault((host, session[1]), arguments)
    return list(found.values())[:_MAX_SESSIONS]


def _script_windows(events: Sequence[Seen]) -> list[ActivityArguments]:
    """The other parts of scripts that were logged in several."""
    found: dict[str, ActivityArguments] = {}
    for seen in events:
        host, script = seen.field("host.name"), seen.field("powershell.file.script_block_id")
        if host and script and seen.field("winlog.event_data.MessageTotal") not in ("", "1"):
            window = (seen.moment - timedelta(minutes=1), seen.moment + timedelta(minutes=1))
            found.setdefault(script, _window(host, "powershell.file.script_block_id", script, *window))
    return list(found.values())[:_MAX_SESSIONS]


def _window(host: str, field: ActivityField, value: str, since: datetime, until: datetime) -> ActivityArguments:
    return ActivityArguments(host=host, field=field, value=value, since=since, until=until)


def _pid(text: str) -> int | None:
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return None
