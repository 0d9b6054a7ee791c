"""The tool that looks at stored bytes: fetches them by their hash and has the triage process read them."""

from __future__ import annotations

from typing import Any

import msgspec

from services.agents.toolkit.samples.imports import groups_in
from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.samples import FileHash

_IMPORTS = 60
_SECTIONS = 24
#: Of each file in an archive.
_MEMBER_SECTIONS, _MEMBER_RULES, _MEMBER_META = 3, 3, 120
_SPOKEN = ("description", "weight", "technique")


class SampleArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A file's MD5, SHA-1 or SHA-256, in lower case."""

    hash: FileHash


async def _triage_sample(arguments: SampleArguments, sources: Sources) -> Any:
    triaged = await sources.sample(arguments.hash)
    if triaged is None:
        return {"stored": False}
    _shorten(triaged.get("programme"), _IMPORTS, _SECTIONS)
    for member in triaged.get("members", ()):
        _shorten(member.get("programme"), 0, _MEMBER_SECTIONS)
        for name in ("md5", "sha1", "rules_ignored"):
            member.pop(name, None)
        member["rules"] = [_spoken(rule) for rule in member.get("rules", [])[:_MEMBER_RULES]]
    return {"stored": True, **triaged}


def _spoken(rule: dict[str, Any]) -> dict[str, Any]:
    """What a rule says in a verdict."""
    meta = {name: rule["meta"][name][:_MEMBER_META] for name in _SPOKEN if name in rule["meta"]}
    return {**rule, "meta": meta, "matched": []}


def _shorten(programme: dict[str, Any] | None, most_imports: int, most_sections: int) -> None:
    """A record has 16 KiB. What speaks of packing comes first: code, and of it the densest."""
    if programme is None:
        return
    imports = programme.pop("imports")
    programme["import_count"] = len(imports)
    programme["imports"] = sorted(imports)[:most_imports]
    programme["groups"] = groups_in(imports)
    if len(programme["sections"]) > most_sections:
        told = sorted(programme["sections"], key=lambda part: (not part["executable"], -part["entropy"]))
        programme["sections"] = told[:most_sections]


SAMPLE_TRIAGE = Tool(
    "sample_triage", "Look at stored bytes without running them", SampleArguments, SIEM_READ, _triage_sample
)
