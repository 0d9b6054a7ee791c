"""`aurora up` whose agents are all but those named in the environment: what a stack is like that runs without them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from cli import options
from cli.progress import Lines
from cli.up import serve
from deploy.local.plan import Options
from deploy.local.servers import External
from deploy.local.services import SERVICES
from shared import config

#: The variable that names them, separated by commas.
WITHOUT = "TEST_WITHOUT_AGENTS"


@click.command
@options.data_dir
@click.option("--port", type=int, default=0)
def command(data_dir: Path, port: int) -> None:
    """Bring it up."""
    without = os.environ[WITHOUT].split(",")
    table = [replace(row, agents=tuple(name for name in row.agents if name not in without)) for row in SERVICES]
    serve(Options(data_dir, port, config.load(External), table=table), Lines())


if __name__ == "__main__":
    command()
