"""`aurora ingest`: log files into the stack, in batches, with what was refused told at its place.

Goes on where an interrupted run ended, and sends a finished file once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from cli import inputs, logfiles, options, session
from cli.failure import Failure
from cli.ingest_report import Report, Skipped, Told, audience, show
from cli.ingest_state import State
from cli.inputs import STDIN, Input, Unreadable
from cli.sending import send
from cli.session import Session
from cli.terminal import print_json
from shared.contracts.logs import UPLOAD_LOGS, IngestQuery, UploadQuery
from shared.errors import AuroraError

_STATE_FILE = "ingest-state.jsonl"


@dataclass(frozen=True, slots=True)
class Job:
    """What one run sends, and what it remembers it in (None: nothing)."""

    paths: Sequence[Path]
    query: IngestQuery
    state: Path | None
    restart: bool


@click.command("ingest")
@click.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, allow_dash=True, path_type=Path),
)
@click.option("--source", default="default", show_default=True, help="Where the events come from.")
@click.option("--format", "format_", metavar="NAME", help="The parser to use instead of recognising the format.")
@click.option(
    "--state",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to remember what was sent.  [default: in the data folder]",
)
@click.option("--restart", is_flag=True, help="Send everything, whatever was sent before.")
@options.data_dir
@options.url
@options.as_json
def command(
    paths: Sequence[Path],
    source: str,
    format_: str | None,
    state: Path | None,
    restart: bool,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Send log files, folders and zip archives: text, NDJSON, JSON and Windows .evtx, also gzipped; - is stdin.

    What was sent is remembered by path, size and time: an interrupted run goes on where it ended, and a file is sent
    again only when it has changed, then from its start.

    Exit code: 0 when every event was accepted, 1 when some weren't.
    """
    target = session.find(data_dir, url)
    job = Job(paths, IngestQuery(source=source, format=format_), state or data_dir / _STATE_FILE, restart)
    report = asyncio.run(_ingest(target, job))
    if as_json:
        print_json(report)
    else:
        show(report)
    sys.exit(0 if report.complete else 1)


async def _ingest(target: session.Target, job: Job) -> Report:
    found = inputs.find(job.paths)
    if any(str(path) == STDIN for path in job.paths):
        found.inputs.append(inputs.STDIN_INPUT)
    report = Report(skipped=[Skipped(name, reason) for name, reason in found.skipped])
    display, told = audience(found.inputs)
    delivery = f"{target.url} {job.query.source} {job.query.format or ''}"
    with State(job.state, delivery, restart=job.restart) as state, display:
        async with session.opened(target) as opened:
            sender = _Sender(opened, job.query, state, report, told)
            for entry in found.inputs:
                await sender.send(entry)
    return report


@dataclass(frozen=True, slots=True)
class _Sender:
    opened: Session
    query: IngestQuery
    state: State
    report: Report
    told: Told

    async def send(self, entry: Input) -> None:
        """Sends a file, or what an earlier run left of it."""
        try:
            if not entry.is_stdin:
                if inputs.is_evtx(entry):
                    await self._upload(entry)
                    return
                if entry.found and inputs.is_binary(entry):
                    self.report.skipped.append(Skipped(entry.name, "not a log: it holds NUL bytes"))
                    return
            await self._send_items(entry)
        except Unreadable as error:
            self.report.skipped.append(Skipped(entry.name, str(error)))
        except (OSError, EOFError, logfiles.TooLongError) as error:
            accepted = self.report.accepted
            raise Failure(f"{entry.name} can't be read ({accepted} events were accepted before): {error}") from error
        except AuroraError:
            click.echo(f"{self.report.accepted} events were accepted before this:", err=True)
            raise

    async def _send_items(self, entry: Input) -> None:
        known = self.state.of(entry)
        if known.done:
            self.report.already += 1
            return
        with ExitStack() as stack:
            for batch in logfiles.batches(entry.open(stack), known.items):
                content_type = logfiles.CONTENT_TYPES[batch.look]
                # The same batch has the same key in the next run, should this one not learn what became of it.
                key = f"{known.run}-{known.items}"
                receipt = await send(self.opened, batch.body(), content_type, self.query, key=key)
                self.report.add(entry.name, batch.places, receipt)
                known = msgspec.structs.replace(known, items=known.items + len(batch.items), receipt=receipt.receipt)
                self.state.keep(known)
                self.told(entry, batch)
        self.state.keep(msgspec.structs.replace(known, done=True))

    async def _upload(self, entry: Input) -> None:
        """A Windows event log is sent whole: its records can't be read one by one."""
        known = self.state.of(entry)
        if known.done:
            self.report.already += 1
            return
        with ExitStack() as stack:
            body = entry.open(stack).read(UPLOAD_LOGS.max_body + 1)
        if len(body) > UPLOAD_LOGS.max_body:
            raise Unreadable(f"an event log of more than {UPLOAD_LOGS.max_body} bytes")
        query = UploadQuery(source=self.query.source, format=self.query.format, filename="events.evtx")
        receipt = await send(self.opened, body, "application/x-evtx", query, endpoint=UPLOAD_LOGS, key=f"{known.run}-0")
        self.report.add(entry.name, None, receipt)
        self.state.keep(msgspec.structs.replace(known, items=receipt.accepted, done=True, receipt=receipt.receipt))
