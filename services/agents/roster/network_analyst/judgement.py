"""How the network analyst weighs what its tools found. Pure: the same results give the same signs.

Regular is not bad: time, updates and monitoring are regular too. A rhythm speaks only with what it goes to, how many
here go there, since when, and which programme keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.agents.roster.network_analyst import known
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from shared.contracts.claims import Citation

#: So many hosts or addresses of the estate talk to it: it belongs to the estate.
COMMON_FROM = 5
_FEW_FROM = 2
#: How strongly a rhythm to a public address speaks, by how rare the address is here: (steady, jittered).
_RHYTHM = {
    "new": (0.6, 0.5),
    "no history": (0.45, 0.35),
    "known": (0.3, 0.2),
    "few": (0.25, 0.15),
    "unknown": (0.35, 0.25),
}
_INTERNAL = 0.1
_WEB_PORTS = (80, 443, 8080, 8443)
_BARE_FAILED = 0.5
_MONITORED = (0, 53, 123, 161, 9100)
_MANY_GENERATED, _SOME_GENERATED = 10, 5
_GENERATED_SHARE = 0.3
_GIB = 1024**3
#: A server with a name of its own that nothing else confirms: whoever wrote the request chose it.
_CLAIMED_NAME = 0.5


@dataclass(slots=True)
class Judged:
    """Signs, and what was looked at and found ordinary."""

    signs: list[Sign] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)


def beacon_signs(
    beacon: Mapping[str, Any], flows: Citation, rarity: Citation | None, resolved: Mapping[str, str]
) -> Judged:
    """One regular series. `rarity` tells of its destination, `resolved` maps addresses to names that DNS gave them."""
    told = rhythm_text(beacon)
    reason = _ordinary(beacon, rarity, resolved)
    if reason is not None:
        return Judged([], [f"{told}: {reason}"])
    weight, why = _rhythm_weight(beacon, rarity)
    if not known.is_public(beacon["destination"]):
        weight, why = _INTERNAL, "within the estate"
    elif any(known.calls_home(name) for name in beacon["names"]):
        weight = round(weight * _CLAIMED_NAME, 4)
    technique = "T1071.001" if beacon["port"] in _WEB_PORTS else "T1071"
    signs = [Sign("beacon", f"{told}; {why}", weight, (technique,), rarity or flows)]
    if rarity is not None:
        # The rhythm stands in the connections, the rarity beside it: both carry the claim.
        signs.append(Sign("beacon", f"{told}; {why}", weight, (technique,), flows))
    if known.is_public(beacon["destination"]):
        for carrier in known.carriers_of(list(beacon["processes"])):
            claim = f"{carrier.text} keeps regular connections: {quote(beacon['processes'][0], 120)}"
            signs.append(Sign("beacon-carrier", claim, carrier.weight, carrier.techniques, flows))
    return Judged(signs)


def rhythm_text(beacon: Mapping[str, Any]) -> str:
    """What is regular about a series, as a claim begins."""
    rhythm = beacon["rhythm"]
    name = f" ({quote(beacon['names'][0], 80)})" if beacon["names"] else ""
    return (
        f"{quote(beacon['source'], 60)} called {quote(beacon['destination'], 60)}:{beacon['port']}{name} "
        f"{rhythm['checkins']} times, every {rhythm['interval']:g} s (median deviation {rhythm['mad']:g} s)"
    )


def _ordinary(beacon: Mapping[str, Any], rarity: Citation | None, resolved: Mapping[str, str]) -> str | None:
    """Why a series is an ordinary one; None when nothing says so."""
    because = known.stays_near(beacon["destination"]) or known.service(beacon["port"], beacon["destination"])
    if because is not None:
        return because
    name = resolved.get(beacon["destination"], "")
    if name and known.calls_home(name):
        return f"DNS gave that address for {quote(name, 80)}, whose programmes call home"
    users = 0 if rarity is None else _users(rarity)
    return f"{users} or more of the estate talk to it" if users >= COMMON_FROM else None


def _users(rarity: Citation) -> int:
    return max(len(rarity.result.get("hosts", ())), len(rarity.result.get("addresses", ())))


def _rhythm_weight(beacon: Mapping[str, Any], rarity: Citation | None) -> tuple[float, str]:
    place = 0 if beacon["rhythm"]["regularity"] == "steady" else 1
    if rarity is None:
        return _RHYTHM["unknown"][place], "how rare the address is here isn't known"
    if _users(rarity) >= _FEW_FROM:
        return _RHYTHM["few"][place], f"{_users(rarity)} of the estate talk to it"
    if rarity.result["earlier"]:
        return _RHYTHM["known"][place], "it alone talks to it, and did so on earlier days"
    if not rarity.result["history"]:
        return _RHYTHM["no history"][place], "it alone talks to it, and there are no earlier days to compare with"
    return _RHYTHM["new"][place], "nothing else here ever talked to it, and nothing did on earlier days"


def scan_signs(flows: Citation) -> list[Sign]:
    """Many ports of one host, or one port of many hosts, within minutes."""
    signs = []
    for scan in flows.result["scans"]:
        weight = _scan_weight(scan)
        what = f"{scan['tried']} ports of {quote(scan['target'], 60)}"
        if scan["kind"] == "hosts":
            what = f"port {scan['target']} of {scan['tried']} hosts"
        outside = known.is_public(scan["source"])
        claim = f"{quote(scan['source'], 60)} tried {what} within minutes; {scan['failed']:.0%} failed"
        technique = "T1595.001" if outside else "T1046"
        if weight:
            signs.append(Sign(f"scan-{scan['kind']}", claim, weight, (technique,), flows))
    return signs


def _scan_weight(scan: Mapping[str, Any]) -> float:
    failed = scan["failed"] >= _BARE_FAILED
    if known.is_public(scan["source"]):
        # The internet scans everybody all the time.
        return 0.3 if failed else 0.2
    if scan["kind"] == "ports":
        return 0.6 if failed else 0.45
    port = int(scan["target"])
    if port in _MONITORED:
        return 0.2 if failed else 0.0
    if port in known.known().administration:
        return 0.65 if failed else 0.4
    return 0.5 if failed else 0.0


def tunnel_signs(domain: Mapping[str, Any], questions: Citation) -> Judged:
    """Names that carry data, below one registered domain."""
    told = (
        f"{domain['questions']} questions for {domain['names']} names below {quote(domain['domain'], 80)}, on average "
        f"{domain['length']:g} characters of {domain['entropy']:g} bits, {domain['carrying']:.0%} in types that "
        "carry data"
    )
    if known.looks_up(domain["domain"]):
        return Judged([], [f"{told}: such names are its design"])
    if len(domain["sources"]) >= COMMON_FROM:
        return Judged([], [f"{told}: {len(domain['sources'])} sources of the estate ask for them"])
    weight = 0.85 if domain["carrying"] >= 0.5 else 0.65
    claim = f"{told}, such as {quote(domain['examples'][0], 100)}"
    return Judged([Sign("dns-tunnel", claim, weight, ("T1071.004", "T1572"), questions)])


def generated_signs(generated: Mapping[str, Any], questions: Citation) -> list[Sign]:
    """Names that read as a programme made them."""
    count, missing = generated["domains"], generated["missing"]
    gone = missing * 2 >= count
    weight = 0.0
    # Who looks at many pages meets odd names too, and they exist.
    many = gone or count >= _GENERATED_SHARE * generated["asked"]
    if many and count >= _MANY_GENERATED:
        weight = 0.75 if gone else 0.45
    elif many and count >= _SOME_GENERATED:
        weight = 0.55 if gone else 0.3
    examples = ", ".join(quote(name, 60) for name in generated["examples"][:3])
    claim = (
        f"{quote(generated['source'], 60)} asked for {count} domain(s) that read as generated, {missing} of which do "
        f"not exist, among {generated['asked']} domains: {examples}"
    )
    return [Sign("generated-domains", claim, weight, ("T1568.002",) if weight else (), questions)]


def upload_signs(uploads: Citation) -> Judged:
    """Much more sent to one destination than on any day before."""
    judged = Judged()
    for upload in uploads.result["uploads"]:
        place = f"{quote(upload['destination'], 60)}" + (f" ({quote(upload['name'], 80)})" if upload["name"] else "")
        told = f"{quote(upload['source'], 60)} sent {_size(upload['sent'])} to {place} in a day"
        if not known.is_public(upload["destination"]):
            judged.ruled_out.append(f"{told}: within the estate")
            continue
        storage = known.stores_files(upload["name"])
        if uploads.result["history"] and upload["most_before"]:
            weight, before = 0.55, f"the most of an earlier day was {_size(upload['most_before'])}"
        elif uploads.result["history"]:
            weight, before = 0.6, "no earlier day had a large transfer"
        else:
            weight, before = (0.35 if upload["sent"] >= _GIB else 0.15), "there are no earlier days to compare with"
        technique = "T1567.002" if storage else "T1048"
        weight = round(weight * 0.8, 4) if storage else weight
        judged.signs.append(Sign("upload", f"{told}; {before}", weight, (technique,), uploads))
    return judged


def rarity_sign(what: str, value: str, rarity: Citation) -> Sign | None:
    """Something of the alert's own events that nothing here ever met before; None when it is known, or nothing is."""
    if rarity.result["earlier"] or not rarity.result["history"] or _users(rarity) >= _FEW_FROM:
        return None
    claim = f"the {what} {quote(value, 100)} was never seen here before"
    return Sign(f"first-seen {what}", claim, 0.2, (), rarity)


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / 1024**2:.0f} MiB"
