"""Indicators in text: addresses, domains, URLs, hashes, e-mail addresses, CVE ids; refanged and normalised. Pure.

Only what has the full form of its type is an indicator. A dotted name in plain text is a domain by its ending, since
files, classes and fields are dotted too; in a URL or an address of mail any ending that exists counts. What is known of
an indicator by its form alone is in warninglists.py: nothing here claims that one is bad.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal

import msgspec

from services.agents.toolkit.warninglists import warning_of
from shared.contracts.common import Observable
from shared.observables import address_of, domain_of, email_of, hash_of, host_of, is_known_suffix, refang

__all__ = ["AddressClass", "classify_address", "extract", "extract_paths", "is_benign_domain", "refang"]

_KNOWLEDGE = Path(__file__).parent / "knowledge" / "endings.json"
_MAX_TEXT = 64 * 1024
_MAX_FOUND = 200

#: loopback, private, link_local, documentation, multicast, reserved: not reachable from outside, so no reputation.
AddressClass = Literal["loopback", "private", "link_local", "documentation", "multicast", "reserved", "public"]

_URL = re.compile(r"\b(?:https?|ftp|ldaps?|rmi|smb|tcp)://[^\s\"'<>|;`^{}\x00-\x1f]{3,2000}", re.IGNORECASE)
#: Not the version of a product, as browsers write theirs: Chrome/131.0.0.0.
_IPV4 = re.compile(r"(?<![\w.])(?<![A-Za-z]/)(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9a-fA-F]{1,4}:){2,7}[0-9a-fA-F:.]{1,39}(?![\w:.])"
    r"|(?<![\w:])[0-9a-fA-F]{1,4}::[0-9a-fA-F:]{1,39}(?![\w:.])|(?<![\w:])::1(?![\w:])"
)
_HASH = re.compile(
    r"(?<![0-9a-fA-F])(?:[0-9a-fA-F]{128}|[0-9a-fA-F]{64}|[0-9a-fA-F]{40}|[0-9a-fA-F]{32})(?![0-9a-fA-F])"
)
_EMAIL = re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}\b")
_DOMAIN = re.compile(
    r"(?<![\w@.\\/$-])(?:[^\W_](?:[^\W_]|-){0,62}\.){1,8}(?:xn--[A-Za-z0-9-]{2,59}|[^\W\d_]{2,24})(?![\w(.-])"
)
_DEV_TCP = re.compile(r"/dev/(?:tcp|udp)/([^\s/]{1,255})/\d{1,5}")
_CVE = re.compile(r"(?<![\w-])CVE-\d{4}-\d{4,10}(?![\w-])", re.IGNORECASE)
_WINDOWS_PATH = re.compile(
    r"(?<![\w\\])(?:[A-Za-z]:|\\\\[\w.$-]{1,64})\\[^\"'<>|*?:;,\r\n\x00-\x1f]{1,400}?(?=[\"'<>|*?;,\s]|$)"
)
_UNIX_PATH = re.compile(r"(?<![\w/.:-])/(?:tmp|var|etc|home|root|usr|opt|dev/shm|bin|sbin|lib|run)/[\w./@+%-]{1,400}")
_REGISTRY = re.compile(
    r"(?<!\w)(?:HKLM|HKCU|HKCR|HKU|HKEY_[A-Z_]{4,24})\\[^\"'<>|;,\r\n\x00-\x1f]{1,400}?(?=[\"'<>|;,]|\s/|$)"
)
_DOCUMENTATION = tuple(
    ip_network(block) for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)


class _Endings(msgspec.Struct):
    description: str
    plain: frozenset[str]
    file_like: frozenset[str]


@lru_cache(maxsize=1)
def _endings() -> _Endings:
    return msgspec.json.decode(_KNOWLEDGE.read_bytes(), type=_Endings)


def extract(texts: Iterable[str]) -> list[Observable]:
    """Every indicator, in order of appearance, each once, at most 200."""
    found: dict[Observable, None] = {}
    for text in texts:
        for observable in _in_one(text[:_MAX_TEXT]):
            found.setdefault(observable)
            if len(found) >= _MAX_FOUND:
                return list(found)
    return list(found)


def extract_paths(texts: Iterable[str]) -> list[Observable]:
    """Paths of files and keys of the registry, each once, at most 200: of ordinary ones too."""
    found: dict[Observable, None] = {}
    for text in texts:
        for type_, pattern in (("registry", _REGISTRY), ("file", _WINDOWS_PATH), ("file", _UNIX_PATH)):
            for match in pattern.finditer(text[:_MAX_TEXT]):
                found.setdefault(Observable(type_, match.group().rstrip(" .\\")))
                if len(found) >= _MAX_FOUND:
                    return list(found)
    return list(found)


def _in_one(written: str) -> Iterable[Observable]:
    text = refang(written)
    for match in _URL.finditer(text):
        url = match.group().rstrip(".,)]\\")
        yield Observable("url", url[:2000])
        yield from _host(host_of(url))
    for match in _DEV_TCP.finditer(text):
        yield from _host(address_of(match.group(1)) or domain_of(match.group(1)))
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            yield from _address(match.group())
    for match in _HASH.finditer(text):
        yield Observable("hash", hash_of(match.group()) or match.group())
    for match in _CVE.finditer(text):
        yield Observable("cve", match.group().upper())
    without_urls = _URL.sub(" ", text)
    for match in _EMAIL.finditer(without_urls):
        mail = email_of(match.group())
        if mail is not None and is_known_suffix(mail.rpartition("@")[2]):
            yield Observable("email", mail)
    for match in _DOMAIN.finditer(_EMAIL.sub(" ", without_urls)):
        yield from _domain(match.group(), harmless=match.group() not in written)


def _host(host: str | None) -> Iterable[Observable]:
    if host is None:
        return
    if address_of(host) is not None:
        yield from _address(host)
    elif is_known_suffix(host):
        yield Observable("domain", host)


def _address(text: str) -> Iterable[Observable]:
    address = address_of(text)
    if address is not None and not ip_address(address).is_unspecified:
        yield Observable("ip", address)


def _domain(text: str, *, harmless: bool) -> Iterable[Observable]:
    """`harmless`: somebody had made the name harmless, so that it is meant as one."""
    domain = domain_of(text)
    if domain is not None and _is_meant(text, domain, harmless):
        yield Observable("domain", domain)


def _is_meant(text: str, domain: str, harmless: bool) -> bool:
    ending = domain.rpartition(".")[2]
    if harmless:
        return is_known_suffix(domain)
    if ending in _endings().file_like:
        return False
    if ending in _endings().plain or domain != text.lower():  # a name of other letters than ASCII
        return is_known_suffix(domain)
    return domain.count(".") >= 2 and text == domain and is_known_suffix(domain)


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
    """Whether a domain, or one above it, is on a list of benign ones: everybody talks to it, so it proves nothing."""
    warning = warning_of(Observable("domain", domain))
    return warning is not None and warning.kind == "benign"
