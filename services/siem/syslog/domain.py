"""Syslog on the wire: where one message ends and the next begins, and who may send. Pure.

RFC 6587 has two framings for TCP, and senders don't say which they use: a message is counted when it begins with its
length, a space and `<`, else it ends with a newline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
_COUNTED = re.compile(rb"([1-9]\d{0,8}) <")
#: What may still become the beginning of a counted message.
_PERHAPS_COUNTED = re.compile(rb"[1-9]\d{0,8} ?\Z")
_LONGEST_COUNT = 11
#: Each message costs a copy of what is behind it: of so much, also in a stream of newlines.
_SLICE_BYTES = 4096


@dataclass(slots=True)
class Framer:
    """The messages in a stream of bytes. What a message has beyond `limit` bytes is left out and counted in `cut`."""

    limit: int
    cut: int = 0
    _rest: bytes = b""
    #: Bytes of a counted message that are still to be left out.
    _skip: int = 0
    #: A line whose beginning was given out already: it is left out up to its newline.
    _in_long_line: bool = False

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now, without empty ones."""
        messages: list[bytes] = []
        for start in range(0, len(data), _SLICE_BYTES):
            self._rest += data[start : start + _SLICE_BYTES]
            messages += [message for message in self._take() if message.strip()]
        return messages

    def end(self) -> list[bytes]:
        """What is left when the connection ends."""
        rest, self._rest = self._rest, b""
        counted = _COUNTED.match(rest)
        if counted is not None:
            rest = rest[counted.end() - 1 :]
        return [rest.rstrip(b"\r\n\0")] if rest.strip() and not self._in_long_line and not self._skip else []

    def _take(self) -> Iterator[bytes]:
        while self._rest:
            if self._skip:
                dropped = min(self._skip, len(self._rest))
                self._rest, self._skip = self._rest[dropped:], self._skip - dropped
                continue
            if self._rest.startswith(b"\n") and not self._in_long_line:
                self._rest = self._rest.lstrip(b"\n")  # a stream of newlines costs no turn for each
                continue
            message = None if self._in_long_line else self._counted()
            if message is None and not self._undecided():
                message = self._line()
            if message is None:
                return
            yield message

    def _undecided(self) -> bool:
        """Whether more bytes are needed to know the framing, or to end a counted message."""
        if self._in_long_line:
            return False
        return _COUNTED.match(self._rest) is not None or (
            len(self._rest) < _LONGEST_COUNT and _PERHAPS_COUNTED.match(self._rest) is not None
        )

    def _counted(self) -> bytes | None:
        match = _COUNTED.match(self._rest)
        if match is None:
            return None
        start, length = match.end() - 1, int(match[1])
        kept = min(length, self.limit)
        if len(self._rest) < start + kept:
            return None
        message, self._rest = self._rest[start : start + kept], self._rest[start + kept :]
        if kept < length:
            self.cut += 1
            self._skip = length - kept
        return message.rstrip(b"\r\n\0")

    def _line(self) -> bytes | None:
        end = self._rest.find(b"\n")
        if self._in_long_line:
            self._in_long_line = end < 0
            self._rest = b"" if end < 0 else self._rest[end + 1 :]
            return b""
        if end < 0 and len(self._rest) <= self.limit:
            return None
        if end < 0 or end > self.limit:
            self.cut += 1
            self._in_long_line = True
            message, self._rest = self._rest[: self.limit], self._rest[self.limit :]
            return message
        message, self._rest = self._rest[:end], self._rest[end + 1 :]
        return message.rstrip(b"\r\0")


def address_of(text: str) -> tuple[str, int]:
    """`host:port`, `[::1]:port` or `:port` (every address). Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError("expects host:port")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - only where the operator left the host out


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as networks. Raises ValueError for anything else."""
    return tuple(ip_network(text, strict=False) for text in texts)


def peer_of(host: str) -> str:
    """A peer's address without a zone; an IPv4 address that came in an IPv6 socket as IPv4."""
    address = ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_allowed(peer: str, allowed: tuple[Network, ...]) -> bool:
    """Whether the peer is in one of the networks."""
    return any(ip_address(peer) in network for network in allowed)


def source_of(peer: str) -> str:
    """The source under which a peer's lines are stored."""
    return f"syslog:{peer}"
