"""Observables in one form: refanged, recognised by their shape, normalised, and what lies above a domain. Pure.

The one importer of ioc_fanger and publicsuffixlist. Knows no source of observables and no reputation; regular
expressions here take linear time, since attackers write what they read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit, urlunsplit

import ioc_fanger
from publicsuffixlist import PublicSuffixList

MAX_VALUE = 2048
_MAX_HOST = 253
#: What a text has that was made harmless; without it the library would still read `10,0,0,1` as an address.
_DEFANGED = re.compile(r"h(?:xx|XX|\*\*)p|[\[({](?:\.|:|//|@|dot|DOT|at|AT)|(?:\.|dot|DOT)[\])}]|meow://|://\]|\\\\\.")
#: Further than the library goes.
_REFANG = (
    (re.compile(r"\bh(?:xx|XX|\*\*)p(s?)(?=\[?:)"), r"http\1"),
    (re.compile(r"\bmeow(?=://)"), "http"),
    (re.compile(r"\[://\]"), "://"),
    (re.compile(r"\[:\]"), ":"),
    (re.compile(r"\s?[\[({](?:\.|dot|DOT)[\])}]?\s?"), "."),
    (re.compile(r"\s?[\[({](?:@|at|AT)[\])}]\s?"), "@"),
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
#: An address in its shortest form already: imports have hundreds of thousands.
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
HASH_LENGTHS = (32, 40, 56, 64, 96, 128)
_HASH = re.compile(r"[0-9a-fA-F]{32,128}")
_CVE = re.compile(r"CVE-\d{4}-\d{4,10}", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@<>\"]{1,64}@[^\s@<>\"]{3,253}")
_URL = re.compile(r"[a-z][a-z0-9+.-]{1,15}://[^\s]{1,2040}", re.IGNORECASE)
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.){1,20}[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
#: Names that no registry sells, and that are domains all the same (RFC 6761, 7686, 8375; example of RFC 2606).
_SPECIAL = frozenset(
    {"example", "test", "invalid", "onion", "local", "localdomain", "internal", "lan", "corp", "home", "arpa"}
)


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


def refang(text: str) -> str:
    """`hxxp[:]//evil[.]example` as it was before somebody made it harmless; any other text unchanged."""
    if not _DEFANGED.search(text):
        return text
    for pattern, replacement in _REFANG:
        text = pattern.sub(replacement, text)
    return str(ioc_fanger.fang(text))


def network_of(value: str) -> IPv4Network | IPv6Network | None:
    """The network (an address: of itself alone) that a text names, None when it names none."""
    try:
        return ip_network(value.strip().strip("[]"), strict=False)
    except ValueError:
        return None


def address_of(value: str) -> str | None:
    """One address in its shortest form, None when the text is none; an IPv4 address mapped into IPv6 is unpacked."""
    if _IPV4.fullmatch(value):
        return value
    if ":" not in value and not value.rstrip()[-1:].isdigit():
        return None  # without the cost of an exception: most names that are asked for are none
    try:
        address = ip_address(value.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def domain_of(text: str) -> str | None:
    """A host name as DNS has it: lower case, punycode, without the last dot. None when it is none, or an address."""
    name = text.strip().rstrip(".").lower().removeprefix("*.")
    if len(name) > _MAX_HOST:
        return None
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    if not _NAME.fullmatch(name) or address_of(name) is not None:
        return None
    return name


def is_known_suffix(domain: str) -> bool:
    """Whether a name ends as names on the internet do, or as those that are special by a standard."""
    return domain.rpartition(".")[2] in _SPECIAL or _suffixes().publicsuffix(domain) is not None


def registered_domain(domain: str) -> str | None:
    """What somebody registered: `b.co.uk` of `a.b.co.uk`; None for a public suffix itself and for unknown endings. Of a
    special name (`a.b.onion`) it is the last two parts."""
    if domain.rpartition(".")[2] in _SPECIAL:
        return ".".join(domain.split(".")[-2:]) if "." in domain else None
    return _suffixes().privatesuffix(domain)


def domains_above(domain: str) -> Iterator[str]:
    """The names above a domain, down to what somebody registered: never a suffix that strangers share."""
    top = registered_domain(domain)
    while top is not None and domain != top:
        domain = domain.partition(".")[2]
        yield domain


def url_of(text: str) -> str | None:
    """A URL with scheme and host in lower case, no fragment, default port or empty path. None when it is none."""
    if not _URL.fullmatch(text.strip()):
        return None
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    host = address_of(host) or domain_of(host) or host
    if not host:
        return None
    shown = f"[{host}]" if ":" in host else host
    scheme = parts.scheme.lower()
    if port is not None and (scheme, port) not in (("http", 80), ("https", 443), ("ftp", 21)):
        shown = f"{shown}:{port}"
    return urlunsplit((scheme, shown, parts.path or "/", parts.query, ""))


def host_of(url: str) -> str | None:
    """Address or domain of a URL; None without one."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return None
    return address_of(host) or domain_of(host)


def hash_of(text: str) -> str | None:
    """A digest in lower case, by its length one of MD5, SHA-1 or SHA-2; None when it is none."""
    text = text.strip()
    return text.lower() if len(text) in HASH_LENGTHS and _HASH.fullmatch(text) else None


def cve_of(text: str) -> str | None:
    """A CVE id in capitals; None when it is none."""
    return text.strip().upper() if _CVE.fullmatch(text.strip()) else None


def email_of(text: str) -> str | None:
    """An address of electronic mail, the whole in lower case; None when it is none."""
    text = text.strip().lower()
    if not _EMAIL.fullmatch(text):
        return None
    name, _, host = text.rpartition("@")
    domain = domain_of(host)
    return None if domain is None else f"{name}@{domain}"


def _network(text: str) -> str | None:
    network = network_of(text) if "/" in text else None
    if network is None:
        return address_of(text)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _plain(text: str) -> str | None:
    return text.strip() or None


def _folded(text: str) -> str | None:
    return text.strip().lower() or None


_FORMS = {
    "ip": _network,
    "domain": domain_of,
    "url": url_of,
    "hash": hash_of,
    "cve": cve_of,
    "email": email_of,
    # Names that Windows compares without regard to case.
    "file": _folded,
    "registry": _folded,
    "user": _folded,
    "host": _folded,
}


def normalised(kind: str, value: str) -> str | None:
    """A value in the one form of its type, so that equal things are equal; None when it isn't of that type, is longer
    than 2,048 characters, or holds a character U+0000. An `ip` may be a network."""
    if len(value) > MAX_VALUE or "\x00" in value:
        return None
    form = _FORMS.get(kind, _plain)(refang(value))
    return form if form is not None and len(form) <= MAX_VALUE else None


def type_of(value: str) -> str | None:
    """The type of a single value by its shape; None when it has none that can be told."""
    text = refang(value.strip())
    if "://" in text and url_of(text) is not None:
        return "url"
    for kind in ("ip", "hash", "cve", "email"):
        if normalised(kind, text) is not None:
            return kind
    domain = domain_of(text)
    return "domain" if domain is not None and is_known_suffix(domain) else None
