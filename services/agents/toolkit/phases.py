"""The phase of an intrusion that a technique mostly serves: one ATT&CK tactic for each, as data. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

_FILE = Path(__file__).parent / "knowledge" / "phases.json"


class _Phase(msgspec.Struct, frozen=True):
    tactic: str
    techniques: tuple[str, ...]


class _Knowledge(msgspec.Struct):
    description: str
    phases: list[_Phase]


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    phases = msgspec.json.decode(_FILE.read_bytes(), type=_Knowledge).phases
    return {technique: phase.tactic for phase in phases for technique in phase.techniques}


@lru_cache(maxsize=1)
def order() -> tuple[str, ...]:
    """The tactics in the order in which intrusions mostly go."""
    return tuple(dict.fromkeys(_known().values()))


def phase_of(techniques: Sequence[str]) -> str | None:
    """The tactic of the first technique that is known, `T1059.004` by its own entry or `T1059`'s; else None."""
    for technique in techniques:
        tactic = _known().get(technique) or _known().get(technique.partition(".")[0])
        if tactic is not None:
            return tactic
    return None
