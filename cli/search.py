"""`aurora search`: find log events, and count them by time or by value."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from cli import options, session
from cli.failure import Failure
from cli.terminal import output, plain, print_json, safe, table
from shared.clock import utc_now
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogPage, LogQuery
from shared.contracts.wire import format_time

_PAGE = 200
_BAR = 40
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """`2026-03-01`, `2026-03-01T12:00:00Z`, or `15m`, `2h`, `7d` before now."""
    if value is None:
        return None
    try:
        if value[:-1].isdigit() and value[-1] in _UNITS:
            return utc_now() - timedelta(**{_UNITS[value[-1]]: int(value[:-1])})
        told = datetime.fromisoformat(value)
        return told if told.tzinfo is not None else told.replace(tzinfo=UTC)
    except (ValueError, OverflowError, IndexError) as error:
        raise click.BadParameter("give a time as 2026-03-01T12:00:00Z, or 15m, 2h, 7d before now") from error


@click.command("search")
@click.argument("query", default="")
@click.option("--since", callback=moment, help="From this time on: ISO 8601 (UTC without a zone), or 15m, 2h, 7d ago.")
@click.option("--until", callback=moment, help="Before this time, in the same forms.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--histogram", metavar="INTERVAL", help="Count all matches by 30s, 5m, 1h, 1d or auto.")
@click.option("--top", metavar="FIELD", help="The ten most frequent values of a field among all matches.")
@options.data_dir
@options.url
@options.as_json
def command(
    query: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    histogram: str | None,
    top: str | None,
    data_dir: Path,
    url: str | None,
    as_json: bool,
) -> None:
    """Search log events, newest first: aurora search 'user.name:root and not source.ip:10.0.0.0/8'.

    \b
    curl "two words"          whole words in the message or the command line
    user.name:ro*             a field, * for any text
    source.port >= 1024       numbers, times, addresses
    process.name:(nc or ncat) and, or, not and parentheses
    *half*                    any text anywhere: slow, give --since
    """
    asked = {"q": query, "since": since, "until": until, "histogram": histogram, "top": top}
    try:
        search = msgspec.convert({name: value for name, value in asked.items() if value is not None}, LogQuery)
    except msgspec.ValidationError as error:
        raise Failure(str(error)) from error
    page = asyncio.run(_search(session.find(data_dir, url), search, limit))
    if as_json:
        print_json(page)
        return
    show(page, top)


async def _search(target: session.Target, query: LogQuery, limit: int) -> LogPage:
    """The first page with its counts, and the events of those that follow."""
    async with session.opened(target) as opened:
        whole = await opened.call(SEARCH_LOGS, query=msgspec.structs.replace(query, limit=min(limit, _PAGE)))
        plainly = msgspec.structs.replace(query, histogram=None, top=None)
        while whole.next_cursor is not None and len(whole.items) < limit:
            size = min(limit - len(whole.items), _PAGE)
            following = msgspec.structs.replace(plainly, limit=size, cursor=whole.next_cursor)
            page = await opened.call(SEARCH_LOGS, query=following)
            whole.items += page.items
            whole.next_cursor = page.next_cursor
    return whole


def show(page: LogPage, top: str | None) -> None:
    """Prints counts, events, and to stderr what else is to know. Texts of events are made harmless."""
    screen = output()
    if page.histogram:
        most = max(entry.count for entry in page.histogram)
        counts = table("time", "events", "")
        for entry in page.histogram:
            counts.add_row(format_time(entry.time), str(entry.count), "█" * max(1, entry.count * _BAR // most))
        screen.print(counts)
    if page.top:
        values = table(plain(top), "events")
        for value in page.top:
            values.add_row(safe(value.value), str(value.count))
        screen.print(values)
    events = table("time", "host", "user", "dataset", "message")
    for event in page.items:
        host, user = (safe(_text(event, name)) for name in ("host.name", "user.name"))
        events.add_row(format_time(event.timestamp), host, user, safe(event.dataset), safe(event.message[:500]))
    screen.print(events)
    if page.slow:
        click.echo(f"slow, as no index helps: {plain(', '.join(page.slow))}", err=True)
    if page.next_cursor is not None:
        click.echo(f"there are more than these {len(page.items)}: --limit", err=True)


def _text(event: LogEvent, name: str) -> str:
    value = event.ecs.get(name, "")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
