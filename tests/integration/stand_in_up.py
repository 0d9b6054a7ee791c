"""`aurora up` with stand-in services: the real supervisor and servers, but services that only answer their probes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cli import options
from cli.failure import Failure
from cli.progress import Lines, Pipe
from cli.up import detached, serve
from deploy.local.errors import StackError
from deploy.local.plan import Options
from deploy.local.servers import External
from deploy.local.supervised import RestartPolicy
from shared import config

_STAND_IN = (sys.executable, "-S", str(Path(__file__).with_name("stand_in_service.py")))


@click.command
@options.data_dir
@click.option("--port", type=int, default=0)
@click.option("--detach", is_flag=True)
@click.option("--progress-fd", type=int)
def command(data_dir: Path, port: int, detach: bool, progress_fd: int | None) -> None:
    """Bring it up."""
    try:
        if detach:
            detached((sys.executable, __file__), data_dir, port)
            return
        chosen = Options(data_dir, port, config.load(External), program=_STAND_IN, policy=RestartPolicy(limit=3))
        serve(chosen, Lines() if progress_fd is None else Pipe(progress_fd))
    except StackError as error:
        raise Failure(str(error)) from error


if __name__ == "__main__":
    command()
