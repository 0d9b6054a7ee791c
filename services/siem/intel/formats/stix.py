"""STIX 2.1 bundles: indicators and observables as entries, named by what they are related to. Pure.

Relationships give names (malware, tools, actors, campaigns) and techniques; markings give the TLP. Of other objects
nothing is kept. Objects are decoded to the few fields that are used: the rest is skipped by the decoder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from services.siem.intel.domain import Collected, Entry, Vulnerability, joined, text
from services.siem.intel.formats.stix_patterns import PatternError, Way, taken_apart
from services.siem.intel.formats.stix_values import VALUES, is_idle, left_out, observable_of
from services.siem.intel.formats.times import moment
from shared.contracts.intel import IntelName
from shared.observables import cve_of

_NAMED = frozenset({"malware", "tool", "threat-actor", "intrusion-set", "campaign", "vulnerability", "infrastructure"})
_TLP = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "white",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "red",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": "clear",
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "green",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": "amber",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "amber+strict",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "red",
}
_NEVER = datetime.min.replace(tzinfo=UTC)
#: Parts of a pattern that are named when it brought nothing.
_NAMED_MISSING = 3


class _External(msgspec.Struct):
    source_name: str = ""
    external_id: str = ""
    url: str = ""


class _Object(msgspec.Struct):
    """The fields of all kinds of objects that are of use here."""

    type: str = ""
    id: str = ""
    name: str = ""
    description: str = ""
    pattern: str = ""
    pattern_type: str = "stix"
    modified: str = ""
    valid_from: str | None = None
    valid_until: str | None = None
    revoked: bool = False
    confidence: int | None = None
    labels: list[str] = []
    indicator_types: list[str] = []
    external_references: list[_External] = []
    object_marking_refs: list[str] = []
    relationship_type: str = ""
    source_ref: str = ""
    target_ref: str = ""
    value: str = ""
    key: str = ""
    hashes: dict[str, str] = {}


class _Bundle(msgspec.Struct):
    objects: list[msgspec.Raw] = []


def read(body: bytes, collected: Collected) -> None:
    """A bundle, or the list of its objects. Raises msgspec.DecodeError when it is neither."""
    if body.lstrip()[:1] == b"[":
        objects = _objects(msgspec.json.decode(body, type=list[msgspec.Raw]), collected)
    else:
        objects = _objects(msgspec.json.decode(body, type=_Bundle).objects, collected)
    about = _related(objects)
    for item in _newest(objects, collected):
        if item.type == "indicator":
            _indicator(item, about[item.id], collected)
        elif item.type in VALUES or item.type == "file":
            _observable(item, about[item.id], collected)
        elif item.type == "vulnerability":
            _vulnerability(item, collected)


def _objects(raws: Sequence[msgspec.Raw], collected: Collected) -> list[_Object]:
    decoder = msgspec.json.Decoder(_Object)
    objects = []
    for place, raw in enumerate(raws):
        try:
            item = decoder.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            collected.skip(f"object {place}", "not an object as STIX 2.1 has them")
            continue
        item.id = item.id or f"object {place}"
        objects.append(item)
    return objects


def _newest(objects: Iterable[_Object], collected: Collected) -> Iterable[_Object]:
    """Each object as it was changed last: a bundle may hold several versions of one, and the last may revoke it."""
    newest: dict[str, _Object] = {}
    for item in objects:
        known = newest.get(item.id)
        if known is not None and item.type != "relationship":
            collected.merged += 1
        if known is None or (moment(item.modified) or _NEVER) >= (moment(known.modified) or _NEVER):
            newest[item.id] = item
    return newest.values()


class _About(msgspec.Struct):
    names: list[IntelName] = []
    techniques: list[str] = []


def _related(objects: Iterable[_Object]) -> Mapping[str, _About]:
    """What each object is related to, in either direction."""
    named = {item.id: item for item in objects if item.type in _NAMED or item.type == "attack-pattern"}
    about: dict[str, _About] = defaultdict(_About)
    for item in objects:
        if item.type == "relationship":
            for one, other in ((item.source_ref, item.target_ref), (item.target_ref, item.source_ref)):
                if other in named:
                    _note(about[one], named[other])
    return about


def _note(about: _About, named: _Object) -> None:
    if named.type == "attack-pattern":
        about.techniques += [ref.external_id for ref in named.external_references if ref.source_name == "mitre-attack"]
    elif named.name:
        kind = "threat-actor" if named.type == "intrusion-set" else named.type
        about.names.append(IntelName(kind, text(named.name, 120)))


def _indicator(item: _Object, about: _About, collected: Collected) -> None:
    if item.pattern_type != "stix":
        collected.skip(item.id, f"a pattern of type {text(item.pattern_type, 40)}, which can't be looked up by a value")
        return
    try:
        pattern = taken_apart(item.pattern)
    except PatternError as error:
        collected.skip(item.id, str(error))
        return
    missing = left_out(pattern)
    collected.leave_out(missing)
    common = _common(item, about)
    found = [_way(way, common, item.id, collected) for way in pattern.ways]
    if not any(found):
        named = ", ".join(dict.fromkeys(missing[:_NAMED_MISSING])) or "only types"
        collected.skip(item.id, f"its pattern has no value that can be looked up: {named}")


def _way(way: Way, common: Entry, place: str, collected: Collected) -> bool:
    """Takes one alternative in: each of its values, with the others as its conditions; whether it had one."""
    known = [(comparison, observable_of(comparison)) for comparison in way]
    values = [observable for _, observable in known if observable is not None]
    others = any(observable is None and not is_idle(comparison) for comparison, observable in known)
    for observable in values:
        # Each digest of a file is the file: the others of a pattern only say the same again.
        alone = observable.type == "hash"
        requires = () if alone else tuple(other for other in values if other != observable)
        entry = msgspec.structs.replace(
            common,
            type=observable.type,
            value=observable.value,
            requires=requires[:10],
            others=others and not alone,
            # The name of a file alone is no indicator: it needs what stands beside it.
            actionable=common.actionable and (observable.type != "file" or bool(requires) or others),
        )
        collected.add(entry, place)
    return bool(values)


def _common(item: _Object, about: _About) -> Entry:
    confidence = None if item.confidence is None else min(100, max(0, item.confidence))
    benign = "benign" in item.indicator_types
    return Entry(
        type="",
        value="",
        confidence=confidence,
        names=joined(about.names),
        techniques=joined(text(technique, 12) for technique in about.techniques),
        tags=joined(text(tag, 120) for tag in (*item.labels, *item.indicator_types)),
        tlp=next((_TLP[ref] for ref in item.object_marking_refs if ref in _TLP), ""),
        description=text(item.description or item.name),
        reference=text(next((ref.url for ref in item.external_references if ref.url), _own_id(item)), 300),
        valid_from=moment(item.valid_from),
        valid_until=moment(item.valid_until),
        revoked=item.revoked,
        actionable=item.type == "indicator" and not benign,
    )


def _own_id(item: _Object) -> str:
    return item.id if "--" in item.id else ""


def _observable(item: _Object, about: _About, collected: Collected) -> None:
    """An observable stands for itself: it is context, whoever it is related to."""
    common = _common(item, about)
    if item.type == "file":
        digests: list[tuple[str, str]] = [("hash", digest) for digest in item.hashes.values()]
        values = digests or ([("file", item.name)] if item.name else [])
    else:
        values = [(VALUES[item.type], item.value or item.key or item.name)]
    if not values:
        collected.skip(item.id, "an observable without a value")
    for type_, value in values:
        collected.add(msgspec.structs.replace(common, type=type_, value=value), item.id)


def _vulnerability(item: _Object, collected: Collected) -> None:
    ids = [ref.external_id for ref in item.external_references if ref.source_name == "cve"] or [item.name]
    for found in ids:
        cve = cve_of(found)
        if cve is None:
            collected.skip(item.id, "a vulnerability without a CVE id")
        else:
            collected.add_vulnerability(Vulnerability(cve=cve, description=text(item.description)))
