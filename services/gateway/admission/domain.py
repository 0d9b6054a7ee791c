"""The rules at the door: whose address counts, which origin may call, which limit applies, which headers say so."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from shared.contracts.constants import Endpoint
from shared.contracts.doors_elasticsearch import ELASTICSEARCH
from shared.contracts.doors_loki import LOKI_PUSH
from shared.contracts.doors_otlp import OTLP_LOGS
from shared.contracts.doors_splunk import SPLUNK
from shared.contracts.logs import INGEST_LOGS, UPLOAD_LOGS
from shared.contracts.system import GET_HEALTH, GET_HEALTH_ALIAS, GET_LIVENESS, GET_READINESS

Network = IPv4Network | IPv6Network
WINDOW_SECONDS = 60

#: Never counted: probes, and log intake, which is held back by its queue instead.
UNLIMITED: frozenset[Endpoint[Any, Any, Any]] = frozenset(
    {
        GET_HEALTH,
        GET_HEALTH_ALIAS,
        GET_LIVENESS,
        GET_READINESS,
        INGEST_LOGS,
        UPLOAD_LOGS,
        LOKI_PUSH,
        OTLP_LOGS,
        *ELASTICSEARCH,
        *SPLUNK,
    }
)

#: Which limit a request counts for: RCA paths, chat on both APIs, everything else (DECISIONS, "Requests and errors").
LimitName = Literal["soc", "rca", "chat"]
_CHAT_PREFIXES = ("/chat_api/", "/api/v1/chat/completions", "/api/v1/chat/stream")
_CHAT_WITHIN = ("/api/incidents/", "/chat")

#: Where people read what is deprecated and what to use instead.
_DEPRECATIONS = "/api/v1/docs"

_ALLOWED_METHODS = "GET, POST, PUT, DELETE, OPTIONS, PATCH"
_ALLOWED_HEADERS = (
    "Content-Type, X-Provider, X-Requested-With, X-User-ID, Authorization, X-Provider-Preference, "
    "X-API-Key, X-Request-ID, Idempotency-Key, If-Match, Last-Event-ID, traceparent"
)
_EXPOSED_HEADERS = (
    "X-API-Version, X-Request-ID, X-AuroraSOC-Mode, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "RateLimit, RateLimit-Policy, Retry-After, ETag, Location, Deprecation, Sunset, Link, Idempotency-Replayed"
)


class Rates(Protocol):
    """Requests per minute of one caller, for each limit."""

    @property
    def requests_per_minute(self) -> int: ...
    @property
    def rca_requests_per_minute(self) -> int: ...
    @property
    def chat_requests_per_minute(self) -> int: ...


def limit_of(endpoint: Endpoint[Any, Any, Any], *, of_soc: bool) -> LimitName | None:
    """The limit that requests of this endpoint count for, whose path is of the SOC API or of the RCA API; None: they
    aren't counted."""
    if endpoint in UNLIMITED:
        return None
    path = endpoint.path
    if path.startswith(_CHAT_PREFIXES) or (path.startswith(_CHAT_WITHIN[0]) and path.endswith(_CHAT_WITHIN[1])):
        return "chat"
    return "soc" if of_soc else "rca"


def deprecation_headers(endpoint: Endpoint[Any, Any, Any], *, as_rfc: bool) -> tuple[tuple[str, str], ...]:
    """What every response of a deprecated endpoint carries; nothing of another.

    The page's forms are `Deprecation: true` and an ISO 8601 Sunset; `as_rfc` those of RFC 9745 and RFC 8594.
    """
    if endpoint.deprecated is None or endpoint.sunset is None:
        return ()
    since, sunset = "true", endpoint.sunset
    if as_rfc:
        since = f"@{int(datetime.fromisoformat(endpoint.deprecated).timestamp())}"
        sunset = format_datetime(datetime.fromisoformat(endpoint.sunset), usegmt=True)
    links = [f'<{_DEPRECATIONS}>; rel="deprecation"; type="text/html"', f'<{_DEPRECATIONS}>; rel="sunset"']
    if endpoint.successor:
        links.insert(0, f'<{endpoint.successor}>; rel="successor-version"')
    return (("Deprecation", since), ("Sunset", sunset), *(("Link", link) for link in links))


def rate_of(name: LimitName, rates: Rates) -> int:
    """How many requests a minute this limit allows."""
    match name:
        case "rca":
            return rates.rca_requests_per_minute
        case "chat":
            return rates.chat_requests_per_minute
        case _:
            return rates.requests_per_minute


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a limit. `resets_in` is in seconds."""

    limit: int
    used: int
    resets_in: int
    name: LimitName = "soc"

    @property
    def remaining(self) -> int:
        """Requests that may still come in this window."""
        return max(0, self.limit - self.used)

    @property
    def exceeded(self) -> bool:
        """Whether this request is one too many."""
        return self.used > self.limit

    def headers(self, now: float) -> dict[str, str]:
        """The RCA page's X-RateLimit-* (reset in epoch seconds) and the IETF's RateLimit fields."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(int(now) + self.resets_in),
            "RateLimit-Policy": f'"{self.name}";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.name}";r={self.remaining};t={self.resets_in}',
        }


class LocalCounters:
    """Windows of one process alone, for while those that all processes share can't be reached. Bounded."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        #: key -> the count and when the window ends; in the order in which windows began, and so end.
        self._windows: dict[str, tuple[int, float]] = {}

    def count(self, key: str, now: float) -> tuple[int, int]:
        """Adds one; the count and the seconds until the window ends. `now`: seconds of a clock that only grows."""
        while self._windows and (first := next(iter(self._windows))) and self._windows[first][1] <= now:
            del self._windows[first]
        used, ends = self._windows.get(key, (0, now + WINDOW_SECONDS))
        if used == 0 and len(self._windows) >= self._most:
            del self._windows[next(iter(self._windows))]
        self._windows[key] = used + 1, ends
        return used + 1, math.ceil(ends - now)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as networks. Raises ValueError for anything else."""
    return tuple(ip_network(text, strict=False) for text in texts)


def is_trusted(remote: str | None, trusted: tuple[Network, ...]) -> bool:
    """Whether a peer's address is one of the trusted ones."""
    address = _parsed(remote)
    return address is not None and any(address in network for network in trusted)


def client_address(remote: str | None, forwarded_for: str | None, trusted: tuple[Network, ...]) -> str:
    """The client's address: the peer's, or what a trusted proxy says of the one before it, and so on."""
    address = _parsed(remote)
    if address is None:
        return "unknown"
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    while hops and any(address in network for network in trusted):
        candidate = _parsed(hops.pop())
        if candidate is None:
            break
        address = candidate
    return str(address)


def address_key(address: str) -> str:
    """What limits count: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)


@functools.lru_cache(maxsize=4096)
def _parsed(text: str | None) -> IPv4Address | IPv6Address | None:
    """An IPv4 address in IPv6's clothes is the IPv4 address, and an interface's name is no part of an address."""
    try:
        address = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def cors_headers(origin: str) -> dict[str, str]:
    """For a response to a page of the allowed origin."""
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": _EXPOSED_HEADERS,
    }


def preflight_headers() -> dict[str, str]:
    """For the answer to a preflight of the allowed origin, beside `cors_headers`."""
    return {
        "Access-Control-Allow-Methods": _ALLOWED_METHODS,
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": "600",
    }


def same_host(origin: str, host: str) -> bool:
    """Whether a page of `origin` was served under the name in the request's Host header."""
    return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
