"""`aurora settings`: what holds while everything runs; change it with a reason, and see who changed what."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from cli import options, session
from cli.paging import every
from cli.terminal import output, print_json, safe, table
from shared.contracts.common import PageQuery
from shared.contracts.settings import (
    GET_RUNTIME_SETTINGS,
    LIST_RUNTIME_CHANGES,
    UPDATE_RUNTIME_SETTINGS,
    RuntimeChange,
    RuntimeSettings,
    RuntimeState,
    RuntimeUpdate,
)
from shared.contracts.wire import format_time

_NAMES: tuple[str, ...] = RuntimeSettings.__struct_fields__
_TYPES = {field.name: field.type for field in msgspec.structs.fields(RuntimeSettings)}
#: Gives a setting back to the environment.
_DEFAULT = "default"


@click.group("settings")
def command() -> None:
    """Settings that change while everything runs."""


@command.command("get")
@click.argument("name", type=click.Choice(_NAMES), metavar="[NAME]", required=False)
@options.data_dir
@options.url
@options.as_json
def get(name: str | None, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Show all settings, or the value of one."""
    state = asyncio.run(_get(session.find(data_dir, url)))
    values = msgspec.structs.asdict(state.settings)
    if name is not None:
        click.echo(_told(values[name]))
    elif as_json:
        print_json(state)
    else:
        rows = table("setting", "value", "set by")
        for setting, value in values.items():
            rows.add_row(setting, _told(value), "administrators" if setting in state.overridden else "environment")
        output().print(rows)


async def _get(target: session.Target) -> RuntimeState:
    async with session.opened(target) as opened:
        return await opened.call(GET_RUNTIME_SETTINGS)


@command.command("set")
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
@click.option("--reason", required=True, help="Why; it is kept in the history.")
@click.option("--if-revision", type=click.IntRange(0), help="Only if nobody changed anything since this revision.")
@options.data_dir
@options.url
@options.as_json
def set_(
    changes: tuple[str, ...], reason: str, if_revision: int | None, data_dir: Path, url: str | None, as_json: bool
) -> None:
    """Change settings, on every process at once. The value `default` gives one back to the environment."""
    asked = RuntimeUpdate(reason=reason)
    for change in changes:
        name, value = _parsed(change)
        setattr(asked, name, value)
    headers = {} if if_revision is None else {"If-Match": f'"{if_revision}"'}
    state = asyncio.run(_set(session.find(data_dir, url), asked, headers))
    if as_json:
        print_json(state)
        return
    click.echo(f"revision {state.revision}", err=True)


def _parsed(change: str) -> tuple[str, Any]:
    name, _, text = change.partition("=")
    if name not in _NAMES or not text:
        raise click.UsageError(f"expected NAME=VALUE with a name of: {', '.join(_NAMES)}")
    if text == _DEFAULT:
        return name, None
    try:
        return name, msgspec.convert(text, _TYPES[name], strict=False)
    except msgspec.ValidationError as error:
        choices = [str(choice) for choice in get_args(_TYPES[name]) if isinstance(choice, str)]
        told = f"one of {', '.join(choices)}" if choices else str(error)
        raise click.UsageError(f"{name}: {told}") from error


async def _set(target: session.Target, asked: RuntimeUpdate, headers: dict[str, str]) -> RuntimeState:
    async with session.opened(target) as opened:
        return await opened.call(UPDATE_RUNTIME_SETTINGS, body=asked, headers=headers)


@command.command("history")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@options.data_dir
@options.url
@options.as_json
def history(limit: int, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Show who changed what and why, newest first."""
    changes = asyncio.run(_history(session.find(data_dir, url), limit))
    if as_json:
        for change in changes:
            print_json(change)
        return
    rows = table("revision", "at", "by", "change", "reason")
    for change in changes:
        told = ", ".join(f"{name}: {_told(v.before)} -> {_told(v.after)}" for name, v in change.changed.items())
        rows.add_row(
            str(change.revision),
            format_time(change.changed_at),
            safe(change.changed_by_name),
            safe(told),
            safe(change.reason),
        )
    output().print(rows)


def _told(value: object) -> str:
    return _DEFAULT if value is None else str(value).lower()


async def _history(target: session.Target, limit: int) -> list[RuntimeChange]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_RUNTIME_CHANGES, PageQuery(), limit=limit)
