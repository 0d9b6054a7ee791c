"""What a browser is told on every answer, so that no page can misuse it. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from ipaddress import ip_address

#: A page of its own content sets its own Content-Security-Policy.
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
    "Cache-Control": "no-store",
}
#: For a year a browser speaks nothing but TLS with this name. Browsers ignore it on an answer that came without TLS.
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")


@functools.lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a Host header, with or without its port, names this machine to itself."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
