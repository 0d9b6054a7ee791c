"""What `aurora ingest` tells: what became of each file, as it goes and at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.inputs import Input
from cli.logfiles import Batch
from cli.terminal import plain
from shared.contracts.logs import IngestReceipt

#: Told the file and the batch that was just accepted.
Told = Callable[[Input, Batch], None]


class Refused(msgspec.Struct):
    """An item that was refused: its line, or its number in a JSON array or an event log."""

    file: str
    line: int
    message: str


class Skipped(msgspec.Struct):
    """A file that wasn't sent."""

    file: str
    reason: str


class Report(msgspec.Struct):
    """What became of all files. `already` counts those that an earlier run has sent whole."""

    accepted: int = 0
    rejected: int = 0
    already: int = 0
    errors: list[Refused] = []
    skipped: list[Skipped] = []
    receipts: list[str] = []

    def add(self, name: str, places: Sequence[int] | None, receipt: IngestReceipt) -> None:
        """Counts a batch; places of the request become places of the file (None: the same, from 1)."""
        self.accepted += receipt.accepted
        self.rejected += receipt.rejected
        for item in receipt.errors:
            place = item.index + 1 if places is None else places[item.index]
            self.errors.append(Refused(name, place, item.message))
        if receipt.receipt:
            self.receipts.append(receipt.receipt)

    @property
    def complete(self) -> bool:
        """Whether everything was accepted."""
        return not self.rejected and not self.skipped


def audience(inputs: Sequence[Input]) -> tuple[AbstractContextManager[object], Told]:
    """A progress bar on a terminal, plain lines in a pipe."""
    if not Console(stderr=True).is_terminal:
        return nullcontext(), _tell_a_line
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[events]} events"))
    progress = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))
    total = None if any(entry.packed or entry.is_stdin for entry in inputs) else sum(entry.size for entry in inputs)
    task = progress.add_task("", total=total, events=0)
    sent = 0

    def told(entry: Input, batch: Batch) -> None:
        nonlocal sent
        sent += len(batch.items)
        progress.update(task, description=plain(entry.name), advance=batch.size, events=sent)

    return progress, told


def _tell_a_line(entry: Input, batch: Batch) -> None:
    click.echo(f"{plain(entry.name)}: up to {batch.places[-1]}", err=True)


def show(report: Report) -> None:
    """The report for a person."""
    for error in report.errors:
        click.echo(f"{plain(error.file)}:{error.line}: {plain(error.message)}", err=True)
    hidden = report.rejected - len(report.errors)
    if hidden > 0:
        click.echo(f"and {hidden} more that the stack didn't list", err=True)
    for file in report.skipped:
        click.echo(f"{plain(file.file)}: not sent: {plain(file.reason)}", err=True)
    if report.already:
        click.echo(f"{report.already} files were sent before: --restart sends them again", err=True)
    click.echo(f"{report.accepted} events accepted, {report.rejected} rejected")
