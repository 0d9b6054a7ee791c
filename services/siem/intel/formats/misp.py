"""MISP: events as its REST API, feeds and exports have them. Pure.

`to_ids` says what is meant for detection; everything else is context. Galaxies and tags give names, techniques, TLP and
confidence. Composite attributes (`filename|sha256`) become their parts; what none of our types holds is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from services.siem.intel.domain import Collected, Entry, joined, text
from services.siem.intel.formats.times import moment
from shared.contracts.intel import IntelName

_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("ip-src", "ip-dst", "ip"), "ip"),
    **dict.fromkeys(("domain", "hostname"), "domain"),
    **dict.fromkeys(("url", "uri", "link"), "url"),
    **dict.fromkeys(("md5", "sha1", "sha224", "sha256", "sha384", "sha512"), "hash"),
    **dict.fromkeys(("email", "email-src", "email-dst", "email-reply-to"), "email"),
    **dict.fromkeys(("filename", "email-attachment"), "file"),
    "regkey": "registry",
    "mutex": "mutex",
    "vulnerability": "cve",
    "user-agent": "user_agent",
    "hostname|port": "domain",
}
#: Types of two values, and the types of both.
_PAIRS: Mapping[str, tuple[str, str]] = {
    **{f"filename|{digest}": ("", "hash") for digest in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")},
    **dict.fromkeys(("ip-src|port", "ip-dst|port"), ("ip", "")),
    "domain|ip": ("domain", "ip"),
    "hostname|port": ("domain", ""),
    "regkey|value": ("registry", ""),
}
_GALAXY = re.compile(r'misp-galaxy:([a-z0-9-]{1,60})="([^"]{1,200})"', re.IGNORECASE)
_TECHNIQUE = re.compile(r"\b(T\d{4}(?:\.\d{3})?)\b")
#: Galaxies that name who or what an indicator belongs to.
_NAMES = {
    "threat-actor": "threat-actor",
    "mitre-intrusion-set": "threat-actor",
    "microsoft-activity-group": "threat-actor",
    "malpedia": "malware",
    "mitre-malware": "malware",
    "ransomware": "malware",
    "rat": "malware",
    "banker": "malware",
    "stealer": "malware",
    "botnet": "malware",
    "backdoor": "malware",
    "mitre-tool": "tool",
    "tool": "tool",
}
_CONFIDENCE = {
    'misp:confidence-level="completely-confident"': 100,
    'misp:confidence-level="usually-confident"': 75,
    'misp:confidence-level="fairly-confident"': 50,
    'misp:confidence-level="rarely-confident"': 25,
    'misp:confidence-level="unconfident"': 0,
}


class _Tag(msgspec.Struct):
    name: str = ""


class _Warning(msgspec.Struct):
    warninglist_name: str = ""
    name: str = ""


class _Attribute(msgspec.Struct):
    type: str = ""
    value: str = ""
    uuid: str = ""
    comment: str = ""
    to_ids: bool | int | str = False
    deleted: bool | int | str = False
    first_seen: str | None = None
    last_seen: str | None = None
    timestamp: str | int | None = None
    tags: list[_Tag] = msgspec.field(default=[], name="Tag")
    warnings: list[_Warning] | dict[str, str] = []


class _Group(msgspec.Struct):
    attributes: list[_Attribute] = msgspec.field(default=[], name="Attribute")


class _Event(msgspec.Struct):
    uuid: str = ""
    id: str | int | None = None
    info: str = ""
    date: str = ""
    attributes: list[msgspec.Raw] = msgspec.field(default=[], name="Attribute")
    objects: list[_Group] = msgspec.field(default=[], name="Object")
    tags: list[_Tag] = msgspec.field(default=[], name="Tag")


class _Wrapped(msgspec.Struct):
    event: _Event | None = msgspec.field(default=None, name="Event")
    response: list[_Wrapped] | _Wrapped | None = None
    attributes: list[msgspec.Raw] = msgspec.field(default=[], name="Attribute")


def read(body: bytes, collected: Collected) -> None:
    """One event, a list of them, or an answer of MISP's API. Raises msgspec.DecodeError when it is none."""
    if body.lstrip()[:1] == b"[":
        wrapped = msgspec.json.decode(body, type=list[_Wrapped])
    else:
        wrapped = [msgspec.json.decode(body, type=_Wrapped)]
    for event in _events(wrapped):
        _event(event, collected)


def _events(wrapped: Iterable[_Wrapped]) -> Iterator[_Event]:
    for item in wrapped:
        if item.event is not None:
            yield item.event
        if item.attributes:
            yield _Event(attributes=item.attributes)
        if item.response is not None:
            yield from _events(item.response if isinstance(item.response, list) else [item.response])


def _event(event: _Event, collected: Collected) -> None:
    decoder = msgspec.json.Decoder(_Attribute)
    for place, raw in enumerate(event.attributes):
        try:
            attribute = decoder.decode(raw)
        except msgspec.DecodeError:
            collected.skip(f"event {_named_event(event)}, attribute {place}", "not an attribute as MISP has them")
        else:
            _attribute(attribute, event, collected)
    for group in event.objects:
        for attribute in group.attributes:
            _attribute(attribute, event, collected)


def _attribute(attribute: _Attribute, event: _Event, collected: Collected) -> None:
    place = attribute.uuid or f"event {_named_event(event)}"
    values = list(_values(attribute))
    if not values:
        collected.skip(place, f"attributes of type {text(attribute.type, 40)} can't be looked up")
        return
    common = _common(attribute, event)
    for type_, value in values:
        # Names of files are common; links lead to reports.
        meant = common.actionable and type_ != "file" and attribute.type != "link"
        collected.add(msgspec.structs.replace(common, type=type_, value=value, actionable=meant), place)


def _named_event(event: _Event) -> str:
    return event.uuid or str(event.id or "?")


def _values(attribute: _Attribute) -> Iterator[tuple[str, str]]:
    if attribute.type in _PAIRS:
        parts = attribute.value.split("|", 1)
        for type_, part in zip(_PAIRS[attribute.type], parts, strict=False):
            if type_:
                yield type_, part
    elif attribute.type in _TYPES:
        yield _TYPES[attribute.type], attribute.value


def _common(attribute: _Attribute, event: _Event) -> Entry:
    tags = [tag.name for tag in (*attribute.tags, *event.tags) if tag.name]
    names, techniques = _named(tags)
    if event.info:
        names.append(IntelName("event", text(event.info, 120)))
    return Entry(
        type="",
        value="",
        confidence=next((_CONFIDENCE[tag] for tag in tags if tag in _CONFIDENCE), None),
        names=joined(names),
        techniques=joined(techniques),
        tags=joined(text(tag, 120) for tag in tags if not tag.startswith("misp-galaxy:")),
        tlp=next((text(tag[4:], 20) for tag in tags if tag.lower().startswith("tlp:")), ""),
        description=text(attribute.comment),
        reference=text(f"event {event.uuid}", 300) if event.uuid else "",
        valid_from=moment(attribute.first_seen) or moment(event.date) or moment(attribute.timestamp),
        revoked=_true(attribute.deleted),
        actionable=_true(attribute.to_ids),
        warnings=joined(_warnings(attribute)),
    )


def _named(tags: Iterable[str]) -> tuple[list[IntelName], list[str]]:
    names, techniques = [], []
    for tag in tags:
        match = _GALAXY.match(tag)
        if match is None:
            continue
        galaxy, value = match.group(1).lower(), match.group(2)
        if "attack-pattern" in galaxy:
            techniques += _TECHNIQUE.findall(value)
        elif galaxy in _NAMES:
            names.append(IntelName(_NAMES[galaxy], text(value.partition(" - ")[0], 120)))
    return names, techniques


def _warnings(attribute: _Attribute) -> list[str]:
    found = attribute.warnings
    if isinstance(found, dict):
        return [text(name, 120) for name in found.values()]
    return [text(warning.warninglist_name or warning.name, 120) for warning in found]


def _true(value: bool | int | str) -> bool:
    return value in (True, 1, "1", "true")
