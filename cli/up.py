"""`aurora up`: brings the whole stack up, in this process or detached from the terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from cli import options, progress
from deploy.local.errors import StackError
from deploy.local.plan import Options
from deploy.local.process import die_with_parent
from deploy.local.servers import External
from deploy.local.supervisor import run
from shared import config, log

#: The program that a detached supervisor is; `-P` keeps the working directory off the import path.
UP = (sys.executable, "-P", "-m", "cli.main", "up")
_MESSAGE = msgspec.json.Decoder(progress.State | progress.Up | progress.Failed)


@click.command("up")
@options.data_dir
@click.option(
    "--port", type=click.IntRange(0, 65535), default=5080, show_default=True, help="The gateway's port; 0: any."
)
@click.option("--detach", is_flag=True, help="Return once everything serves, and leave it running.")
@click.option("--progress-fd", type=int, hidden=True, help="Tell a waiting parent instead of the terminal.")
def command(data_dir: Path, port: int, detach: bool, progress_fd: int | None) -> None:
    """Bring the whole stack up and keep it running until Ctrl-C."""
    if detach:
        detached(UP, data_dir, port)
        return
    audience = progress.for_stderr() if progress_fd is None else progress.Pipe(progress_fd)
    serve(Options(data_dir, port, config.load(External)), audience)


def serve(chosen: Options, audience: progress.Audience) -> None:
    """Runs the stack in this process until SIGINT, SIGTERM or SIGHUP. Raises StackError."""
    log.configure("supervisor", "error")  # the terminal is for progress; the journal has the rest
    try:
        asyncio.run(_serve(chosen, audience))
    except StackError as error:
        audience.failed(str(error))
        raise


async def _serve(chosen: Options, audience: progress.Audience) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    await run(chosen, stop, audience.report, audience.ready)


def detached(program: Sequence[str], data_dir: Path, port: int, *, bound: bool = False) -> None:
    """Starts `program`, an `up`, in a session of its own and returns once everything serves. Raises StackError.

    A `bound` one is asked to end when the thread that called this does, however it does.
    """
    reading, writing = os.pipe()
    with subprocess.Popen(
        [*program, f"--data-dir={data_dir}", f"--port={port}", f"--progress-fd={writing}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        pass_fds=(writing,),
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM) if bound else None,  # noqa: PLW1509 - the command line has one thread
    ) as supervisor:
        os.close(writing)
        try:
            _wait_until_ready(reading, data_dir)
        except BaseException:
            supervisor.terminate()
            raise
        # The supervisor is meant to outlive us: nothing to wait for, and nothing to warn about.
        supervisor.returncode = 0


def _wait_until_ready(descriptor: int, data_dir: Path) -> None:
    audience = progress.for_stderr()
    with os.fdopen(descriptor, "rb") as lines:
        for line in lines:
            match _MESSAGE.decode(line):
                case progress.State(process=process, state=state):
                    audience.report(process, state)
                case progress.Up(facts=facts):
                    audience.ready(facts)
                    return
                case progress.Failed(line=reason):
                    audience.failed(reason)
                    raise StackError(reason)
    reason = f"the supervisor ended without a reason: see {data_dir / 'logs' / 'supervisor.log'}"
    audience.failed(reason)
    raise StackError(reason)
