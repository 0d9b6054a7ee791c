"""Lists of values that are seen everywhere: what being on one means for an indicator. Pure.

A list never calls anything bad or good. `benign`: everybody meets it, so that it proves nothing; `shared`: strangers
publish there, so that the name or address alone says little. Of a domain the most exact entry counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal

import msgspec

from shared.contracts.common import Observable
from shared.observables import host_of, normalised

_KNOWLEDGE = Path(__file__).parent / "knowledge" / "warninglists.json"


@dataclass(frozen=True, slots=True)
class Warned:
    """The list that a value is on, and what that means."""

    name: str
    kind: Literal["benign", "shared"]
    value: str


class _List(msgspec.Struct):
    name: str
    kind: Literal["benign", "shared"]
    type: Literal["domain", "ip", "hash"]
    values: list[str]


class _Knowledge(msgspec.Struct):
    description: str
    lists: list[_List]


@dataclass(frozen=True, slots=True)
class _Known:
    values: dict[str, Warned]
    networks: list[tuple[IPv4Network | IPv6Network, Warned]]


@lru_cache(maxsize=1)
def _known() -> _Known:
    known = _Known({}, [])
    for item in msgspec.json.decode(_KNOWLEDGE.read_bytes(), type=_Knowledge).lists:
        for value in item.values:
            warning = Warned(item.name, item.kind, value)
            if item.type == "ip" and "/" in value:
                known.networks.append((ip_network(value), warning))
            else:
                known.values[value] = warning
    return known


def warning_of(observable: Observable) -> Warned | None:
    """The list that an address, domain, URL (by its host) or hash is on; None when on none."""
    value = normalised(observable.type, observable.value)
    if value is None:
        return None
    if observable.type == "url":
        host = host_of(value) or ""
        # A whole URL at a place where strangers publish is as exact as an indicator can be.
        found = _of_address(host) or _of_domain(host)
        return None if found is None or found.kind == "shared" else found
    if observable.type == "ip":
        return _of_address(value)
    return _of_domain(value) if observable.type == "domain" else _known().values.get(value)


def _of_domain(domain: str) -> Warned | None:
    while domain:
        if domain in _known().values:
            return _known().values[domain]
        domain = domain.partition(".")[2]
    return None


def _of_address(text: str) -> Warned | None:
    if text in _known().values:
        return _known().values[text]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return next((warning for network, warning in _known().networks if address in network), None)
