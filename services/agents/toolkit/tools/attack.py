"""Tools that look up ATT&CK: what a technique is, and who is known to use several of them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from services.agents.toolkit import attack
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.common import TechniqueId

_NAMES = 12
_TEXT = 300
_Techniques = Annotated[list[TechniqueId], Meta(min_length=1, max_length=20)]


class AttackArguments(msgspec.Struct, frozen=True):
    """The techniques to look up."""

    techniques: _Techniques


async def _lookup(arguments: AttackArguments, _sources: Sources) -> Any:
    # In a thread: the first question reads all relations.
    return await asyncio.to_thread(_described, arguments.techniques)


def _described(ids: list[str]) -> dict[str, Any]:
    known = [found for id_ in dict.fromkeys(ids) if (found := attack.technique(id_)) is not None]
    relations = attack.relations()
    return {
        "version": attack.VERSION,
        "techniques": [
            {
                "id": found.id,
                "name": attack.name(found.id),
                "tactics": list(found.tactics),
                "platforms": list(found.platforms),
                "description": found.description[:_TEXT],
                "groups": _names(relations.groups.get(found.id, {})),
                "software": _names(relations.software.get(found.id, {})),
                "mitigations": _names(relations.mitigations.get(found.id, {})),
                "detections": _names(relations.detections.get(found.id, {})),
            }
            for found in known
        ],
        "unknown": sorted(set(ids) - {found.id for found in known}),
    }


def _names(found: dict[str, str]) -> dict[str, Any]:
    return {"count": len(found), "names": [f"{name} ({id_})" for id_, name in sorted(found.items())[:_NAMES]]}


async def _overlap(arguments: AttackArguments, _sources: Sources) -> Any:
    return await asyncio.to_thread(_overlapping, arguments.techniques)


def _overlapping(ids: list[str]) -> dict[str, Any]:
    valid = [id_ for id_ in dict.fromkeys(ids) if attack.is_valid(id_)]
    return {
        "version": attack.VERSION,
        "techniques": [{"id": id_, "name": attack.name(id_), "tactics": list(attack.tactics(id_))} for id_ in valid],
        "overlaps": [
            {
                "id": actor.id,
                "name": actor.name,
                "kind": actor.kind,
                "techniques": actor.techniques,
                "share": actor.share,
            }
            for actor in attack.overlapping(valid)
        ],
    }


ATTACK_LOOKUP = Tool("attack_lookup", "What ATT&CK knows of techniques", AttackArguments, None, _lookup)
ATTACK_OVERLAP = Tool(
    "attack_overlap", "Groups and software known to use most of some techniques", AttackArguments, None, _overlap
)
