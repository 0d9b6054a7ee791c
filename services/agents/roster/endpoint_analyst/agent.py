"""Endpoint analyst: rebuilds what ran around the alert, decodes it, and judges the whole chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.agents.roster.endpoint_analyst.lineage import odd_pairs
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.commandsigns import command_signs
from services.agents.toolkit.evidence import Evidence, Seen, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.indicators import extract
from services.agents.toolkit.process_tree import base_name
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.commands import DECODE_COMMAND
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.processes import PROCESS_TREE, TreeArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.investigations import Citation

_MAX_TREES = 3
_MAX_PROCESSES = 60
#: What an ancestor did brought the process about; what strangers do in the same tree says less.
_RELATION_WEIGHT = {"self": 1.0, "ancestor": 0.9, "descendant": 0.9}


class EndpointAnalyst:
    """What really ran."""

    id = "endpoint_analyst"
    description = "Process trees, decoded command lines, what a process's ancestors and descendants did"
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, PROCESS_TREE, DECODE_COMMAND)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        if evidence.alert is None:
            return undetermined(evidence.iocs, "low", "indicators alone name no process", work)
        signs: list[Sign] = []
        texts: list[str] = []
        for seen in evidence.events:
            for command in seen.commands():
                found, hidden = await command_signs(command, seen.citation, work)
                signs += found
                texts += [command, *hidden]
        trees = await self._trees(evidence, work)
        for tree in trees:
            found, commands = await self._tree_signs(tree, work)
            signs += found
            texts += commands
        if not trees and not texts:
            level = evidence.alert["severity"]
            return undetermined(evidence.iocs, level, "no process is known for this alert's events", work)
        iocs = list(dict.fromkeys([*evidence.iocs, *extract(texts)]))
        return await assess(signs, iocs, evidence.alert["severity"], work)

    async def _trees(self, evidence: Evidence, work: Work) -> list[Citation]:
        trees: dict[str, Citation] = {}
        for arguments in _targets(evidence.events):
            citation = await work.use(PROCESS_TREE, arguments)
            if citation is not None and citation.result["processes"]:
                trees[citation.id] = citation
        return list(trees.values())

    async def _tree_signs(self, tree: Citation, work: Work) -> tuple[list[Sign], list[str]]:
        processes = tree.result["processes"][:_MAX_PROCESSES]
        signs = _pair_signs(processes, tree)
        texts: list[str] = []
        for process in _distinct(processes):
            found, hidden = await command_signs(process["command_line"], tree, work)
            factor = _RELATION_WEIGHT[process.get("relation", "self")]
            signs += [replace(sign, weight=sign.weight * factor) for sign in found]
            texts += [process["command_line"], *hidden]
        if not signs:
            names = ", ".join(quote(process.get("name", ""), 40) for process in processes[:6])
            work.ruled_out.append(f"attack behaviour in {len(processes)} process(es) of the tree: {names}")
        return signs, texts


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


def _pid(text: str) -> int | None:
    try:
        return int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        return None


def _distinct(processes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One process for each command line: the closest relation of it."""
    order = {"self": 0, "ancestor": 1, "descendant": 2}
    closest: dict[str, Mapping[str, Any]] = {}
    for process in sorted(processes, key=lambda item: order[item.get("relation", "self")]):
        command = process.get("command_line", "")
        if command:
            closest.setdefault(command, process)
    return list(closest.values())


def _pair_signs(processes: Sequence[Mapping[str, Any]], tree: Citation) -> list[Sign]:
    signs = []
    for process in processes:
        parent = base_name(process.get("parent_executable", ""))
        child = base_name(process.get("executable", "") or process.get("name", ""))
        for pair in odd_pairs(parent, child):
            claim = f"{pair.text}: {quote(parent, 60)} started {quote(process.get('command_line', child))}"
            signs.append(Sign(pair.id, claim, pair.weight, pair.techniques, tree))
    return signs
