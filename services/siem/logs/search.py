"""The use-case of search: a page of events, and what else about all matches was asked for.

Refuses to know the language (query/) and the SQL (store.py).
"""

from __future__ import annotations

from services.siem.logs import domain
from services.siem.logs.query import parse, slow_forms
from services.siem.logs.store import LogStore, Search
from shared.clickhouse import LimitExceededError
from shared.contracts.logs import LogPage, LogQuery, TimeCount
from shared.errors import field_error

_MOST_INTERVALS = 2000


async def search_page(store: LogStore, query: LogQuery) -> LogPage:
    """The events, newest first. Raises AURORA-4220, also for a search that takes too long."""
    search = Search(
        query=parse(query.q),
        source=query.source,
        receipt=query.receipt,
        since=None if query.since is None else domain.within_range(query.since),
        until=None if query.until is None else domain.within_range(query.until),
        after=None if query.cursor is None else domain.decode_cursor(query.cursor),
    )
    slow = slow_forms(search.query)
    try:
        page = await _answer(store, query, search)
    except LimitExceededError as error:
        advice = "narrow it with since, until or another term"
        named = f"; slow are {', '.join(slow)}" if slow else ""
        raise field_error("query.q", f"the search ran into its {error.limit} limit: {advice}{named}") from error
    if slow:
        page.slow = slow
    return page


async def _answer(store: LogStore, query: LogQuery, search: Search) -> LogPage:
    fields = None if query.fields is None else frozenset(query.fields.split(","))
    found = await store.page(search, query.limit + 1)
    events = await store.events(found[: query.limit], fields)
    more = len(found) > query.limit
    page = LogPage(items=events, next_cursor=domain.encode_cursor(found[query.limit - 1]) if more else None)
    everything = Search(search.query, search.source, search.receipt, search.since, search.until, None)
    if query.histogram is not None:
        page.histogram = await _histogram(store, everything, query.histogram)
    if query.top is not None:
        page.top = await store.top(everything, query.top)
    return page


async def _histogram(store: LogStore, search: Search, interval: str) -> list[TimeCount]:
    if interval == "auto":
        span = await store.span(search)
        if span is None:
            return []
        seconds = domain.fitting_interval(*span)
    else:
        seconds = domain.interval_seconds(interval)
    counts = await store.histogram(search, seconds, _MOST_INTERVALS + 1)
    if len(counts) > _MOST_INTERVALS:
        raise field_error("query.histogram", f"more than {_MOST_INTERVALS} intervals: take a longer one, or auto")
    return counts
