"""What a match becomes: one alert draft for each rule and host of a batch. No I/O, no clock."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from services.siem.detections.engine.compiled import CompiledRule
from services.siem.draft import MAX_EVIDENCE, MAX_OBSERVABLES, Draft
from services.siem.match import Match
from shared.contracts.alerts import AlertEvidence
from shared.contracts.common import Observable, Severity
from shared.contracts.detections import Level

ALERT_SOURCE = "detection"
ALERT_TYPE = "sigma"
SEVERITY: dict[Level, Severity] = {
    "informational": "info",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "critical": "critical",
}
_MESSAGE_LENGTH = 300
_VALUE_LENGTH = 1024
#: ECS field -> the kind of entity it names. The first event of an alert fills them.
_ENTITIES = {
    "host.name": "host",
    "user.name": "user",
    "source.ip": "source_ip",
    "destination.ip": "destination_ip",
    "process.name": "process",
    "process.pid": "process_pid",
    "process.entity_id": "process_entity_id",
    "file.path": "file",
}
#: ECS field -> the type of observable it holds.
_OBSERVABLES = {
    "source.ip": "ip",
    "destination.ip": "ip",
    "dns.question.name": "domain",
    "destination.domain": "domain",
    "url.full": "url",
    "process.hash.sha256": "hash",
    "process.hash.md5": "hash",
    "file.hash.sha256": "hash",
}


def identity_of(match: Match) -> str:
    """What the alert of a match is known by: its rule and the host that the event speaks of, if any."""
    return f"{match.rule_id}:{_first(match.ecs.get('host.name'))}"[:512]


def drafts(matches: Iterable[tuple[CompiledRule, Match]]) -> list[tuple[CompiledRule, Draft]]:
    """One draft for each identity, in the order of the first match."""
    grouped: dict[str, tuple[CompiledRule, Draft]] = {}
    for rule, match in matches:
        key = identity_of(match)
        if key in grouped:
            _count(grouped[key][1], match)
        else:
            grouped[key] = (rule, draft_of(rule, match, key))
    return list(grouped.values())


def draft_of(rule: CompiledRule, match: Match, identity: str) -> Draft:
    """The draft of a rule's alert that begins with this match."""
    ecs = match.ecs
    return Draft(
        title=rule.title,
        description=rule.description,
        severity=SEVERITY[rule.level],
        source=ALERT_SOURCE,
        type=ALERT_TYPE,
        source_ref=identity,
        rule_id=rule.id,
        first_seen=match.timestamp,
        last_seen=match.timestamp,
        mitre_techniques=list(rule.mitre_techniques),
        observables=_observables(ecs),
        entities={kind: value for field, kind in _ENTITIES.items() if (value := _first(ecs.get(field)))},
        evidence=[evidence_of(match)],
        trace=match.trace,
    )


def _count(draft: Draft, match: Match) -> None:
    draft.count += 1
    draft.first_seen = min(draft.first_seen, match.timestamp)
    draft.last_seen = max(draft.last_seen, match.timestamp)
    if len(draft.evidence) < MAX_EVIDENCE:
        draft.evidence.append(evidence_of(match))
    if len(draft.observables) < MAX_OBSERVABLES:
        draft.observables += [item for item in _observables(match.ecs) if item not in draft.observables]


def evidence_of(match: Match) -> AlertEvidence:
    """The pointer to a match's event."""
    message = _clean(match.message)[:_MESSAGE_LENGTH]
    return AlertEvidence(log_id=match.log_id, rule_id=match.rule_id, timestamp=match.timestamp, message=message)


def _observables(ecs: dict[str, Any]) -> list[Observable]:
    found = []
    for field, kind in _OBSERVABLES.items():
        value = _first(ecs.get(field))
        if value and _CHECKS.get(kind, _anything)(value):
            found.append(Observable(kind, value))
    return found


def _first(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    return "" if value is None else _clean(str(value))[:_VALUE_LENGTH]


def unified_diff(old: str, new: str, old_name: str, new_name: str) -> str:
    """What changed between two texts, three lines around each change; empty when nothing did."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="")
    return "\n".join(lines)


def _clean(text: str) -> str:
    # PostgreSQL's text holds no U+0000, and it means nothing in a name.
    return text.replace("\x00", "\ufffd")


def _is_address(value: str) -> bool:
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _anything(_value: str) -> bool:
    return True


_CHECKS: dict[str, Callable[[str], bool]] = {"ip": _is_address}
