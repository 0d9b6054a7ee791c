"""How a failed command ends: one line on stderr and exit code 1. Knows the shapes of refusals, and no command."""

from __future__ import annotations

from typing import Any

import click

from cli.terminal import plain
from shared.errors import AuroraError

_MAX_PLACES = 5


class Failure(click.ClickException):
    """A failure told as one line on stderr, with exit code 1."""

    def show(self, file: Any = None) -> None:
        click.echo(f"aurora: {plain(self.message)}", err=True, file=file)


def line_of(error: AuroraError) -> str:
    """Code, sentence, and what of the detail a person can act on: field paths, names, places in a rule."""
    places = _places(error.detail)
    more = f" (and {len(places) - _MAX_PLACES} more)" if len(places) > _MAX_PLACES else ""
    told = "; ".join(places[:_MAX_PLACES])
    return f"{error}: {told}{more}" if told else str(error)


def _places(detail: Any) -> list[str]:
    if isinstance(detail, dict):
        return [f"{name} {value}" for name, value in detail.items() if isinstance(value, str | int | float)]
    if not isinstance(detail, list):
        return []
    return [_place(entry) for entry in detail if isinstance(entry, dict)]


def _place(entry: dict[str, Any]) -> str:
    line = entry.get("line")
    where = [str(entry[name]) for name in ("path",) if entry.get(name)] + ([f"line {line}"] if line else [])
    message = str(entry.get("message", ""))
    return f"{', '.join(where)} {message}" if where else message
