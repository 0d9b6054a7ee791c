"""`aurora ingest`: log files into the stack, in batches, with what was refused told at its place."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli import logfiles, options, session
from cli.failure import Failure
from cli.logfiles import Batch
from cli.sending import send
from cli.session import Session
from cli.terminal import plain, print_json
from shared.contracts.logs import IngestQuery, IngestReceipt
from shared.errors import AuroraError

#: Told the file and the batch that was just accepted.
Told = Callable[[Path, Batch], None]


class Refused(msgspec.Struct):
    """An item that was refused: its line, or its number in a JSON array."""

    file: str
    line: int
    message: str


class Report(msgspec.Struct):
    """What became of all files."""

    accepted: int = 0
    rejected: int = 0
    errors: list[Refused] = []
    receipts: list[str] = []

    def add(self, file: Path, batch: Batch, receipt: IngestReceipt) -> None:
        """Counts a batch; places of the request become places of the file."""
        self.accepted += receipt.accepted
        self.rejected += receipt.rejected
        self.errors += [Refused(str(file), batch.places[item.index], item.message) for item in receipt.errors]
        if receipt.receipt:
            self.receipts.append(receipt.receipt)


@click.command("ingest")
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--source", default="default", show_default=True, help="Where the events come from.")
@click.option("--format", "format_", metavar="NAME", help="The parser to use instead of recognising the format.")
@options.data_dir
@options.url
@options.as_json
def command(
    paths: Sequence[Path], source: str, format_: str | None, data_dir: Path, url: str | None, as_json: bool
) -> None:
    """Send log files: text lines, NDJSON or JSON, also gzipped; - is stdin.

    Exit code: 0 when every event was accepted, 1 when some weren't.
    """
    target = session.find(data_dir, url)
    report = asyncio.run(_ingest(target, paths, IngestQuery(source=source, format=format_)))
    if as_json:
        print_json(report)
    else:
        _show(report)
    sys.exit(1 if report.rejected else 0)


async def _ingest(target: session.Target, paths: Sequence[Path], query: IngestQuery) -> Report:
    report = Report()
    display, told = _audience(paths)
    with display:
        async with session.opened(target) as opened:
            for path in paths:
                await _send_file(opened, path, query, report, told)
    return report


async def _send_file(opened: Session, path: Path, query: IngestQuery, report: Report, told: Told) -> None:
    try:
        for batch in logfiles.batches(path):
            content_type = logfiles.CONTENT_TYPES[batch.look]
            report.add(path, batch, await send(opened, batch.body(), content_type, query))
            told(path, batch)
    except (OSError, EOFError) as error:
        raise Failure(f"{path} can't be read ({report.accepted} events were accepted before): {error}") from error
    except AuroraError:
        click.echo(f"{report.accepted} events were accepted before this:", err=True)
        raise


def _audience(paths: Sequence[Path]) -> tuple[AbstractContextManager[object], Told]:
    if not Console(stderr=True).is_terminal:
        return nullcontext(), _tell_a_line
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[events]} events"))
    progress = Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True))
    tasks = {
        path: progress.add_task(plain(path.name), total=logfiles.size_of(path), events=0)
        for path in dict.fromkeys(paths)
    }
    sent = dict.fromkeys(tasks, 0)

    def told(path: Path, batch: Batch) -> None:
        sent[path] += len(batch.items)
        progress.update(tasks[path], advance=batch.size, events=sent[path])

    return progress, told


def _tell_a_line(path: Path, batch: Batch) -> None:
    click.echo(f"{plain(path)}: up to {batch.places[-1]}", err=True)


def _show(report: Report) -> None:
    for error in report.errors:
        click.echo(f"{plain(error.file)}:{error.line}: {plain(error.message)}", err=True)
    hidden = report.rejected - len(report.errors)
    if hidden > 0:
        click.echo(f"and {hidden} more that the stack didn't list", err=True)
    click.echo(f"{report.accepted} events accepted, {report.rejected} rejected")
