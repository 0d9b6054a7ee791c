"""How the forensic analyst weighs a timeline: the order of things, and traces that were removed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from services.agents.toolkit.fencing import quote
from services.agents.toolkit.phases import order
from services.agents.toolkit.signs import Sign
from shared.contracts.investigations import Citation

_FILE = Path(__file__).parent / "knowledge" / "sequences.json"
#: Everybody's: that two things were done by the system says nothing.
_NOBODY = frozenset({"", "-", "system", "local service", "network service"})


class _Chain(msgspec.Struct, frozen=True):
    strong: int
    shown: int
    weight: float


class _TracesWeight(msgspec.Struct, frozen=True):
    same_actor: float
    other: float


class Knowledge(msgspec.Struct, frozen=True):
    """The file, as it says itself."""

    description: str
    shown_from: float
    strong_from: float
    chains: tuple[_Chain, ...]
    traces: tuple[str, ...]
    traces_weight: _TracesWeight


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    """What is known of sequences."""
    return msgspec.json.decode(_FILE.read_bytes(), type=Knowledge)


def sequence_signs(timeline: Citation) -> list[Sign]:
    """Several phases of an intrusion on one host within the timeline: more than each of them by itself."""
    known = knowledge()
    strongest: dict[str, Mapping[str, Any]] = {}
    for entry in timeline.result.get("entries", ()):
        phase = entry.get("phase")
        if phase and entry.get("weight", 0.0) >= known.shown_from:
            best = strongest.get(phase)
            if best is None or entry["weight"] > best["weight"]:
                strongest[phase] = entry
    strong = [phase for phase, entry in strongest.items() if entry["weight"] >= known.strong_from]
    reached = (chain for chain in known.chains if len(strong) >= chain.strong and len(strongest) >= chain.shown)
    chain = next(reached, None)
    if chain is None:
        return []
    happened = sorted(strongest, key=lambda phase: (strongest[phase]["timestamp"], order().index(phase)))
    techniques = [technique for phase in happened for technique in strongest[phase].get("mitre_techniques", [])[:1]]
    host = quote(timeline.arguments.get("host", ""), 60)
    claim = f"{len(happened)} phases of an intrusion on {host}, one after the other: {', '.join(happened)}"
    return [Sign("attack-sequence", claim, chain.weight, tuple(dict.fromkeys(techniques)), timeline)]


def trace_signs(timeline: Citation, actors: Collection[str]) -> list[Sign]:
    """Traces that were removed or hidden; `actors` are the alert's accounts."""
    known = knowledge()
    signs = []
    for entry in timeline.result.get("entries", ()):
        # The first technique is what the entry tells of; the others only go with it.
        techniques = tuple(entry.get("mitre_techniques", ())[:1])
        if not entry.get("weight") or not any(_is_trace(technique, known) for technique in techniques):
            continue
        actor = entry.get("actor", "")
        same = actor.lower() not in _NOBODY and actor in actors
        share = known.traces_weight.same_actor if same else known.traces_weight.other
        by = f" by {quote(actor, 60)}" if actor else ""
        claim = f"traces: {entry['text']}{by}"
        signs.append(Sign("traces-removed", claim, round(entry["weight"] * share, 4), techniques, timeline))
    return signs


def _is_trace(technique: str, known: Knowledge) -> bool:
    return technique.partition(".")[0] in known.traces


def silence_signs(timeline: Citation) -> list[Sign]:
    """Times in which the host said nothing: they inform, since a reboot does the same."""
    host = quote(timeline.arguments.get("host", ""), 60)
    return [
        Sign("silence", f"{host} said nothing from {gap['since']} to {gap['until']}", 0.0, (), timeline)
        for gap in timeline.result.get("gaps", ())
    ]


def told(timeline: Citation) -> bool:
    """Whether the timeline holds anything at all that was done."""
    return bool(timeline.result.get("entries"))
