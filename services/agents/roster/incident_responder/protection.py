"""Targets on which a step may harm more than it helps, told by name and role, and those nothing helps against. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address

from services.agents.roster.incident_responder.targets import Target
from services.agents.toolkit.indicators import classify_address, is_benign_domain

_CONTROLLER = re.compile(r"(^|[-_.\d])((r?w|p|s|b)?dc|adds|addc|kdc)[-_]?\d*([-_.]|$)", re.IGNORECASE)
_PRIVILEGED = re.compile(
    r"^(administrator|admin|krbtgt|root|sa|postgres|oracle|svc[-_.].*|.*[-_.]svc|service[-_.].*|backup|.*[-_.]admin|adm[-_.].*)$",
    re.IGNORECASE,
)
#: The last number of an address that networks mostly give to their gateway.
_GATEWAYS = (1, 254)


def caution(target: Target, controllers: Collection[str], resolvers: Collection[str]) -> str | None:
    """What must be made sure of before a step touches the target; None for one that is like others.

    `controllers` are hosts that answered for a domain, `resolvers` addresses that answered names."""
    if target.kind == "host" and (target.value in controllers or _CONTROLLER.search(target.value.partition(".")[0])):
        return (
            "This looks like a domain controller: another one serves the domain, and the step was agreed with its owner"
        )
    if target.kind in ("user", "superuser", "new_account") and _PRIVILEGED.search(target.value):
        return "This looks like an account of administration or of a service: nobody who responds works under it"
    if target.kind == "ip" and _is_inside(target.value):
        if target.value in resolvers:
            return "This address answers names here: another resolver serves those who ask it"
        if int(ip_address(target.value)) & 0xFF in _GATEWAYS:
            return "This looks like the gateway of a network: whoever is behind it stays reachable another way"
        return "This is an address of your own network: isolating its host is better than blocking the address"
    return None


def refusal(target: Target) -> str | None:
    """Why nothing is planned against the target at all; None where something may be."""
    if target.kind == "ip":
        try:
            kind = classify_address(target.value)
        except ValueError:
            return "it is no address"
        if kind in ("loopback", "link_local", "multicast", "reserved"):
            return f"a {kind.replace('_', '-')} address can't be blocked at the edge"
    if target.kind == "domain":
        if is_benign_domain(target.value):
            return "everybody talks to it"
        if not re.fullmatch(
            r"(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{1,61}", target.value
        ):
            return "it is no domain name"
    if target.kind == "hash" and not re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}", target.value):
        return "it is no hash of a file"
    return None


def _is_inside(address: str) -> bool:
    return classify_address(address) == "private"
