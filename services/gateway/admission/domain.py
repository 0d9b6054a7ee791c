"""The rules at the door: whose address counts, which origin may call, which limit applies, which headers say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from shared.contracts.constants import Endpoint
from shared.contracts.doors_elasticsearch import ELASTICSEARCH
from shared.contracts.doors_loki import LOKI_PUSH
from shared.contracts.doors_otlp import OTLP_LOGS
from shared.contracts.doors_splunk import SPLUNK
from shared.contracts.logs import INGEST_LOGS, UPLOAD_LOGS
from shared.contracts.system import GET_HEALTH, GET_LIVENESS, GET_READINESS

Network = IPv4Network | IPv6Network
WINDOW_SECONDS = 60

#: Never counted: probes, and log intake, which is held back by its queue instead.
UNLIMITED: frozenset[Endpoint[Any, Any, Any]] = frozenset(
    {GET_HEALTH, GET_LIVENESS, GET_READINESS, INGEST_LOGS, UPLOAD_LOGS, LOKI_PUSH, OTLP_LOGS, *ELASTICSEARCH, *SPLUNK}
)

#: On every response. A page of its own content sets its own Content-Security-Policy.
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Cache-Control": "no-store",
}

_ALLOWED_METHODS = "GET, POST, PUT, DELETE, OPTIONS, PATCH"
_ALLOWED_HEADERS = (
    "Content-Type, X-Provider, X-Requested-With, X-User-ID, Authorization, X-Provider-Preference, "
    "X-API-Key, X-Request-ID, Idempotency-Key, traceparent"
)
_EXPOSED_HEADERS = (
    "X-API-Version, X-Request-ID, X-AuroraSOC-Mode, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, "
    "RateLimit, RateLimit-Policy, Retry-After, Deprecation, Sunset, Link, Idempotency-Replayed"
)


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a limit. `resets_in` is in seconds."""

    limit: int
    used: int
    resets_in: int

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
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"default";r={self.remaining};t={self.resets_in}',
        }


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as networks. Raises ValueError for anything else."""
    return tuple(ip_network(text, strict=False) for text in texts)


def client_address(remote: str | None, forwarded_for: str | None, trusted: tuple[Network, ...]) -> str:
    """The client's address: the peer's, or what a trusted proxy says of the one before it, and so on."""
    address = remote or "unknown"
    hops = [hop.strip() for hop in (forwarded_for or "").split(",") if hop.strip()]
    while hops and _within(address, trusted):
        candidate = hops.pop()
        if not _is_address(candidate):
            break
        address = candidate
    return address


def address_key(address: str) -> str:
    """What limits count: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    if not _is_address(address):
        return address
    parsed = ip_address(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, trusted: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in trusted)


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
