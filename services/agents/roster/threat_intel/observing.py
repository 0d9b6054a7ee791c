"""Which observables of an alert are looked up: those that others named, and those that its events hold. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PureWindowsPath

from services.agents.toolkit.evidence import Evidence, Seen
from services.agents.toolkit.indicators import extract, extract_paths, refang
from shared.contracts.common import Observable
from shared.observables import normalised

MOST = 100
#: Longer values are no indicators of feeds; the arguments are recorded whole.
_LONGEST = 400
#: ECS fields that are an observable by themselves.
_FIELDS = (
    ("source.ip", "ip"),
    ("destination.ip", "ip"),
    ("source.domain", "domain"),
    ("destination.domain", "domain"),
    ("dns.question.name", "domain"),
    ("url.domain", "domain"),
    ("url.full", "url"),
    ("process.hash.sha256", "hash"),
    ("process.hash.sha1", "hash"),
    ("process.hash.md5", "hash"),
    ("file.hash.sha256", "hash"),
    ("file.hash.sha1", "hash"),
    ("file.hash.md5", "hash"),
    ("dll.hash.sha256", "hash"),
    ("email.from.address", "email"),
    ("user_agent.original", "user_agent"),
)
_PATHS = ("file.path", "file.name", "process.executable", "dll.path")
_TYPES = frozenset(
    {"ip", "domain", "url", "hash", "email", "cve", "user_agent", "file", "registry", "mutex", "process"}
)


def observables_of(evidence: Evidence) -> list[Observable]:
    """Each once in its normal form, at most 100: what was named first."""
    named = [*evidence.iocs]
    for alert in [*([] if evidence.alert is None else [evidence.alert]), *(item.result for item in evidence.related)]:
        named += [Observable(item["type"], item["value"]) for item in alert.get("observables", [])]
    for seen in evidence.events:
        named += _of_event(seen)
    found: dict[Observable, None] = {}
    for item in named:
        value = normalised(item.type, refang(item.value)) if item.type in _TYPES else None
        if value is not None and len(value) <= _LONGEST:
            found.setdefault(Observable(item.type, value))
    return list(found)[:MOST]


def _of_event(seen: Seen) -> Iterable[Observable]:
    for name, type_ in _FIELDS:
        if value := seen.field(name):
            yield Observable(type_, value[:2000])
    paths = [seen.field(name) for name in _PATHS]
    texts = [seen.event["message"], *seen.commands()]
    yield from extract(texts)
    for item in extract_paths([seen.field("registry.path"), *texts]):
        if item.type == "registry":
            yield item
        else:
            paths.append(item.value)
    for path in paths:
        # Feeds name files, not where they lie on somebody's disk.
        if base := PureWindowsPath(path).name:
            yield Observable("file", base)


def techniques_of(evidence: Evidence, named: Sequence[str]) -> list[str]:
    """The techniques of the alerts, and those that others named."""
    alerts = [*([] if evidence.alert is None else [evidence.alert]), *(item.result for item in evidence.related)]
    own = [technique for alert in alerts for technique in alert.get("mitre_techniques", [])]
    return list(dict.fromkeys([*own, *named]))[:20]
