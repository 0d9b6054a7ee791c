"""`aurora investigations`: list them, show one, and decide about one: park, resume, cancel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import get_args

import click

from cli import options, session, verdict
from cli.paging import every
from cli.terminal import output, plain, print_json, safe, table
from shared.contracts.common import Verdict
from shared.contracts.constants import Endpoint
from shared.contracts.investigations import (
    CANCEL_INVESTIGATION,
    GET_INVESTIGATION,
    LIST_INVESTIGATIONS,
    PARK_INVESTIGATION,
    RESUME_INVESTIGATION,
    Investigation,
    InvestigationDecision,
    InvestigationQuery,
    InvestigationStatus,
)
from shared.contracts.wire import format_time

_DECISIONS: dict[str, tuple[Endpoint[None, InvestigationDecision, Investigation], str]] = {
    "park": (PARK_INVESTIGATION, "Park an investigation: it keeps what was found and waits."),
    "resume": (RESUME_INVESTIGATION, "Resume a parked investigation where it was."),
    "cancel": (CANCEL_INVESTIGATION, "Cancel an investigation for good."),
}


@click.group("investigations")
def command() -> None:
    """Investigations: what became of alerts."""


@command.command("list")
@click.option("--status", type=click.Choice(get_args(InvestigationStatus)))
@click.option("--verdict", "wanted", type=click.Choice(get_args(Verdict)))
@click.option("--alert", metavar="ALERT", help="Those of this alert.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def list_(
    status: InvestigationStatus | None,
    wanted: Verdict | None,
    alert: str | None,
    limit: int,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """List investigations, newest first."""
    query = InvestigationQuery(status=status, verdict=wanted, alert_id=alert)
    found = asyncio.run(_list(session.find(data_dir, url), query, limit))
    if as_json:
        for investigation in found:
            print_json(investigation)
        return
    rows = table("id", "created", "alerts", "outcome")
    for investigation in found:
        alerts = ", ".join(investigation.alert_ids[:3]) + (" …" if len(investigation.alert_ids) > 3 else "")
        created = format_time(investigation.created_at)
        rows.add_row(investigation.id, created, safe(alerts), safe(verdict.headline(investigation)))
    output().print(rows)


async def _list(target: session.Target, query: InvestigationQuery, limit: int) -> list[Investigation]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_INVESTIGATIONS, query, limit=limit)


@command.command("show")
@click.argument("investigation", metavar="INVESTIGATION")
@options.data_dir
@options.url
@options.as_json
def show(investigation: str, data_dir: Path, url: str | None, as_json: bool) -> None:
    """Show the verdict, what it rests on, and what was not looked at."""
    found = asyncio.run(_get(session.find(data_dir, url), investigation))
    if as_json:
        print_json(found)
    else:
        verdict.show(found)


async def _get(target: session.Target, identifier: str) -> Investigation:
    async with session.opened(target) as opened:
        return await opened.call(GET_INVESTIGATION, path={"investigation_id": identifier})


def _decision(name: str) -> click.Command:
    endpoint, summary = _DECISIONS[name]

    @click.command(name, help=summary)
    @click.argument("investigation", metavar="INVESTIGATION")
    @click.option("--reason", default="", help="Why, for the record.")
    @options.data_dir
    @options.url
    @options.as_json
    def decide(investigation: str, reason: str, data_dir: Path, url: str | None, as_json: bool) -> None:
        changed = asyncio.run(_decide(session.find(data_dir, url), endpoint, investigation, reason))
        if as_json:
            print_json(changed)
        else:
            click.echo(plain(f"{changed.id} {verdict.headline(changed)}"))

    return decide


async def _decide(
    target: session.Target, endpoint: Endpoint[None, InvestigationDecision, Investigation], identifier: str, reason: str
) -> Investigation:
    async with session.opened(target) as opened:
        body = InvestigationDecision(reason=reason)
        return await opened.call(endpoint, path={"investigation_id": identifier}, body=body)


for _name in _DECISIONS:
    command.add_command(_decision(_name))
