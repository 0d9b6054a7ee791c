"""What imported intelligence says of an observable, as signs. Pure.

A match weighs by what was met (a hash is exact, an address changes hands), how it was met, and how sure its source is.
What is expired, revoked, not meant for detection, on a list of benign values or met only in part informs, or weighs
little; nothing is called good for not being known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.agents.toolkit.fencing import quote
from services.agents.toolkit.indicators import classify_address
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.warninglists import warning_of
from shared.contracts.common import Observable
from shared.contracts.intel_methods import IndicatorStanding, Standing
from shared.contracts.investigations import Citation

#: A sure match of each type, met exactly.
_BY_TYPE = {"hash": 0.95, "url": 0.92, "domain": 0.9, "ip": 0.85, "email": 0.8, "mutex": 0.75, "user_agent": 0.5}
_OF_OTHER_TYPES = 0.6
#: How much of it is left by the way it was met.
_BY_WAY = {
    "exact": 1.0,
    "url_prefix": 0.95,
    "parent_domain": 0.92,
    "url_host": 0.92,
    "network": 0.7,
    "host_of_url": 0.55,
}
#: A source that says nothing of its confidence is taken at this, in percent.
_UNSAID = 60
_LEAST_PART = 0.45
_OLD = timedelta(days=180)
_OLD_PART = 0.8
_SHARED_PART = 0.4
_PARTLY_PART = 0.4
#: From here a match is called malicious in a standing: seldom honest, on the scale of signs.
_MALICIOUS_FROM = 0.5


@dataclass(frozen=True, slots=True)
class Judged:
    """One match: its weight, and what is said of it."""

    observable: Observable
    weight: float
    claim: str
    techniques: tuple[str, ...]
    names: tuple[str, ...]


def judged(looked_up: Citation) -> list[Judged]:
    """Every match of one lookup, the strongest first."""
    at = datetime.fromisoformat(looked_up.arguments["at"])
    benign = {item["value"]: item["list"] for item in looked_up.result.get("benign", [])}
    matches = looked_up.result.get("matches", [])
    return sorted((_judge(match, benign, at) for match in matches), key=lambda item: -item.weight)


def _judge(match: Mapping[str, Any], benign: Mapping[str, str], at: datetime) -> Judged:
    observable = Observable(match["type"], match["value"])
    weight, because = _weight(match, observable, benign, at)
    names = tuple(name["name"] for name in match["names"] if name["kind"] != "event")
    who = ", ".join(quote(name, 60) for name in names[:3])
    sure = "" if match["confidence"] is None else f", {match['confidence']}% sure"
    met = "" if match["via"] == "exact" else f", met as {quote(match['indicator'], 80)}"
    claim = (
        f"{quote(match['source'], 60)} lists {quote(observable.value, 100)} ({observable.type}{met})"
        f"{f' for {who}' if who else ''}{sure}{f'; {because}' if because else ''}"
    )
    return Judged(observable, weight, claim, tuple(match["techniques"]), names)


def _weight(
    match: Mapping[str, Any], observable: Observable, benign: Mapping[str, str], at: datetime
) -> tuple[float, str]:
    """The weight of a match, and what lessens it."""
    nothing = _why_nothing(match, observable, benign)
    if nothing:
        return 0.0, nothing
    confidence = _UNSAID if match["confidence"] is None else match["confidence"]
    weight = _BY_TYPE.get(observable.type, _OF_OTHER_TYPES) * _BY_WAY[match["via"]]
    weight *= _LEAST_PART + (1 - _LEAST_PART) * confidence / 100
    because = []
    warned = warning_of(observable)
    if warned is not None and observable.type != "url":
        weight *= _SHARED_PART
        because.append(f"it is one of the {warned.name}")
    if not match["complete"]:
        weight *= _PARTLY_PART
        because.append("its pattern wants more than was seen")
    since = match["valid_from"]
    if observable.type == "ip" and match["valid_until"] is None and since and at - datetime.fromisoformat(since) > _OLD:
        weight *= _OLD_PART
        because.append("listed more than half a year before, and addresses change hands")
    return round(weight, 4), "; ".join(because)


def _why_nothing(match: Mapping[str, Any], observable: Observable, benign: Mapping[str, str]) -> str:
    """Why a match only informs; empty when it weighs."""
    if match["status"] != "current":
        said = {"expired": "no more in force", "revoked": "revoked", "context": "as context, not for detection"}
        return said[match["status"]]
    if observable.value in benign:
        return f"but it is on the list {quote(benign[observable.value], 80)}"
    if match["warnings"]:
        return f"but its source found it on the list {quote(match['warnings'][0], 80)}"
    warned = warning_of(observable)
    if warned is not None and warned.kind == "benign":
        return f"but it is one of the {warned.name}"
    if observable.type == "ip" and classify_address(observable.value) not in ("public", "documentation"):
        return "but it is no address of the internet, and means another host elsewhere"
    return ""


def match_signs(looked_up: Citation) -> list[Sign]:
    """A sign for each observable that intelligence knows. Matches aren't independent of one another, since feeds copy
    from feeds: they are one kind, which counts once."""
    signs: dict[str, Sign] = {}
    for item in judged(looked_up):
        kind = "known-indicator" if item.weight > 0 else f"noted-indicator {item.observable.value}"
        key = item.observable.value
        if key not in signs:
            signs[key] = Sign(kind, item.claim, item.weight, item.techniques, looked_up)
    return list(signs.values())


def standings(asked: Sequence[Observable], looked_up: Citation) -> list[IndicatorStanding]:
    """What is known of each observable, in the order asked."""
    found: dict[tuple[str, str], list[Judged]] = {}
    for item in judged(looked_up):
        found.setdefault((item.observable.type, item.observable.value), []).append(item)
    benign = {item["value"]: item["list"] for item in looked_up.result.get("benign", [])}
    return [_standing(item, found.get((item.type, item.value), []), benign, looked_up) for item in asked]


def _standing(
    asked: Observable, known: Sequence[Judged], benign: Mapping[str, str], looked_up: Citation
) -> IndicatorStanding:
    weight = max((item.weight for item in known), default=0.0)
    claims = [item.claim for item in known[:5]]
    warned = warning_of(asked)
    listed = benign.get(asked.value) or (warned.name if warned is not None and warned.kind == "benign" else None)
    if listed is not None:
        claims.append(f"{quote(asked.value, 100)} is on the list {quote(listed, 80)}: seeing it proves nothing")
    standing: Standing = "unknown"
    if weight >= _MALICIOUS_FROM:
        standing = "malicious"
    elif listed is not None:
        standing = "benign"
    elif known:
        standing = "noted"
    return IndicatorStanding(
        observable=asked,
        standing=standing,
        weight=weight,
        names=list(dict.fromkeys(name for item in known for name in item.names))[:10],
        claims=claims,
        citation=looked_up.id if known or listed is not None else None,
    )


def overlap_sign(overlap: Citation) -> Sign | None:
    """What groups and software the techniques resemble; that alone speaks neither for nor against an attack."""
    found = overlap.result.get("overlaps", [])
    if not found:
        return None
    names = ", ".join(f"{item['name']} ({item['id']})" for item in found[:4])
    techniques = ", ".join(item["id"] for item in overlap.result["techniques"])
    claim = f"the techniques {techniques} resemble what ATT&CK tells of {names}: a resemblance, no proof of who it was"
    return Sign("resemblance", claim, 0.0, (), overlap)
