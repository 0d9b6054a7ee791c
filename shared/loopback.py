"""Whether a name or an address is this very machine: such an address is never reached over a network. Pure."""

from __future__ import annotations

import functools
from ipaddress import ip_address


def is_loopback(name: str) -> bool:
    """Whether a host name or an address, without port and brackets, is this machine."""
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=256)
def host_is_loopback(host: str) -> bool:
    """The same of a Host header, with or without its port."""
    return is_loopback(host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0])
