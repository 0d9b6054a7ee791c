"""Indicators in text: addresses, domains, URLs, hashes, e-mail addresses; refanged, normalised, classified. Pure.

Only what has the full form of its type is an indicator; file names that look like domains are told apart by their
ending. A class says what is known of an indicator by its form alone: nothing here claims that one is bad.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from shared.contracts.common import Observable

_KNOWLEDGE = Path(__file__).parent / "knowledge" / "benign.json"
_MAX_TEXT = 64 * 1024
_MAX_FOUND = 200

#: loopback, private, link_local, documentation, multicast, reserved: not reachable from outside, so no reputation.
AddressClass = Literal["loopback", "private", "link_local", "documentation", "multicast", "reserved", "public"]

_DEFANGED = (
    (re.compile(r"\bh(?:xx|XX|\*\*)p(s?)\b(?=(?:\[?:\]?)//)"), r"http\1"),
    (re.compile(r"\[:\]|\[://\]"), lambda match: "://" if "/" in match.group() else ":"),
    (re.compile(r"\s?[\[({](?:\.|dot|DOT)[\])}]\s?"), "."),
    (re.compile(r"\s?[\[({](?:@|at|AT)[\])}]\s?"), "@"),
)
_URL = re.compile(r"\b(?:https?|ftp|ldaps?)://[^\s\"'<>|;`\\^{}\x00-\x1f]{3,2000}", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){2,7}[0-9a-fA-F:.]{1,39}(?![\w:.])|(?<![\w:])::1(?![\w:])")
_HASH = re.compile(r"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})(?![0-9a-fA-F])")
_EMAIL = re.compile(r"\b[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_DOMAIN = re.compile(
    r"(?<![\w@.\\/$-])(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w(.-])"
)
_DEV_TCP = re.compile(r"/dev/(?:tcp|udp)/([^\s/]{1,255})/\d{1,5}")
_DOCUMENTATION = tuple(
    ip_network(block) for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)


@lru_cache(maxsize=1)
def _known() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(_KNOWLEDGE.read_text(encoding="utf-8"))
    return known


def refang(text: str) -> str:
    """`hxxp[:]//evil[.]example` as it was before somebody made it harmless."""
    for pattern, replacement in _DEFANGED:
        text = pattern.sub(replacement, text)
    return text


def extract(texts: Iterable[str]) -> list[Observable]:
    """Every indicator, in order of appearance, each once, at most 200."""
    found: dict[Observable, None] = {}
    for text in texts:
        for observable in _in_one(refang(text[:_MAX_TEXT])):
            found.setdefault(observable)
            if len(found) >= _MAX_FOUND:
                return list(found)
    return list(found)


def _in_one(text: str) -> Iterable[Observable]:
    urls = [match.group().rstrip(".,)]") for match in _URL.finditer(text)]
    for url in urls:
        yield Observable("url", url[:2000])
        yield from _host(_host_of(url))
    for match in _DEV_TCP.finditer(text):
        yield from _host(match.group(1))
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            yield from _address(match.group())
    for match in _HASH.finditer(text):
        yield Observable("hash", match.group().lower())
    without_urls = _URL.sub(" ", text)
    for match in _EMAIL.finditer(without_urls):
        yield Observable("email", match.group().lower())
    for match in _DOMAIN.finditer(_EMAIL.sub(" ", without_urls)):
        yield from _domain(match.group())


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _host(host: str) -> Iterable[Observable]:
    yield from (_address(host) if _parse(host) is not None else _domain(host))


def _address(text: str) -> Iterable[Observable]:
    address = _parse(text)
    if address is not None and not address.is_unspecified:
        yield Observable("ip", str(address))


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None


def _domain(text: str) -> Iterable[Observable]:
    lowered = text.lower().rstrip(".")
    suffix = lowered.rpartition(".")[2]
    if lowered.count(".") >= 1 and suffix in _known()["public_suffixes"]:
        yield Observable("domain", lowered)


def classify_address(text: str) -> AddressClass:
    """What an address is by its range. Raises ValueError when it is none."""
    address = ip_address(text)
    if any(address in block for block in _DOCUMENTATION if block.version == address.version):
        return "documentation"
    for name, holds in (
        ("loopback", address.is_loopback),
        ("link_local", address.is_link_local),
        ("multicast", address.is_multicast),
        ("private", address.is_private),
        ("reserved", address.is_reserved),
    ):
        if holds:
            return name  # type: ignore[return-value]
    return "public"


def is_benign_domain(domain: str) -> bool:
    """Whether a domain, or one above it, is on the warning list: everybody talks to it, so it proves nothing."""
    labels = domain.lower().split(".")
    return any(".".join(labels[start:]) in _known()["benign_domains"] for start in range(len(labels) - 1))
