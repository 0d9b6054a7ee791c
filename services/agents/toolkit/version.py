"""The version of the agents: which code and which knowledge judge here. Equal versions judge equal records equally."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_AGENTS = Path(__file__).parents[1]
_JUDGES = {".py", ".json", ".yar"}


@cache
def version() -> str:
    """12 hex digits over the names and contents of the agents' code and knowledge."""
    digest = hashlib.sha256()
    for path in sorted(_AGENTS.rglob("*")):
        if path.suffix in _JUDGES and path.is_file():
            content = path.read_bytes()
            digest.update(f"{path.relative_to(_AGENTS).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]
