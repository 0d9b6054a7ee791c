"""What a principal's actions in a control plane say of an attack. Pure: results to signs, by stated thresholds.

Owns the thresholds. What single steps mean is the toolkit's knowledge/clouds.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.agents.toolkit.books import CLOUD_FACTS
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.journeys import is_impossible, told
from services.agents.toolkit.signs import WEAK_BELOW, Sign
from shared.contracts.claims import Citation

#: Within ten minutes: so many different questions, of which so many were refused, ask what a key may do at all.
_READS = 12
_REFUSED = 5
#: So many different questions to so many services, none refused, are an inventory: tools for it do that too.
_INVENTORY, _SERVICES = 25, 6
_SECRETS = 8
_DESTROYED = 8
#: Days on which the principal came from this address in the month before: it lives there.
_AT_HOME_DAYS = 5
_SETTLED_DAYS = 5
_USUAL_DAYS = 3
_HALF = 0.5


def step_signs(found: Citation) -> list[tuple[Sign, Mapping[str, Any]]]:
    """What the telling steps mean, each sign with its event."""
    return [(sign, step) for step in found.result.get("telling", ()) for sign in CLOUD_FACTS.signs_of(step, found)]


def burst_signs(who: str, found: Citation) -> list[Sign]:
    """What the most of any ten minutes says: asking around, collecting secrets, destroying."""
    burst: Mapping[str, int] = found.result.get("burst", {})
    signs: list[Sign] = []
    shown = quote(who, 80)
    reads, refused, services = burst.get("reads", 0), burst.get("refused", 0), burst.get("read_services", 0)
    if reads >= _READS and refused >= _REFUSED:
        claim = f"{shown} asked {reads} different questions within ten minutes, and {refused} times had no right to"
        signs.append(Sign("asking-around", claim, 0.55, ("T1580", "T1526"), found))
    elif reads >= _INVENTORY and services >= _SERVICES:
        claim = f"{shown} asked {reads} different questions to {services} services within ten minutes"
        signs.append(Sign("inventory", claim, 0.25, ("T1580", "T1526"), found))
    if burst.get("secrets", 0) >= _SECRETS:
        claim = f"{shown} read {burst['secrets']} secrets within ten minutes"
        signs.append(Sign("secrets-collected", claim, 0.45, ("T1555.006",), found))
    if burst.get("destroyed", 0) >= _DESTROYED:
        claim = f"{shown} deleted {burst['destroyed']} things within ten minutes"
        signs.append(Sign("mass-deletion", claim, 0.4, ("T1485",), found))
    if "Root" in found.result.get("identities", {}):
        signs.append(Sign("root-in-use", "the root account itself was used", 0.25, ("T1078.004",), found))
    return signs


def journey_signs(found: Citation) -> list[Sign]:
    """A key or a person in two places at once."""
    rows = found.result.get("journeys", ())
    return [Sign("two-places", told(row), 0.6, ("T1078.004",), found) for row in rows if is_impossible(row)]


def new_principal_sign(who: str, past: Citation, log: Citation) -> Sign | None:
    """A principal that did nothing here in the month before, though its log (`log`) has a past; else None."""
    if past.result["count"] or log.result["days"] < _SETTLED_DAYS:
        return None
    claim = f"{quote(who, 80)} did nothing here in the month before"
    return Sign("first-seen-principal", claim, 0.15, ("T1078.004",), past)


def new_value_sign(who: str, kind: str, value: str, past: Citation, seen: Citation) -> Sign | None:
    """Something that a principal with a past (`past`) never had before (`seen`): an address, a client, a region."""
    if seen.result["count"] or past.result["days"] < _SETTLED_DAYS:
        return None
    weights = {"address": 0.3, "region": 0.25, "client": 0.15}
    claim = f"{quote(who, 80)} never had the {kind} {quote(value, 100)} in the month before"
    return Sign(f"first-seen-{kind}", claim, weights[kind], ("T1078.004",), seen)


def is_at_home(seen: Citation | None) -> bool:
    """Whether the principal came from its address on many days before."""
    return seen is not None and bool(seen.result["days"] >= _AT_HOME_DAYS)


def less_at_home(sign: Sign) -> Sign:
    """Half the weight for what administration does too: from where it always comes, automation does new things."""
    return sign if sign.weight >= WEAK_BELOW else replace(sign, weight=round(sign.weight * _HALF, 4))


def less_when_usual(sign: Sign, days: int) -> Sign:
    """Half the weight for what the principal did on other days before."""
    if days < _USUAL_DAYS:
        return sign
    claim = f"{sign.claim}, as on {days} days of the month before"
    return replace(sign, claim=claim, weight=round(sign.weight * _HALF, 4))
