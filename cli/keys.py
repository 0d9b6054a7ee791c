"""`aurora keys`: API keys for shippers and programs. A new key goes to standard output and nowhere else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import click

from cli import options, session
from cli.paging import every
from cli.terminal import output, print_json, safe, table
from shared.clock import utc_now
from shared.contracts.common import PageQuery
from shared.contracts.constants import SCOPES
from shared.contracts.keys import (
    CREATE_API_KEY,
    LIST_API_KEYS,
    REVOKE_API_KEY,
    ROTATE_API_KEY,
    ApiKey,
    CreateApiKey,
    CreatedApiKey,
    RotateApiKey,
)
from shared.contracts.wire import format_time


@click.group("keys")
def command() -> None:
    """API keys."""


@command.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    metavar="SCOPE",
    multiple=True,
    required=True,
    help="What the key may do, as siem:write for a shipper; may be given more than once.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="How long the key lives.  [default: until it is revoked]")
@options.data_dir
@options.url
@options.as_json
def create(
    name: str, scopes: tuple[str, ...], days: int | None, data_dir: Path, url: str | None, as_json: bool
) -> None:
    """Make an API key and print it: this once, and never again."""
    expires_at = None if days is None else utc_now() + timedelta(days=days)
    asked = CreateApiKey(name=name, scopes=list(scopes), expires_at=expires_at)
    created = asyncio.run(_create(session.find(data_dir, url), asked))
    if as_json:
        print_json(created)
        return
    click.echo(created.key)
    click.echo(f"id {created.id}; the key is shown this once", err=True)


async def _create(target: session.Target, asked: CreateApiKey) -> CreatedApiKey:
    async with session.opened(target) as opened:
        return await opened.call(CREATE_API_KEY, body=asked)


@command.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def list_(limit: int, data_dir: Path, url: str | None, as_json: bool) -> None:
    """List API keys that aren't revoked, newest first."""
    keys = asyncio.run(_list(session.find(data_dir, url), limit))
    if as_json:
        for key in keys:
            print_json(key)
        return
    rows = table("id", "name", "scopes", "created", "expires", "last used")
    for key in keys:
        times = (key.created_at, key.expires_at, key.last_used_at)
        told = ("never" if moment is None else format_time(moment) for moment in times)
        rows.add_row(key.id, safe(key.name), " ".join(key.scopes), *told)
    output().print(rows)


async def _list(target: session.Target, limit: int) -> list[ApiKey]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_API_KEYS, PageQuery(), limit=limit)


@command.command("rotate")
@click.argument("key_id")
@click.option("--grace", type=click.IntRange(0, 7 * 24 * 3600), default=0, metavar="SECONDS", show_default=True)
@options.data_dir
@options.url
@options.as_json
def rotate(key_id: str, grace: int, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Give an API key of your own a new secret and print it: this once. The one before holds for the grace."""
    created = asyncio.run(_rotate(session.find(data_dir, url), key_id, RotateApiKey(grace_seconds=grace)))
    if as_json:
        print_json(created)
        return
    click.echo(created.key)
    click.echo("the key is shown this once", err=True)


async def _rotate(target: session.Target, key_id: str, asked: RotateApiKey) -> CreatedApiKey:
    async with session.opened(target) as opened:
        return await opened.call(ROTATE_API_KEY, path={"key_id": key_id}, body=asked)


@command.command("revoke")
@click.argument("key_id")
@options.data_dir
@options.url
def revoke(key_id: str, data_dir: Path, url: str | None) -> None:
    """End an API key at once, by its id."""
    asyncio.run(_revoke(session.find(data_dir, url), key_id))
    click.echo("revoked", err=True)


async def _revoke(target: session.Target, key_id: str) -> None:
    async with session.opened(target) as opened:
        await opened.call(REVOKE_API_KEY, path={"key_id": key_id})
