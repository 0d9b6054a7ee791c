"""How triage weighs an alert. Pure: the same evidence gives the same signs.

The rule's level is a prior: it says how sure its author is. What analysts dismissed before, and what has gone on for
days, counts for less; what does not come alone counts for more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign, scaled
from shared.contracts.common import SEVERITIES, Severity
from shared.contracts.investigations import Citation

#: How much a rule's level alone says. Critical is malicious by itself: Sigma keeps it for what "borders certainty". A
#: high rule alone is suspicious, a medium one undetermined, a low one benign.
LEVEL_WEIGHTS: dict[Severity, float] = {"info": 0.1, "low": 0.2, "medium": 0.4, "high": 0.55, "critical": 0.82}
#: What is left of a sign that this estate shows every day.
ORDINARY = 0.5
_ORDINARY_TIMES = 5
_ORDINARY_AGE = timedelta(days=1)
_SEVERE = ("high", "critical")
#: What is left of the word of every further severe rule of one investigation.
JOINED = 0.6
#: Other severe alerts of the same process, session or account: 1, 2, 3 and more of them.
_COMPANY = (0.3, 0.4, 0.45)
#: Right-to-left override: a rule on it sees text that is turned around, whoever wrote it and whatever for.
_PLANTABLE = frozenset({"T1036.002"})
_SYSTEM_USERS = frozenset({"system", "local service", "network service", "root", "-", ""})
_LINKS = ("process_entity_id", "process_pid", "user", "source_ip")


def rule_signs(alert: Mapping[str, Any], carrier: Citation, history: Citation | None) -> list[Sign]:
    """The alert's own word."""
    severity: Severity = alert["severity"]
    where = " ".join(
        f"{kind} {quote(alert['entities'][kind], 60)}" for kind in ("host", "user") if kind in alert["entities"]
    )
    claim = f"the alert {quote(alert['title'])} of severity {severity} counts {alert['count']} event(s)"
    sign = Sign(
        "alert",
        f"{claim} on {where}" if where else claim,
        LEVEL_WEIGHTS[severity] * (ORDINARY if _is_routine(alert) or _is_plantable(alert) else 1.0),
        tuple(alert["mitre_techniques"]),
        carrier,
    )
    dismissed = 0 if history is None else history.result["dismissed"]
    if history is None or not dismissed:
        return [sign]
    told = f"analysts dismissed {dismissed} earlier alert(s) of the same rule"
    weight = sign.weight * ORDINARY
    return [Sign("alert", sign.claim, weight, sign.techniques, carrier), Sign("dismissed", told, 0.0, (), history)]


def _is_routine(alert: Mapping[str, Any]) -> bool:
    """Whether the rule has fired here for days: part of how this estate is run."""
    age = datetime.fromisoformat(alert["last_seen"]) - datetime.fromisoformat(alert["first_seen"])
    return alert["count"] >= _ORDINARY_TIMES and age >= _ORDINARY_AGE


def _is_plantable(alert: Mapping[str, Any]) -> bool:
    """Whether all that the rule saw are characters that anybody can put into any text."""
    return bool(alert["mitre_techniques"]) and _PLANTABLE.issuperset(alert["mitre_techniques"])


def joined_signs(words: Sequence[Sequence[Sign]]) -> list[Sign]:
    """What the other rules of one investigation say: severe ones a part of their weight each, for they may have seen
    the same; all others only inform, for every busy host has many of them."""
    signs = [replace(sign, kind=f"{sign.kind} {number}") for number, word in enumerate(words, 2) for sign in word]
    severe = [sign for sign in signs if sign.citation.result.get("severity") in _SEVERE]
    return [*scaled(severe, JOINED), *scaled((sign for sign in signs if sign not in severe), 0.0)]


def company_signs(alert: Mapping[str, Any], nearby: Citation, joined: Collection[str]) -> list[Sign]:
    """The alert does not come alone: others of severity high or critical, beside those that are `joined` with it, share
    its process, account or source."""
    others = [other for other in nearby.result["alerts"] if other["id"] not in joined and _is_severe(other)]
    linked = [other for other in others if _linked(alert["entities"], other)]
    titles = list(dict.fromkeys(other["title"] for other in linked if other["rule_id"] != alert["rule_id"]))
    if not titles:
        return []
    named = ", ".join(quote(title, 80) for title in titles[:3])
    claim = f"{len(titles)} other severe alert(s) around the same time share its process, account or source: {named}"
    weight = _COMPANY[min(len(titles), len(_COMPANY)) - 1]
    if SEVERITIES.index(alert["severity"]) < SEVERITIES.index("medium"):
        weight *= ORDINARY
    return [Sign("company", claim, weight, (), nearby)]


def _is_severe(alert: Mapping[str, Any]) -> bool:
    return alert["severity"] in _SEVERE


def _linked(ours: Mapping[str, str], other: Mapping[str, Any]) -> bool:
    theirs = other["entities"]
    return any(ours.get(kind) == theirs.get(kind) and _tells(kind, ours.get(kind)) for kind in _LINKS)


def _tells(kind: str, value: str | None) -> bool:
    """Whether sharing this value means something: everything on a host shares its system accounts."""
    return value is not None and not (kind == "user" and (value.lower() in _SYSTEM_USERS or value.endswith("$")))


def is_ordinary(sightings: Mapping[str, Any], moment: datetime) -> bool:
    """Seen at least five times, for at least a day: part of how this estate is run."""
    if sightings["count"] < _ORDINARY_TIMES or sightings["first_seen"] is None:
        return False
    return moment - datetime.fromisoformat(sightings["first_seen"]) >= _ORDINARY_AGE
