"""`aurora hunts`: saved questions to the stored events: list, create, change, run, cancel, and what runs found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from cli import options, session
from cli.failure import Failure
from cli.paging import every
from cli.terminal import output, plain, print_json, safe, table
from shared.contracts.common import PageQuery
from shared.contracts.constants import Endpoint
from shared.contracts.hunts import (
    CANCEL_HUNT_RUN,
    CREATE_HUNT,
    GET_HUNT_RUN,
    LIST_HUNT_RUNS,
    LIST_HUNTS,
    RUN_HUNT,
    UPDATE_HUNT,
    Hunt,
    HuntCreate,
    HuntRun,
    HuntRunDetail,
    HuntRunRequest,
    HuntUpdate,
)
from shared.contracts.wire import format_time
from shared.errors import NOT_FOUND, AuroraError

R = TypeVar("R")
_POLL_SECONDS = 0.3
#: A run ends by itself after 15 minutes; it may have to wait for others first.
_PATIENCE_SECONDS = 1800.0
_UNDER_WAY = ("queued", "running")
_SHOWN_RUNS = 50


@click.group("hunts")
def command() -> None:
    """Hunts: saved questions to the stored events."""


@command.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def list_(limit: int, data_dir: Path, url: str | None, as_json: bool) -> None:
    """List hunts, newest first."""
    hunts = asyncio.run(_list(session.find(data_dir, url), limit))
    if as_json:
        for hunt in hunts:
            print_json(hunt)
        return
    rows = table("id", "name", "looks for", "range", "schedule (UTC)")
    for hunt in hunts:
        asked = "a Sigma rule" if hunt.query is None else hunt.query
        rows.add_row(hunt.id, safe(hunt.name), safe(asked), f"{hunt.range_hours} h", safe(hunt.schedule or ""))
    output().print(rows)


async def _list(target: session.Target, limit: int) -> list[Hunt]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_HUNTS, PageQuery(), limit=limit)


@command.command("create")
@click.argument("name")
@click.option("--query", help="In the language of `aurora search`; {{name}} is a parameter.")
@click.option("--sigma", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A Sigma rule.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME[:TYPE][=DEFAULT]")
@click.option("--description", default="")
@click.option("--technique", "techniques", multiple=True, metavar="T1059.004", help="May be given again.")
@click.option("--range-hours", type=click.IntRange(1), default=24, show_default=True)
@click.option("--schedule", metavar="CRON", help="Five fields, UTC: '0 4 * * *' is each day at 4.")
@options.data_dir
@options.url
@options.as_json
def create(
    name: str,
    query: str | None,
    sigma: Path | None,
    parameters: tuple[str, ...],
    description: str,
    techniques: tuple[str, ...],
    range_hours: int,
    schedule: str | None,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Save a hunt: aurora hunts create 'Logins of a host' --query 'host.name:{{host}}' --parameter host."""
    body = {
        "name": name,
        "description": description,
        "query": query,
        "sigma": None if sigma is None else sigma.read_text(encoding="utf-8"),
        "parameters": [_parameter(text) for text in parameters],
        "mitre_techniques": techniques,
        "range_hours": range_hours,
        "schedule": schedule,
    }
    try:
        asked = msgspec.convert(body, HuntCreate)
    except msgspec.ValidationError as error:
        raise Failure(str(error)) from error
    hunt = asyncio.run(_call(session.find(data_dir, url), CREATE_HUNT, body=asked))
    if as_json:
        print_json(hunt)
    else:
        click.echo(hunt.id)


def _parameter(text: str) -> dict[str, str]:
    """`name`, `name:ip`, `name=default` or `name:ip=default`."""
    declared, equals, default = text.partition("=")
    name, _, kind = declared.partition(":")
    return {"name": name, "type": kind or "string", **({"default": default} if equals else {})}


@command.command("run")
@click.argument("hunt", metavar="HUNT")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="May be given again.")
@options.data_dir
@options.url
@options.as_json
def run(hunt: str, parameters: tuple[str, ...], data_dir: Path, url: str | None, as_json: bool) -> None:
    """Run a hunt and show what it found.

    Exit code: 0, or 1 when the run failed or was cancelled.
    """
    values = dict(_value(text) for text in parameters)
    found = asyncio.run(_run(session.find(data_dir, url), hunt, HuntRunRequest(parameters=values)))
    if as_json:
        print_json(found)
    else:
        show_run(found)
    sys.exit(0 if found.status == "completed" else 1)


def _value(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter("give a parameter as NAME=VALUE")
    return name, value


async def _run(target: session.Target, hunt: str, body: HuntRunRequest) -> HuntRunDetail:
    async with session.opened(target) as opened, asyncio.timeout(_PATIENCE_SECONDS):
        run = await opened.call(RUN_HUNT, path={"hunt_id": hunt}, body=body)
        while True:
            seen = await opened.call(GET_HUNT_RUN, path={"run_id": run.id})
            if seen.status not in _UNDER_WAY:
                return seen
            await asyncio.sleep(_POLL_SECONDS)


@command.command("update")
@click.argument("hunt", metavar="HUNT")
@click.option("--name")
@click.option("--description")
@click.option("--query", help="Of a hunt by query only.")
@click.option("--sigma", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Of a hunt by rule only.")
@click.option("--range-hours", type=click.IntRange(1))
@click.option("--schedule", metavar="CRON", help="Five fields, UTC; an empty text ends the schedule.")
@options.data_dir
@options.url
@options.as_json
def update(
    hunt: str,
    name: str | None,
    description: str | None,
    query: str | None,
    sigma: Path | None,
    range_hours: int | None,
    schedule: str | None,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Change what is given of a hunt: aurora hunts update ID --schedule '0 4 * * *'."""
    given = {
        "name": name,
        "description": description,
        "query": query,
        "sigma": None if sigma is None else sigma.read_text(encoding="utf-8"),
        "range_hours": range_hours,
    }
    body = _changes(given, schedule)
    changed = asyncio.run(_call(session.find(data_dir, url), UPDATE_HUNT, path={"hunt_id": hunt}, body=body))
    if as_json:
        print_json(changed)
    else:
        click.echo(changed.id)


def _changes(given: Mapping[str, object], schedule: str | None) -> HuntUpdate:
    """What was given, nothing else; an empty schedule ends it. Raises Failure."""
    sent = {name: value for name, value in given.items() if value is not None}
    if schedule is not None:
        sent["schedule"] = schedule or None
    try:
        return msgspec.convert(sent, HuntUpdate)
    except msgspec.ValidationError as error:
        raise Failure(str(error)) from error


@command.command("cancel")
@click.argument("run", metavar="RUN")
@options.data_dir
@options.url
@options.as_json
def cancel(run: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """End a run that waits or is under way."""
    ended = asyncio.run(_call(session.find(data_dir, url), CANCEL_HUNT_RUN, path={"run_id": run}))
    if as_json:
        print_json(ended)
    else:
        click.echo(ended.status)


async def _call(target: session.Target, endpoint: Endpoint[Any, Any, R], **arguments: Any) -> R:
    async with session.opened(target) as opened:
        return await opened.call(endpoint, **arguments)


@command.command("show")
@click.argument("identifier", metavar="HUNT|RUN")
@options.data_dir
@options.url
@options.as_json
def show(identifier: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Show the runs of a hunt, or what one run found."""
    found = asyncio.run(_find(session.find(data_dir, url), identifier))
    if isinstance(found, HuntRunDetail):
        if as_json:
            print_json(found)
        else:
            show_run(found)
    elif as_json:
        for run in found:
            print_json(run)
    else:
        show_runs(found)


async def _find(target: session.Target, identifier: str) -> HuntRunDetail | list[HuntRun]:
    async with session.opened(target) as opened:
        try:
            return await opened.call(GET_HUNT_RUN, path={"run_id": identifier})
        except AuroraError as error:
            if error.code is not NOT_FOUND:
                raise
        page = await opened.call(LIST_HUNT_RUNS, path={"hunt_id": identifier}, query=PageQuery(limit=_SHOWN_RUNS))
        return page.items


def show_runs(runs: list[HuntRun]) -> None:
    """Prints runs, newest first."""
    rows = table("id", "started by", "at", "status", "hits", "new", "gone", "error")
    for run in runs:
        new, gone = ("", "") if run.diff is None else (str(run.diff.new_count), str(run.diff.gone_count))
        at = format_time(run.created_at)
        rows.add_row(run.id, safe(run.created_by), at, run.status, str(run.hits), new, gone, safe(run.error or ""))
    output().print(rows)


def show_run(run: HuntRunDetail) -> None:
    """Prints what a run found. Texts of events are made harmless."""
    if run.error is not None:
        click.echo(plain(run.error), err=True)
    new = set() if run.diff is None else set(run.diff.new_ids)
    rows = table("", "time", "source", "message", "log id")
    for hit in run.found:
        mark = "new" if hit.log_id in new else ""
        rows.add_row(mark, format_time(hit.timestamp), safe(hit.source), safe(hit.message), safe(hit.log_id))
    output().print(rows)
    if run.slow:
        click.echo(f"slow: {plain(', '.join(run.slow))}", err=True)
    more = "" if run.complete else " or more"
    click.echo(f"{run.status}: {run.hits}{more} hits{_difference(run)}", err=True)


def _difference(run: HuntRun) -> str:
    return "" if run.diff is None else f", {run.diff.new_count} new and {run.diff.gone_count} gone since the last run"
