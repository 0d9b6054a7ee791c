"""What a hunt follows: the values of an alert and of what others found that may turn up elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.agents.toolkit.behaviours import behaviours_in
from services.agents.toolkit.evidence import Evidence
from services.agents.toolkit.indicators import classify_address, is_benign_domain, refang
from services.agents.toolkit.tools.hunting import LOGONS_ELSEWHERE, PivotKind
from shared.contracts.claims import Citation, Prior
from shared.contracts.common import Observable

MAX_LEADS = 8
_MAX_STRANGE = 20
_MAX_VALUE = 1024
#: A shorter command is nobody's own.
_LEAST_COMMAND = 16
#: What an observable's type is to the hunt.
_KINDS: dict[str, PivotKind] = {
    "ip": "ip", "domain": "domain", "hash": "hash", "user": "user", "file": "file", "command": "command",
}  # fmt: skip
_HASH_FIELDS = ("process.hash.sha256", "file.hash.sha256", "process.hash.sha1", "process.hash.md5")
_EVERYWHERE = ("multicast", "reserved", "link_local")
_OUTSIDE = ("public", "documentation")
_SELF = ("127.0.0.1", "::1")
#: Which leads are followed first: what is one attacker's own before what many share.
_ORDER: tuple[PivotKind, ...] = ("command", "hash", "file", "domain", "ip", "user")


class Lead(NamedTuple):
    """A value to look for."""

    kind: PivotKind
    value: str


def lead_of(observable: Observable) -> Lead | None:
    """The lead that an observable gives; None for what can't be looked for."""
    kind = _KINDS.get(observable.type)
    value = refang(observable.value)[:_MAX_VALUE]
    if kind is None or not value.strip():
        return None
    if kind == "hash":
        return Lead(kind, value.lower()) if len(value) in (32, 40, 64) and value.isalnum() else None
    if kind == "ip":
        return Lead(kind, value) if _class_of(value) else None
    return Lead(kind, value.lower() if kind == "domain" else value)


def leads_of(evidence: Evidence, prior: Sequence[Prior]) -> list[Lead]:
    """The leads of an alert, of its events and of what suspicious specialists named: each once, at most eight."""
    found: dict[Lead, None] = {}
    for seen in evidence.events:
        for command in seen.commands():
            if _LEAST_COMMAND <= len(command) <= _MAX_VALUE and behaviours_in(command):
                found.setdefault(Lead("command", command))
        value = next((text for name in _HASH_FIELDS if (text := seen.field(name))), "")
        for observable in (Observable("hash", value),) if value else ():
            _add(found, [observable])
        _add(found, [Observable("ip", text) for name in ("source.ip", "destination.ip") if (text := seen.field(name))])
    _add(found, evidence.iocs)
    for said in prior:
        if said.verdict in ("malicious", "suspicious"):
            _add(found, said.iocs)
    return sorted(found, key=lambda lead: _ORDER.index(lead.kind))[:MAX_LEADS]


def _add(found: dict[Lead, None], observables: Iterable[Observable]) -> None:
    for observable in observables:
        lead = lead_of(observable)
        if lead is not None and _is_telling(lead):
            found.setdefault(lead)


def _is_telling(lead: Lead) -> bool:
    """Whether it says anything that the value turns up elsewhere. Accounts are followed by their logons."""
    if lead.kind == "ip":
        return _class_of(lead.value) not in _EVERYWHERE and lead.value not in _SELF
    return lead.kind != "user" and not (lead.kind == "domain" and is_benign_domain(lead.value))


def _class_of(address: str) -> str | None:
    try:
        return classify_address(address)
    except ValueError:
        return None


def strangers(found: Iterable[Citation], evidence: Evidence, prior: Sequence[Prior]) -> list[Observable]:
    """Public addresses from which the accounts logged on elsewhere and that neither the alert nor anybody else named,
    at most 20, in their order as texts, whichever was read first."""
    known = {seen.field(name) for seen in evidence.events for name in ("source.ip", "destination.ip")}
    known |= {item.value for item in evidence.iocs} | {item.value for said in prior for item in said.iocs}
    logons = [row for item in found if item.tool == LOGONS_ELSEWHERE.name for row in item.result.get("logons", ())]
    met = {row["source_ip"] for row in logons} - known
    return [Observable("ip", address) for address in sorted(met) if _class_of(address) in _OUTSIDE][:_MAX_STRANGE]
