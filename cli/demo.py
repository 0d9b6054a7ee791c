"""`aurora demo`: a whole stack in a folder of its own, a recorded intrusion replayed into it, and what came of that.

Everything goes through the public API, as it would from a log shipper and from an analyst. The stack is a process of
its own and is stopped at the end, whatever the end is.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from cli import down, session, up
from cli.failure import Failure
from cli.paging import every
from cli.replay import report
from cli.replay.following import Following, followed
from cli.replay.judgement import Judgement, cases_of, judge
from cli.replay.live import Watcher, watcher
from cli.replay.recording import Recording
from cli.sending import send
from cli.session import Session
from shared.contracts.logs import SEARCH_LOGS, IngestQuery, LogEvent, LogQuery

SAMPLES = Path(__file__).parent.parent / "samples"
#: From the last line to the last verdict, in seconds.
_PATIENCE_SECONDS = 240.0


@click.command("demo")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Use this new folder.  [default: a temporary one]",
)
@click.option("--keep", is_flag=True, help="Leave the stack running and its folder where it is.")
@click.option(
    "--samples",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=SAMPLES,
    help="Another recording, with its manifest.json.",
)
def command(data_dir: Path | None, keep: bool, samples: Path) -> None:
    """Bring a stack up, replay a recorded intrusion, and show what was found.

    Exit code: 0 when every stage of the intrusion was found and nothing else was called an attack.
    """
    recording = Recording(samples)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    with _folder(data_dir, keep) as folder, _stack(folder, keep):
        judgement = asyncio.run(_replay(folder, recording))
    if judgement.problems:
        raise Failure(f"{len(judgement.problems)} of the demo's expectations were not met")


def _end(_number: int, _frame: FrameType | None) -> None:
    # As Ctrl-C: what was started is stopped on the way out.
    raise KeyboardInterrupt


@contextmanager
def _folder(given: Path | None, keep: bool) -> Iterator[Path]:
    if given is not None:
        folder = given.expanduser().absolute()
        if folder.exists() and any(folder.iterdir()):
            raise Failure(f"{folder} is not empty: the demo needs a folder of its own")
        yield folder
        return
    folder = Path(tempfile.mkdtemp(prefix="aurora-demo-"))
    try:
        if os.geteuid() == 0:
            folder.chmod(0o711)  # PostgreSQL doesn't run as root, and must get to its part
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stack(folder: Path, keep: bool) -> Iterator[None]:
    up.detached(up.UP, folder, port=0, bound=not keep)
    try:
        yield
    finally:
        if keep:
            click.echo(f"the stack runs on: aurora down --data-dir {folder}", err=True)
        else:
            down.stop(folder)


async def _replay(folder: Path, recording: Recording) -> Judgement:
    target = session.find(folder, None)
    async with session.opened(target) as opened:
        with watcher(recording.total) as watch:
            async with followed(opened, watch.audience()) as following:
                events = await _send_all(opened, recording, watch)
                await _settle(following)
            stored = [event for file in recording.manifest.files for event in await _stored(opened, file.source)]
        found = following.found
        cases = cases_of(recording, stored, found.alerts.values(), found.investigations)
        judgement = judge(recording, cases)
        if len(stored) != recording.total:
            judgement.problems.append(f"{recording.total} lines were sent and {len(stored)} events are stored")
        report.show(recording, judgement, events)
        return judgement


async def _send_all(opened: Session, recording: Recording, watch: Watcher) -> int:
    accepted = 0
    for batch in recording.batches():
        query = IngestQuery(source=batch.file.source, format=batch.file.format)
        receipt = await send(opened, b"\n".join(batch.lines), batch.file.content_type, query)
        accepted += receipt.accepted
        watch.sent(len(batch.lines))
        if receipt.rejected:
            first = receipt.errors[0]
            raise Failure(f"{receipt.rejected} lines of {batch.file.path} were rejected: {first.message}")
    return accepted


async def _settle(following: Following) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await following.settled()
    except TimeoutError:
        # What is missing is told by the judgement, alert by alert.
        waiting = ", ".join(following.found.open) or "detection"
        click.echo(f"after {_PATIENCE_SECONDS:g} s still waiting for {waiting}", err=True)


async def _stored(opened: Session, source: str) -> list[LogEvent]:
    return await every(opened, SEARCH_LOGS, LogQuery(source=source))
