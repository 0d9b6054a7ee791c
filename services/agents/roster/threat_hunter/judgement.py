"""How the threat hunter weighs what it finds on other hosts. Pure: the same results give the same signs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tools.hunting import PivotKind
from shared.contracts.claims import Prior
from shared.contracts.investigations import Citation

_FILE = Path(__file__).parent / "knowledge" / "pivots.json"
_SHOWN_HOSTS = 4


class _Spread(msgspec.Struct, frozen=True):
    one: float
    several: float
    told_one: float
    told_several: float


class _Landing(msgspec.Struct, frozen=True):
    logon: float
    followed: float
    followed_from: float
    techniques: tuple[str, ...]


class _Rule(msgspec.Struct, frozen=True):
    one: float
    several: float


class Knowledge(msgspec.Struct, frozen=True):
    """The file, as it says itself."""

    description: str
    values: Mapping[PivotKind, _Spread]
    techniques: Mapping[PivotKind, tuple[str, ...]]
    widespread: float
    fewest_hosts: int
    landing: _Landing
    rule: _Rule


@lru_cache(maxsize=1)
def knowledge() -> Knowledge:
    """What is known of pivots."""
    return msgspec.json.decode(_FILE.read_bytes(), type=Knowledge)


def same_host(one: str, other: str) -> bool:
    """Whether two names are one machine's: `WEB01` and `web01.example.org` are, two full names only when equal."""
    first, second = one.lower().rstrip("."), other.lower().rstrip(".")
    if "." in first and "." in second:
        return first == second
    return first.partition(".")[0] == second.partition(".")[0]


def elsewhere(result: Mapping[str, Any], hosts: Collection[str]) -> list[str]:
    """The hosts of a result that aren't the alert's, the most frequent first."""
    return [name for name in result["hosts"] if not any(same_host(name, host) for host in hosts)]


def is_alone(talking: Mapping[str, Any], hosts: Collection[str]) -> bool:
    """Whether no other host sent logs at all."""
    return not talking["more_hosts"] and not elsewhere(talking, hosts)


def is_widespread(result: Mapping[str, Any], talking: Mapping[str, Any] | None) -> bool:
    """Whether so many of the hosts that talk have the value that it tells nothing. On a small estate nothing is."""
    if result["more_hosts"]:
        return True
    if talking is None or (len(talking["hosts"]) < knowledge().fewest_hosts and not talking["more_hosts"]):
        return False
    return len(result["hosts"]) >= knowledge().widespread * len(talking["hosts"]) and not talking["more_hosts"]


def spread_sign(kind: PivotKind, value: str, others: Sequence[str], told: bool, carrier: Citation) -> Sign:
    """The value turned up on `others`; `told` says that another specialist's finding speaks against it."""
    known = knowledge().values[kind]
    if told:
        weight = known.told_one if len(others) == 1 else known.told_several
    else:
        weight = known.one if len(others) == 1 else known.several
    claim = f"{kind} {quote(value, 100)} turned up on {_named(others)} too, and was not seen there before"
    techniques = knowledge().techniques[kind] if weight else ()
    return Sign(f"spread-{kind}", claim, weight, techniques, carrier)


def landing_signs(user: str, logons: Citation, timelines: Sequence[Citation]) -> list[Sign]:
    """The account logged on elsewhere; what was done there just after, as the timelines of those hosts tell."""
    landing = knowledge().landing
    landed = list(dict.fromkeys(logon["host"] for logon in logons.result["logons"]))
    if not landed:
        return []
    claim = f"account {quote(user, 60)} logged on to {_named(landed)} afterwards"
    signs = [Sign("lateral-logon", claim, landing.logon, landing.techniques, logons)]
    for timeline in timelines:
        telling = [
            item for item in timeline.result.get("entries", ()) if item.get("weight", 0) >= landing.followed_from
        ]
        if telling:
            strongest = max(telling, key=lambda item: (item["weight"], item["text"]))
            techniques = (*landing.techniques[:1], *strongest.get("mitre_techniques", ()))
            host = quote(timeline.arguments.get("host", ""), 60)
            claim = f"after a logon of {quote(user, 60)} to {host}: {strongest['text']}"
            signs.append(Sign("lateral-execution", claim, landing.followed, techniques, timeline))
    return signs


def rule_sign(carrier: Citation) -> list[Sign]:
    """The same rule fired on other hosts."""
    hosts = list(carrier.result["hosts"])
    if not hosts:
        return []
    weight = knowledge().rule.one if len(hosts) == 1 else knowledge().rule.several
    return [Sign("rule-elsewhere", f"the same rule fired on {_named(hosts)} around that time", weight, (), carrier)]


def speaks_against(prior: Iterable[Prior], value: str) -> bool:
    """Whether a finding that carries weight, of a specialist that suspects an attack, quotes the value."""
    quoted = quote(value, len(value)).strip('"')
    return any(
        finding.confidence >= 0.5 and quoted in finding.claim
        for said in prior
        if said.verdict in ("malicious", "suspicious")
        for finding in said.findings
    )


def _named(hosts: Sequence[str]) -> str:
    shown = ", ".join(quote(host, 60) for host in hosts[:_SHOWN_HOSTS])
    more = f" and {len(hosts) - _SHOWN_HOSTS} more" if len(hosts) > _SHOWN_HOSTS else ""
    return f"{len(hosts)} other host{'s' if len(hosts) != 1 else ''} ({shown}{more})"
