"""One child process: started so that it can't outlive us, its output in a file, ended with grace and then without.

Knows nothing about what it runs. Children are direct ones, spawned from the main thread: the kernel sends them their
death signal when that thread ends, however it ends. Exits are told by a pidfd, so no thread and no polling is needed.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_ROTATE_BYTES = 16 * 1024 * 1024
# Loaded before any fork: the child must not import.
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Command:
    """How to run one process.

    `ready` says whether it serves now. `prepare` runs before each start, the first and every restart. `account` is
    the (uid, gid) to run as, None for our own. `grace` is in seconds.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]
    log: Path
    url: str
    environment: Mapping[str, str]
    cwd: Path = Path("/")
    account: tuple[int, int] | None = None
    prepare: Callable[[], None] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    grace: float = 10.0


class Child:
    """A running process."""

    def __init__(self, command: Command) -> None:
        """Starts it. Raises OSError when that fails. Call in the main thread, with a running event loop."""
        self._command = command
        rotate(command.log)
        account = command.account
        with command.log.open("ab") as output:
            self._process = subprocess.Popen(
                command.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(command.environment),
                cwd=command.cwd,
                umask=0o077,
                # A session of its own: Ctrl-C reaches only the supervisor, which then stops all in order.
                start_new_session=True,
                user=account[0] if account else None,
                group=account[1] if account else None,
                extra_groups=[] if account else None,
                # Runs after the change of user, which would clear the death signal.
                preexec_fn=die_with_parent(command.death_signal),  # noqa: PLW1509
            )
        loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = loop.create_future()
        self._pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return not self._exited.done()

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exited.set_result(self._process.wait())

    async def wait(self) -> int:
        """The exit status once it ended; minus the signal's number when a signal ended it."""
        return await asyncio.shield(self._exited)

    async def stop(self) -> None:
        """Asks it to end, and after the grace kills it. Returns when it is gone."""
        if self.running:
            self._process.send_signal(self._command.stop_signal)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._command.grace):
                    await self.wait()
        if self.running:
            self._process.kill()
        await self.wait()


def die_with_parent(death_signal: signal.Signals) -> Callable[[], None]:
    """What a child runs before its program, so that the kernel ends it with the thread that started it."""
    parent = os.getpid()

    def arm() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        # The parent may have died before the call above: then nobody will ever send the signal.
        if os.getppid() != parent:
            os._exit(1)

    return arm


def rotate(log: Path) -> None:
    """Sets a log that has grown large aside as <name>.1, in place of the one before."""
    if log.exists() and log.stat().st_size > _ROTATE_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def last_line(log: Path) -> str:
    """The last words of a process, cut to 300 characters; empty when it said nothing."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - 4096))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:300] if lines else ""
