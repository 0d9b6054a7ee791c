"""What commands write: text made harmless, JSON lines, and a console that suits a terminal or a pipe.

Everything that comes from logs, rules or events is somebody else's text: it never moves a cursor, changes a colour or
reorders what is read. This file knows no command.
"""

from __future__ import annotations

import re
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.contracts.wire import encode

#: Control characters, joiners and everything that changes the direction of writing.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
#: A table in a pipe is for grep and for logs: it isn't folded.
_PIPE_WIDTH = 200


def plain(text: object) -> str:
    """The text on one line, with each character that a terminal would act on written as `\\uXXXX`."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", str(text))


def safe(text: object, style: str = "") -> Text:
    """As `plain`, for rich: its markup is not read."""
    return Text(plain(text), style=style)


def print_json(value: Any) -> None:
    """One contract or plain value as one line of JSON; `plain` keeps it the same JSON."""
    click.echo(plain(encode(value).decode()))


def output() -> Console:
    """stdout, as wide as the terminal, or wide enough in a pipe."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table in the house's style. Give its rows `safe` texts."""
    return Table(*columns, title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
