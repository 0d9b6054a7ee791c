"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from shared.config import default_data_dir

F = TypeVar("F", bound=Callable[..., Any])


def _absolute(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path:
    return (value or default_data_dir()).expanduser().absolute()


def data_dir(command: F) -> F:
    """`--data-dir`: the stack's data folder, passed on as an absolute Path."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        callback=_absolute,
        help="The data folder.  [default: ~/.local/share/aurora, for root /var/lib/aurora]",
    )(command)


def url(command: F) -> F:
    """`--url`: a gateway elsewhere, instead of the data folder's stack."""
    return click.option(
        "--url",
        metavar="URL",
        help="A stack elsewhere, after `aurora login URL`, or with AURORA_CLI_USERNAME and AURORA_CLI_PASSWORD_FILE.",
    )(command)


def as_json(command: F) -> F:
    """`--json`: answers for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, one value a line.")(command)
