"""Loopback ports: a free one for each process, the same again at the next start.

Knows no process. Ports come from below the kernel's own range for outgoing connections, so that none is borrowed by a
client while its server restarts.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from deploy.local.errors import StackError
from deploy.local.layout import write_private

HOST = "127.0.0.1"
_FIRST, _LAST = 20_000, 32_000
_TRIES = 500
_POLL_SECONDS = 0.05


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now, by TCP and by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections only linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose(avoid: Iterable[int] = ()) -> int:
    """A free port that is none of `avoid`. Raises StackError when hundreds of tries found none."""
    taken = set(avoid)
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no free loopback port between {_FIRST} and {_LAST}")


def comes_free(port: int, deadline: float) -> bool:
    """Whether the port is free now or before `deadline` (of time.monotonic). Blocks."""
    while not is_free(port):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def assign(names: Iterable[str], file: Path, *, deadline: float = 0.0, avoid: int = 0) -> dict[str, int]:
    """A port for each name: the one kept in `file` where it comes free, else a new one; and keeps the result there.

    `deadline` is as for `comes_free`; `avoid` is a port that is promised to somebody else.
    """
    kept = remembered(file)
    ports: dict[str, int] = {}
    for name in names:
        port = kept.get(name)
        if port is None or port in (avoid, *ports.values()) or not comes_free(port, deadline):
            port = choose([avoid, *ports.values(), *kept.values()])
        ports[name] = port
    write_private(file, msgspec.json.encode(ports).decode())
    return ports


def remembered(file: Path) -> dict[str, int]:
    """The ports of the last start; none when there was no start or the file is damaged."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    except (FileNotFoundError, msgspec.DecodeError):
        return {}
