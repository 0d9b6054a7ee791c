"""`aurora down`: ends the stack of a data folder, in order if it listens and by force if it doesn't."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import click

from cli import options
from deploy.local.errors import StackError
from deploy.local.layout import DataFolder, holder_of

#: Services and then servers have 10 s each to end; seconds.
_DRAIN_SECONDS = 30.0
_KILL_SECONDS = 5.0
_POLL_SECONDS = 0.05


@click.command("down")
@options.data_dir
def command(data_dir: Path) -> None:
    """Stop the stack; what is in flight is finished first."""
    click.echo(f"{'stopped' if stop(data_dir) else 'not running'}: {data_dir}")


def stop(data_dir: Path) -> bool:
    """Ends the stack of a data folder; whether one ran. Raises StackError when it can't be ended."""
    folder = DataFolder(data_dir)
    pid = holder_of(folder)
    if pid is None:
        return False
    if not _ends(folder, pid, signal.SIGTERM, _DRAIN_SECONDS):
        # Its processes die with it: the kernel sees to that.
        if not _ends(folder, pid, signal.SIGKILL, _KILL_SECONDS):
            raise StackError(f"the supervisor, pid {pid}, can't be stopped")
        folder.runtime_file.unlink(missing_ok=True)
    return True


def _ends(folder: DataFolder, pid: int, number: signal.Signals, patience: float) -> bool:
    try:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    except PermissionError as error:
        raise StackError(f"the stack is another account's: pid {pid} can't be signalled") from error
    deadline = time.monotonic() + patience
    while holder_of(folder) == pid:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
