"""Which comparisons of STIX patterns are a value that can be looked up, and what each of the others is called. Pure.

A name with everything below it is the domain, since a lookup goes upwards; a URL with everything under it is kept with
a star at its end. Knows no objects and no store.
"""

from __future__ import annotations

import re

from services.siem.intel.domain import text
from services.siem.intel.formats.stix_patterns import Comparison, Pattern
from shared.contracts.common import Observable
from shared.observables import domain_of, hash_of, registered_domain

#: Observables that are a value, and the type they are kept as.
VALUES = {
    "ipv4-addr": "ip",
    "ipv6-addr": "ip",
    "domain-name": "domain",
    "url": "url",
    "email-addr": "email",
    "mutex": "mutex",
    "windows-registry-key": "registry",
}
#: Paths of patterns, and the type of their values.
_PATHS = {
    **{f"{kind}:value": type_ for kind, type_ in VALUES.items()},
    "mutex:name": "mutex",
    "windows-registry-key:key": "registry",
    "file:name": "file",
    "process:command_line": "process",
    "user-account:account_login": "user",
    "network-traffic:src_ref.value": "ip",
    "network-traffic:dst_ref.value": "ip",
    "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'": "user_agent",
    "email-message:from_ref.value": "email",
    "email-message:sender_ref.value": "email",
}
#: What a pattern says besides, without narrowing what a value means.
_IDLE = frozenset({"network-traffic:dst_ref.type", "network-traffic:src_ref.type"})
#: `%name` or `%.name`, and `scheme://host/path/%`, without another wildcard.
_BELOW = re.compile(r"%\.?([^%_]+)")
_UNDER = re.compile(r"([a-z][a-z0-9+.-]*://[^/%_]+/(?:[^%_]*/)?)%", re.IGNORECASE)


def observable_of(comparison: Comparison) -> Observable | None:
    """What a comparison is looked up by; None when it can't be."""
    if comparison.value is None:
        return None
    if ":hashes." in comparison.path or ":hashes[" in comparison.path:
        is_digest = comparison.operator == "=" and hash_of(comparison.value) is not None
        return Observable("hash", comparison.value) if is_digest else None
    type_ = _PATHS.get(comparison.path)
    value = comparison.value if comparison.operator == "=" else _without_wildcard(type_, comparison.value)
    return Observable(type_, value) if type_ is not None and value else None


def _without_wildcard(type_: str | None, like: str) -> str | None:
    if type_ == "domain" and (match := _BELOW.fullmatch(like)) is not None:
        domain = domain_of(match.group(1))
        # Everything below an ending that strangers share is nothing that anybody can be told of.
        return domain if domain is not None and registered_domain(domain) is not None else None
    if type_ == "url" and (match := _UNDER.fullmatch(like)) is not None:
        return f"{match.group(1)}*"
    return None


def is_idle(comparison: Comparison) -> bool:
    """Whether it narrows nothing of what the others mean."""
    return comparison.path in _IDLE


def left_out(pattern: Pattern) -> list[str]:
    """What of a pattern isn't looked up, each part by its name: `MATCHES on url:value`, `REPEATS`."""
    comparisons = dict.fromkeys(comparison for way in pattern.ways for comparison in way)
    parts = [_name(item) for item in comparisons if observable_of(item) is None and not is_idle(item)]
    return [*parts, *pattern.qualifiers]


def _name(comparison: Comparison) -> str:
    return f"{comparison.operator} on {text(comparison.path, 80)}"
