"""Tools that ask the estate's own past: how often a pair of values was seen, and which values a field had.

One search each: the siem counts, no event is paged through. What is rare or new is for judgement to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta

from services.agents.toolkit.sources import Sources
from services.agents.toolkit.tool import Tool
from shared.contracts.constants import SIEM_READ
from shared.contracts.logs import FieldName, LogPage, LogQuery, TimeCount, ValueCount, log_term
from shared.contracts.wire import format_time

Value = Annotated[str, Meta(min_length=1, max_length=1024)]
#: So many values the siem counts for one field.
_TOP = 10
#: Longer pasts are counted by the day, or they have more intervals than one answer holds.
_BY_THE_HOUR = timedelta(days=60)


class PairArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Two fields of one event and their values (`field_b` and `value_b` may be left out: then one); `since` included,
    `until` not."""

    field_a: FieldName
    value_a: Value
    field_b: FieldName | None = None
    value_b: Value | None = None
    since: datetime
    until: datetime


class Term(msgspec.Struct, frozen=True):
    """A field and the value that it must have."""

    field: FieldName
    value: Value


class ValuesArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Which values `field` had in the events of which all `terms` hold; `since` included, `until` not."""

    field: FieldName
    terms: Annotated[tuple[Term, ...], Meta(min_length=1, max_length=6)]
    since: datetime
    until: datetime


async def _pair_history(arguments: PairArguments, sources: Sources) -> Any:
    terms = [log_term(arguments.field_a, arguments.value_a)]
    if arguments.field_b is not None and arguments.value_b is not None:
        terms.append(log_term(arguments.field_b, arguments.value_b))
    page = await _counted(" ".join(terms), "host.name", arguments.since, arguments.until, sources)
    hosts = _values(page)
    return {**_times(page, arguments.since), "hosts": len(hosts), "at_least": len(hosts) >= _TOP}


async def _value_history(arguments: ValuesArguments, sources: Sources) -> Any:
    q = " ".join(log_term(term.field, term.value) for term in arguments.terms)
    page = await _counted(q, arguments.field, arguments.since, arguments.until, sources)
    values = _values(page)
    return {
        **_times(page, arguments.since),
        "values": {item.value: item.count for item in values},
        "at_least": len(values) >= _TOP,
    }


async def _counted(q: str, top: str, since: datetime, until: datetime, sources: Sources) -> LogPage:
    interval = "1h" if until - since <= _BY_THE_HOUR else "1d"
    query = LogQuery(q=q, since=since, until=until, limit=1, fields=top, histogram=interval, top=top)
    return await sources.page(query)


def _times(page: LogPage, since: datetime) -> dict[str, Any]:
    """How many, on how many days, when first (to the interval that was counted by) and last."""
    counts: Sequence[TimeCount] = () if page.histogram is UNSET else page.histogram
    return {
        "count": sum(item.count for item in counts),
        "days": len({item.time.date() for item in counts}),
        "first_seen": format_time(max(counts[0].time, since)) if counts else None,
        "last_seen": format_time(page.items[0].timestamp) if page.items else None,
    }


def _values(page: LogPage) -> Sequence[ValueCount]:
    return () if page.top is UNSET else page.top


#: {count, days, hosts, first_seen, last_seen, at_least}: count is exact; `at_least` says that `hosts` may be more.
PAIR_HISTORY = Tool(
    "pair_history", "How often two values were seen together on this estate", PairArguments, SIEM_READ, _pair_history
)
#: {count, days, first_seen, last_seen, values: {value: count}, at_least}: the ten most frequent values.
VALUE_HISTORY = Tool(
    "value_history",
    "Which values a field had on this estate, and how often",
    ValuesArguments,
    SIEM_READ,
    _value_history,
)
