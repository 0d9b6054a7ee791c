"""What is regular, or asks for many names, as a matter of course: knowledge/periodic.json, looked up. Pure."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import re2

from services.agents.toolkit.indicators import classify_address
from services.agents.toolkit.network.names import registered

_FILE = Path(__file__).parent / "knowledge" / "periodic.json"
_MAX_TEXT = 400


class Port(msgspec.Struct, frozen=True):
    """A service that polls; `anywhere`: over the internet too."""

    port: int
    anywhere: bool
    text: str


class Carrier(msgspec.Struct, frozen=True):
    """Programmes from which regular calls to a rare address are seldom honest. `weight` is 0..1."""

    id: str
    pattern: str
    weight: float
    techniques: tuple[str, ...]
    text: str


class Known(msgspec.Struct, frozen=True):
    """The file."""

    description: str
    addresses: dict[str, str]
    ports: tuple[Port, ...]
    domains: frozenset[str]
    lookups: frozenset[str]
    carriers: tuple[Carrier, ...]
    administration: frozenset[int]
    storage: frozenset[str]


@lru_cache(maxsize=1)
def known() -> Known:
    """All of it."""
    return msgspec.json.decode(_FILE.read_bytes(), type=Known)


@lru_cache(maxsize=1)
def _carriers() -> tuple[tuple[Carrier, Any], ...]:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    return tuple((carrier, re2.compile(carrier.pattern, options)) for carrier in known().carriers)


def is_public(address: str) -> bool:
    """Whether an address is reachable from outside. Documentation ranges stand for such ones."""
    try:
        return classify_address(address) in ("public", "documentation")
    except ValueError:
        return False


def stays_near(address: str) -> str | None:
    """Why what goes to an address doesn't leave the host, its link or the platform under it; None when it does."""
    platform = known().addresses.get(address)
    if platform is not None:
        return platform
    try:
        kind = classify_address(address)
    except ValueError:
        return None
    return f"a {kind} address" if kind in ("loopback", "link_local", "multicast") else None


def service(port: int, destination: str) -> str | None:
    """What polls by its nature on this port, at this destination; None for what doesn't."""
    found = next((item for item in known().ports if item.port == port), None)
    return found.text if found is not None and (found.anywhere or not is_public(destination)) else None


def calls_home(name: str) -> bool:
    """Whether a name belongs to products that call home regularly."""
    return registered(name) in known().domains


def looks_up(domain: str) -> bool:
    """Whether names below a registered domain are long or many by design."""
    return domain in known().lookups or domain in known().domains


def stores_files(name: str) -> bool:
    """Whether a name belongs to a service that holds files for anybody."""
    return registered(name) in known().storage


def carriers_of(processes: list[str]) -> list[Carrier]:
    """What the programmes of a connection are that seldom talk regularly."""
    return [
        carrier for carrier, pattern in _carriers() if any(pattern.search(process[:_MAX_TEXT]) for process in processes)
    ]
