"""How the endpoint analyst weighs a process tree and a session. Pure: the same results give the same signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import re2

from services.agents.roster.endpoint_analyst.lineage import Pair, odd_pairs
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.process_tree import base_name
from services.agents.toolkit.signs import Sign
from shared.contracts.common import Severity
from shared.contracts.investigations import Citation

_FILE = Path(__file__).parent / "knowledge" / "discovery.json"
#: What an ancestor did brought the process about; what its descendants did, it brought about.
RELATION_WEIGHT = {"self": 1.0, "ancestor": 0.9, "descendant": 0.9}
#: A login session on Linux is one visit; a logon on Windows may last for days and holds much that is not related.
DEED_WEIGHT = {
    "process.entity_id": 1.0,
    "powershell.file.script_block_id": 1.0,
    "process.pid": 0.9,
    "auditd.session": 0.8,
    "winlog.logon.id": 0.5,
}
#: Questions of different kinds about host, accounts and network, and how much so many of them say.
_DISCOVERY = ((8, 0.7), (6, 0.6), (4, 0.4))
_ORDINARY_TREE = 0.35
#: A pair that was seen so often, on so many days, is how this estate is run: half of its word is left.
_SOME_TIMES, _SOME_DAYS = 5, 3
_ORDINARY = 0.5
#: A program that has started others so often here and now starts something new.
_MANY_STARTS = 50
_NEW = 0.3


def clean(level: Severity, trees: Sequence[Citation]) -> float:
    """How sure ordinary trees make of an ordinary cause. Of a severe alert they say nothing, for a rule may know what
    command lines don't show; and a process that was seen without parent and children is no tree."""
    seen = any(len(tree.result["processes"]) > 1 for tree in trees)
    return _ORDINARY_TREE if seen and level not in ("high", "critical") else 0.0


def distinct(processes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One process for each command line: the closest relation of it."""
    order = {"self": 0, "ancestor": 1, "descendant": 2}
    closest: dict[str, Mapping[str, Any]] = {}
    for process in sorted(processes, key=lambda item: order[item.get("relation", "self")]):
        command = process.get("command_line", "")
        if command:
            closest.setdefault(command, process)
    return list(closest.values())


@dataclass(frozen=True, slots=True)
class StartedPair:
    """A program that started another: full paths, the child's command line, when, and what knowledge says of it."""

    parent: str
    child: str
    command_line: str
    moment: datetime
    known: tuple[Pair, ...]


def telling_pairs(processes: Sequence[Mapping[str, Any]]) -> list[StartedPair]:
    """The pairs of a tree that are worth a look into the past: those that seldom belong together, then those of the
    alert's own processes; each once."""
    found: dict[tuple[str, str], tuple[bool, StartedPair]] = {}
    for process in processes:
        parent, child = process.get("parent_executable", ""), process.get("executable", "") or process.get("name", "")
        known = tuple(odd_pairs(base_name(parent), base_name(child)))
        own = process.get("relation", "self") == "self"
        if parent and child and (known or own):
            moment = datetime.fromisoformat(process["timestamp"])
            pair = StartedPair(parent, child, process.get("command_line", child), moment, known)
            found.setdefault((parent, child), (not known, pair))
    return [pair for _, pair in sorted(found.values(), key=lambda item: item[0])]


def pair_signs(pair: StartedPair, tree: Citation, past: Citation | None, others: Citation | None) -> list[Sign]:
    """What a pair says: half of it where the estate shows it for days (`past`); and that it is new, where the parent
    has long started other programs here (`others`, asked for a pair that was never seen)."""
    name = quote(base_name(pair.parent), 60)
    factor = _ORDINARY if past is not None and _is_ordinary(past.result) else 1.0
    signs = [
        Sign(
            known.id,
            f"{known.text}: {name} started {quote(pair.command_line)}",
            known.weight * factor,
            known.techniques,
            tree,
        )
        for known in pair.known
    ]
    if others is not None and others.result["count"] >= _MANY_STARTS and others.result["days"] >= _SOME_DAYS:
        told = f"{name} started {quote(base_name(pair.child), 60)} for the first time in two weeks"
        signs.append(Sign("new-pair", f"{told}, after {others.result['count']} starts of others", _NEW, (), others))
    return signs


def _is_ordinary(past: Mapping[str, Any]) -> bool:
    return bool(past["count"] >= _SOME_TIMES and past["days"] >= _SOME_DAYS)


class Question(msgspec.Struct, frozen=True):
    """One kind of question about the host that a command can ask."""

    id: str
    pattern: str
    techniques: tuple[str, ...]


class _Knowledge(msgspec.Struct):
    description: str
    questions: list[Question]


@lru_cache(maxsize=1)
def _questions() -> tuple[tuple[Question, Any], ...]:
    options = re2.Options()
    options.case_sensitive = False
    known = msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).questions
    return tuple((question, re2.compile(question.pattern, options)) for question in known)


def discovery_signs(commands: Sequence[str], carrier: Citation) -> list[Sign]:
    """Many different questions in one tree or session: somebody who doesn't know the host looks around."""
    asked = [question for question, pattern in _questions() if any(pattern.search(command) for command in commands)]
    weight = next((weight for least, weight in _DISCOVERY if len(asked) >= least), None)
    if weight is None:
        return []
    kinds = ", ".join(question.id for question in asked)
    techniques = tuple(dict.fromkeys(technique for question in asked for technique in question.techniques))
    return [Sign("discovery-burst", f"asked about the host in {len(asked)} ways: {kinds}", weight, techniques, carrier)]
