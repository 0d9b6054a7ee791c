"""Starts the triage process for one sample and reads what it says, within bounds of time and size. Whatever the process
does, also dying, is a result."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

_ROOT = Path(__file__).parents[4]
_MODULE = "services.agents.toolkit.samples.worker"
_SECONDS = 40.0
_LAST_SECONDS = 2.0
_MOST_BYTES = 1024 * 1024
_PARTS = ("basics", "strings", "rules", "programme", "members")
_MARKS = {
    "basics": "sha256",
    "strings": "strings",
    "rules": "rules",
    "programme": "programme",
    "members": "member_count",
}


class Sandbox:
    """Triage of samples, each in a process of its own. `rules` are folders of the operator's YARA rules."""

    def __init__(self, rules: Sequence[Path] = (), *, seconds: float = _SECONDS) -> None:
        self._rules = [str(folder) for folder in rules]
        self._seconds = seconds

    async def triage(self, data: bytes) -> dict[str, Any]:
        """What the process said of the bytes; `unread` names each part that it couldn't say, and why. Never raises for
        what the bytes did to it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULE,
            *self._rules,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            cwd="/",
            # Nothing of our own environment: it names where secrets are.
            env={"PYTHONPATH": str(_ROOT), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
        said = b""
        reason: str | None = None
        try:
            async with asyncio.timeout(self._seconds):
                said = await _exchange(process.stdin, process.stdout, data)
            # A process that dies closes its pipes before it is dead: killed then, it would hide what it died of.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SECONDS):
                    await process.wait()
        except TimeoutError:
            reason = "out of time"
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            code = await process.wait()
        return _merged(said, reason or _ended(code))


async def _exchange(given: StreamWriter | None, told: StreamReader | None, data: bytes) -> bytes:
    if given is None or told is None:
        raise ValueError("the process has no pipes")
    with suppress(ConnectionError):
        given.write(data)
        await given.drain()
        given.close()
    said = b""
    while len(said) < _MOST_BYTES and (chunk := await told.read(64 * 1024)):
        said += chunk
    return said


def _ended(code: int) -> str:
    if code < 0 and -code != signal.SIGKILL:
        return f"the process died of {signal.Signals(-code).name}"
    return "the process ended early"


def _merged(said: bytes, reason: str) -> dict[str, Any]:
    """The parts that came whole; what is missing is named with the reason."""
    result: dict[str, Any] = {}
    unread: dict[str, str] = {}
    for line in said.splitlines(keepends=True):
        if line.endswith(b"\n"):
            part = msgspec.json.decode(line)
            if "member" in part:
                result.setdefault("members", []).append(part["member"])
                continue
            unread |= part.pop("unread", {})
            result |= part
    for name in _PARTS:
        if _MARKS[name] not in result and name not in unread:
            unread[name] = reason
    return {**result, "unread": unread}
