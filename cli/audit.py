"""`aurora audit`: who did what, when, from where; the newest first. For administrators."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import click

from cli import options, session
from cli.paging import every
from cli.terminal import output, plain, print_json, safe, table
from shared.contracts.audit import LIST_AUDIT, AuditOutcome, AuditQuery, AuditRecord
from shared.contracts.wire import encode, format_time

_OUTCOMES: tuple[AuditOutcome, ...] = ("success", "failure", "denied")
_TIMES = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M:%S.%f%z"])


@click.command("audit")
@click.option("--actor", help="A user's name or id, or an API key's.")
@click.option("--action", help="One action, as session.failed, or all that begin so, as session.")
@click.option("--outcome", type=click.Choice(_OUTCOMES))
@click.option("--target", help="What it was done to.")
@click.option("--address", help="From where.")
@click.option("--since", type=_TIMES, metavar="TIME", help="As 2026-06-14T12:00:00Z.")
@click.option("--until", type=_TIMES, metavar="TIME", help="Before then.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@options.data_dir
@options.url
@options.as_json
def command(
    actor: str | None,
    action: str | None,
    outcome: AuditOutcome | None,
    target: str | None,
    address: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Show the audit log, newest first."""
    query = AuditQuery(
        actor=actor, action=action, outcome=outcome, target=target, address=address, since=since, until=until
    )
    records = asyncio.run(_list(session.find(data_dir, url), query, limit))
    if as_json:
        for record in records:
            print_json(record)
        return
    rows = table("at", "action", "outcome", "actor", "target", "from", "detail")
    for record in records:
        rows.add_row(*(safe(text) for text in _row(record)))
    output().print(rows)


async def _list(target: session.Target, query: AuditQuery, limit: int) -> list[AuditRecord]:
    async with session.opened(target) as opened:
        return await every(opened, LIST_AUDIT, query, limit=limit)


def _row(record: AuditRecord) -> tuple[str, ...]:
    who = record.actor_name or record.actor or "-"
    details = " ".join(f"{name}={_short(value)}" for name, value in record.detail.items())
    return (
        format_time(record.at),
        record.action,
        record.outcome,
        who,
        record.target or "-",
        record.address or "-",
        details,
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else encode(value).decode()
    return plain(text[:200])
