"""`aurora alerts`: what was raised."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from cli import options, session
from cli.paging import every
from cli.terminal import output, print_json, safe, table
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery, AlertStatus
from shared.contracts.common import Severity
from shared.contracts.wire import format_time

_COLOURS = {"critical": "bold red", "high": "red", "medium": "yellow", "low": "blue", "info": "dim"}


@click.group("alerts")
def command() -> None:
    """Alerts."""


@command.command("list")
@click.option("--severity", type=click.Choice(["info", "low", "medium", "high", "critical"]))
@click.option(
    "--status", type=click.Choice(["new", "triaged", "investigating", "escalated", "resolved", "false_positive"])
)
@click.option("--host")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def list_(
    severity: Severity | None,
    status: AlertStatus | None,
    host: str | None,
    limit: int,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """List alerts, newest first."""
    query = AlertQuery(severity=severity, status=status, host=host)
    alerts = asyncio.run(_list(session.find(data_dir, url), query, limit))
    if as_json:
        for alert in alerts:
            print_json(alert)
        return
    rows = table("id", "severity", "status", "seen", "last seen", "host", "title")
    for alert in alerts:
        rows.add_row(
            alert.id,
            safe(alert.severity, _COLOURS[alert.severity]),
            alert.status,
            str(alert.count),
            format_time(alert.last_seen),
            safe(alert.entities.get("host", "")),
            safe(alert.title),
        )
    output().print(rows)


async def _list(target: session.Target, query: AlertQuery, limit: int) -> list[Alert]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_ALERTS, query, limit=limit)
