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


class SampleArguments(msgspec.Struct, frozen=True, kw_only=True):
    """A file's MD5, SHA-1 or SHA-256, in lower case."""

    hash: FileHash


async def _triage_sample(arguments: SampleArguments, sources: Sources) -> Any:
    triaged = await sources.sample(arguments.hash)
    if triaged is None:
        return {"stored": False}
    programme = triaged.get("programme")
    if programme is not None:
        imports = programme.pop("imports")
        programme["import_count"] = len(imports)
        programme["imports"] = sorted(imports)[:_IMPORTS]
        programme["groups"] = groups_in(imports)
        programme["sections"] = programme["sections"][:_SECTIONS]
    return {"stored": True, **triaged}


SAMPLE_TRIAGE = Tool(
    "sample_triage", "Look at stored bytes without running them", SampleArguments, SIEM_READ, _triage_sample
)
