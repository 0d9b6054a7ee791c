"""How the forensic analyst weighs a timeline: the order of things, traces that were removed, and the files that others
say more about. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from services.agents.toolkit.asking import said_signs
from services.agents.toolkit.evidence import Evidence
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.handing import Answer
from services.agents.toolkit.phases import order
from services.agents.toolkit.signs import Sign, scaled
from shared.contracts.investigations import Citation
from shared.contracts.samples import SampleReport

_FILE = Path(__file__).parent / "knowledge" / "sequences.json"
#: Everybody's: that two things were done by the system says nothing.
_NOBODY = frozenset({"", "-", "system", "local service", "network service"})
#: Who is asked what a stored file is.
LOOKS_AT_FILES = "malware_analyst"
#: What is left of the word on a file that no alert names: the same host at the same time.
_BESIDE_THE_ALERT = 0.8
_HASH_FIELDS = [f"{whose}.hash.{kind}" for whose in ("process", "file", "dll") for kind in ("sha256", "sha1", "md5")]


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


class StoredFile(NamedTuple):
    """A file that was on a host and whose bytes are stored."""

    hash: str
    names: tuple[str, ...]
    host: str
    first_seen: str

    def told(self) -> str:
        """Which file it is, for a claim."""
        name = f"{quote(self.names[0], 120)} " if self.names else ""
        return f"{name}({self.hash[:16]}…) on {quote(self.host, 60)}"


def stored_files(seen: Iterable[Citation], known: Collection[str]) -> list[StoredFile]:
    """The stored files of the hosts, each once, the first seen first, without those `known` already."""
    found: dict[str, StoredFile] = {}
    for citation in seen:
        host = str(citation.arguments.get("host", ""))
        for row in citation.result.get("files", ()):
            if row.get("stored") and row["hash"] not in known:
                file = StoredFile(row["hash"], tuple(row["names"]), host, row["first_seen"])
                found.setdefault(file.hash, file)
    return sorted(found.values(), key=lambda file: (file.first_seen, file.hash))


def hashes_named(evidence: Evidence) -> frozenset[str]:
    """The hashes of files that the alerts' events and the indicators name."""
    named = [seen.field(field) for seen in evidence.events for field in _HASH_FIELDS]
    return frozenset(value.lower() for value in [*named, *(item.value for item in evidence.iocs)] if value)


def file_signs(file: StoredFile, answer: Answer[SampleReport]) -> list[Sign]:
    """What the malware analyst says of a file that was on a host at the time."""
    about = f"the file {file.told()}, first seen {file.first_seen}"
    signs = said_signs(f"stored-file {file.hash}", LOOKS_AT_FILES, about, answer.result, answer)
    return scaled(signs, _BESIDE_THE_ALERT)
