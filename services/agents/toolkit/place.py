"""Where an agent listens, and the address that others are told: in a container these are not the same. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True)
class Place:
    """A host and a port to listen on (0: a free one), and the host that is told."""

    host: str
    port: int
    told: str

    def url(self, port: int) -> str:
        """The address that is told, with the port that was bound."""
        host = f"[{self.told}]" if ":" in self.told else self.told
        return f"ws://{host}:{port}"


def place_of(url: str, told: str | None) -> Place:
    """The place of a WebSocket URL. Raises ValueError for one that has no port, or that nobody could call."""
    parts = urlsplit(url)
    if parts.scheme != "ws" or parts.port is None or not parts.hostname:
        raise ValueError(f"{url} isn't ws://HOST:PORT")
    if told is None and parts.hostname in _EVERYWHERE:
        raise ValueError(f"{url} is no address to call: set AURORA_ADVERTISED_HOST")
    return Place(parts.hostname, parts.port, told or parts.hostname)
