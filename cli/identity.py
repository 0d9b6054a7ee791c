"""`aurora identity`: the keys that the stack signs its tokens with."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options
from deploy.local.layout import DataFolder
from deploy.local.rotation import OVERLAP_SECONDS, rotate


@click.group("identity")
def command() -> None:
    """Signing keys."""


@command.command("rotate")
@click.option(
    "--overlap",
    type=click.IntRange(0, 7 * 24 * 3600),
    default=OVERLAP_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long the keys before still hold; 0, when one was stolen, signs everybody out of their access tokens.",
)
@options.data_dir
def rotate_(overlap: int, data_dir: Path) -> None:
    """Give every service, the operator and access tokens new keys; nothing is restarted."""
    rotated = rotate(DataFolder(data_dir), overlap)
    click.echo(f"new keys for {', '.join(rotated)}", err=True)
