"""`aurora rules placeholders`: the named lists of values that rules refer to as %name%.

Owns what these commands say. The group they belong to is cli/rules.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TextIO

import click

from cli import options, session
from cli.paging import every
from cli.terminal import output, plain, print_json, safe, table
from shared.contracts.common import PageQuery
from shared.contracts.placeholders import (
    DELETE_PLACEHOLDER,
    LIST_PLACEHOLDER_VERSIONS,
    LIST_PLACEHOLDERS,
    PUT_PLACEHOLDER,
    Placeholder,
    PlaceholderChange,
    PlaceholderUpdate,
)
from shared.contracts.wire import format_time

_SHOWN_VALUES = 5


@click.group("placeholders")
def command() -> None:
    """Lists of values that rules refer to as %name%."""


@command.command("put")
@click.argument("name")
@click.argument("values", nargs=-1)
@click.option("--from", "file", type=click.File(encoding="utf-8"), help="One value a line; - is standard input.")
@click.option("--description", default="", help="What the list is.")
@click.option("--reason", default="", help="Why it changes.")
@options.data_dir
@options.url
@options.as_json
def put(
    name: str,
    values: tuple[str, ...],
    file: TextIO | None,
    description: str,
    reason: str,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Make VALUES the whole list NAME, and serve the rules that refer to it with them."""
    lines = [] if file is None else [line.rstrip("\r\n") for line in file]
    wanted = PlaceholderUpdate(
        values=[*values, *(line for line in lines if line)], description=description, reason=reason
    )
    if not wanted.values:
        raise click.UsageError("give at least one value, or --from FILE")
    _tell(asyncio.run(_put(session.find(data_dir, url), name, wanted)), as_json)


async def _put(target: session.Target, name: str, wanted: PlaceholderUpdate) -> PlaceholderChange:
    async with session.opened(target) as opened:
        return await opened.call(PUT_PLACEHOLDER, path={"name": name}, body=wanted)


@command.command("delete")
@click.argument("name")
@options.data_dir
@options.url
@options.as_json
def delete(name: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Delete the list NAME; rules that refer to it aren't evaluated until there is one again."""
    _tell(asyncio.run(_delete(session.find(data_dir, url), name)), as_json)


async def _delete(target: session.Target, name: str) -> PlaceholderChange:
    async with session.opened(target) as opened:
        return await opened.call(DELETE_PLACEHOLDER, path={"name": name})


def _tell(change: PlaceholderChange, as_json: bool) -> None:
    if as_json:
        print_json(change)
        return
    stored = change.placeholder
    state = "deleted" if stored.deleted else f"{len(stored.values)} values"
    click.echo(f"%{plain(stored.name)}%: {state}, version {stored.version}; rules compiled again: {len(change.rules)}")


@command.command("list")
@click.argument("name", required=False)
@options.data_dir
@options.url
@options.as_json
def list_(name: str | None, data_dir: Path, url: str | None, as_json: bool) -> None:
    """List all placeholders, or the versions of one."""
    found = asyncio.run(_list(session.find(data_dir, url), name))
    if as_json:
        for item in found:
            print_json(item)
        return
    rows = table("name", "version", "values", "when", "who", "why")
    for item in found:
        who, why = safe(item.created_by), safe(item.reason)
        rows.add_row(safe(item.name), str(item.version), safe(_values(item)), format_time(item.created_at), who, why)
    output().print(rows)


def _values(item: Placeholder) -> str:
    if item.deleted:
        return "(deleted)"
    more = len(item.values) - _SHOWN_VALUES
    return ", ".join(item.values[:_SHOWN_VALUES]) + (f", and {more} more" if more > 0 else "")


async def _list(target: session.Target, name: str | None) -> list[Placeholder]:
    async with session.opened(target) as opened:
        if name is None:
            return await every(opened, LIST_PLACEHOLDERS, PageQuery(), limit=1000)
        answer = await opened.call(LIST_PLACEHOLDER_VERSIONS, path={"name": name}, query=PageQuery())
        return answer.items
