"""Who is told what happens while a stack starts: a person at a terminal, a pipe, or the `up` that waits for it.

Three ways of telling, one protocol; they know no process but by name.
"""

from __future__ import annotations

import os
from typing import Protocol

import click
import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from deploy.local.supervisor import Ready


class Audience(Protocol):
    """Told of each process's state, of being ready, and of a failure; entered and left around the start."""

    def report(self, process: str, state: str) -> None: ...

    def ready(self, facts: Ready) -> None: ...

    def failed(self, line: str) -> None: ...


class Terminal:
    """A row for each process with its time, on stderr."""

    def __init__(self) -> None:
        columns = (SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}"), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._rows: dict[str, TaskID] = {}
        self._progress.start()

    def report(self, process: str, state: str) -> None:
        """Starts or completes the row."""
        if state == "stopping":
            self._progress.stop()
            click.echo(f"{process} {state}", err=True)
        elif process not in self._rows:
            self._rows[process] = self._progress.add_task(process, total=1)
        elif state == "ready":
            self._progress.update(self._rows[process], completed=1)

    def ready(self, facts: Ready) -> None:
        """Ends the rows and prints the summary."""
        self._progress.stop()
        click.echo(summary(facts))

    def failed(self, line: str) -> None:
        """Ends the rows; the line itself is the command's to print."""
        self._progress.stop()


class Lines:
    """A plain line for each state, on stderr: for a pipe or a log."""

    def report(self, process: str, state: str) -> None:
        """Prints the line."""
        click.echo(f"{process} {state}", err=True)

    def ready(self, facts: Ready) -> None:
        """Prints the summary on stdout."""
        click.echo(summary(facts))

    def failed(self, line: str) -> None:
        """Nothing: the line itself is the command's to print."""


class State(msgspec.Struct, tag="state"):
    """A process came to a state."""

    process: str
    state: str


class Up(msgspec.Struct, tag="ready"):
    """The stack serves."""

    facts: Ready


class Failed(msgspec.Struct, tag="failed"):
    """The stack can't start."""

    line: str


class Pipe:
    """JSON lines into a file descriptor, for the `up --detach` that waits at the other end; closed once ready."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        os.set_inheritable(descriptor, False)

    def report(self, process: str, state: str) -> None:
        """Sends it while somebody listens."""
        self._send(State(process, state))

    def ready(self, facts: Ready) -> None:
        """Sends it and hangs up."""
        self._send(Up(facts))
        self._hang_up()

    def failed(self, line: str) -> None:
        """Sends it and hangs up."""
        self._send(Failed(line))
        self._hang_up()

    def _send(self, message: State | Up | Failed) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, msgspec.json.encode(message) + b"\n")
        except BrokenPipeError:
            self._hang_up()  # whoever waited has gone; the stack goes on

    def _hang_up(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def for_stderr() -> Audience:
    """The audience that suits our stderr."""
    return Terminal() if Console(stderr=True).is_terminal else Lines()


def summary(facts: Ready) -> str:
    """What the operator needs to know once the stack serves; the first password once."""
    lines = [
        f"Aurora is ready at {facts.gateway}",
        f"  user admin, password in {facts.admin_password_file}",
        f"  every address and pid in {facts.runtime_file}",
    ]
    if facts.new_password is not None:
        lines.insert(2, f"  first password of admin, shown once: {facts.new_password}")
    return "\n".join(lines)
