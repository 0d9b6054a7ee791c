"""A tree to the WHERE of a search over table `logs`: SQL made of constants, every value bound. Runs nothing.

It also names the slow forms: those that read a long column of every row in the time range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

import orjson

from services.siem.logs.domain import within_range
from services.siem.logs.query.nodes import And, Node, Not, Or, Range, Term
from services.siem.logs.rows import HOISTED

#: Fields that aren't in `ecs`; `event.dataset` is, but has a column too.
COLUMNS: Mapping[str, str] = {
    **HOISTED,
    "message": "message",
    "raw": "raw",
    "event.original": "raw",
    "dataset": "dataset",
    "event.dataset": "dataset",
    "source": "source",
    "receipt": "receipt",
}
_IDS = ("id", "_id")
_TIMES = {"@timestamp": "timestamp", "timestamp": "timestamp"}
_ARRIVALS = {"event.ingested": "ingested_at", "ingested_at": "ingested_at"}
#: Columns with a text index (clickhouse/0004_text_index.sql).
_INDEXED = ("message", "process_command_line")
_LONG = (*_INDEXED, "raw")
#: What the index takes for a word: ASCII letters and digits, and everything beyond ASCII.
_WORD = re.compile(r"[A-Za-z0-9\u0080-\U0010ffff]+")
_TYPES: dict[type, str] = {str: "String", float: "Float64", int: "Int64", datetime: "DateTime64(3, 'UTC')"}
_Comparison = Callable[[str], str]


@dataclass(slots=True)
class Binder:
    """Values on their way into a query."""

    values: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: str | float | datetime) -> str:
        """The place that stands for the value in SQL."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{_TYPES[type(value)]}}}"


def condition(node: Node, binder: Binder) -> str:
    """The SQL that is 1 for events that match and 0 for others, never NULL."""
    match node:
        case Term():
            return _term(node, binder)
        case Range():
            return _range(node, binder)
        case Not(part):
            return f"NOT ({condition(part, binder)})"
        case And(parts):
            return " AND ".join(f"({condition(part, binder)})" for part in parts) or "1"
        case Or(parts):
            return " OR ".join(f"({condition(part, binder)})" for part in parts)


def slow_forms(node: Node) -> list[str]:
    """The terms that read a long column of every event in the time range, as they may be written."""
    match node:
        case Term():
            return [_written(node)] if _is_slow(node) else []
        case Range():
            return []
        case Not(part):
            return slow_forms(part)
        case And(parts) | Or(parts):
            return list(dict.fromkeys(form for part in parts for form in slow_forms(part)))


def value_of(name: str, binder: Binder) -> str:
    """The SQL of a field's value as text: a list as its JSON, empty where the event hasn't the field."""
    if name in _IDS:
        return "id"
    column = COLUMNS.get(name)
    return column if column is not None else f"JSONExtract(ecs, {binder.bind(name)}, 'String')"


def _is_slow(term: Term) -> bool:
    if term.field is None:
        return not term.exact or _WORD.search(term.pieces[0]) is None
    column = COLUMNS.get(term.field)
    if column is None:
        return not term.exact and term.pieces != ("", "") and term.field not in _IDS
    return column == "raw" or (column in _LONG and not term.exact)


def _written(term: Term) -> str:
    value = "*".join(piece.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*") for piece in term.pieces)
    quoted = f'"{value}"' if re.search(r'[\s()"\\:]', value) or not value else value
    return quoted if term.field is None else f"{term.field}:{quoted}"


def _term(term: Term, binder: Binder) -> str:
    if term.field is None:
        return _word(term.pieces[0], binder) if term.exact else _anywhere(term.pieces, _LONG, binder)
    if term.field in _IDS and term.exact:
        return f"id = {binder.bind(term.pieces[0])}"
    if COLUMNS.get(term.field) == "raw" and not term.exact:
        return _anywhere(term.pieces, ("raw",), binder, whole=True)
    return _valued(term.field, _comparison(term, binder), binder)


def _valued(name: str, matches: _Comparison, binder: Binder) -> str:
    """Whether the field's value, or one in its list, matches."""
    value = value_of(name, binder)
    listed = f"arrayExists(x -> {matches('x')}, JSONExtract({value}, 'Array(String)'))"
    return f"{matches(value)} OR (startsWith({value}, '[') AND {listed})"


def _comparison(term: Term, binder: Binder) -> _Comparison:
    if term.pieces == ("", ""):
        return lambda value: f"notEmpty({value})"
    if not term.exact:
        pattern = binder.bind(_like(term.pieces))
        return lambda value: f"{value} ILIKE {pattern}"
    text = binder.bind(term.pieces[0])
    network = _network(term)
    if network is None:
        return lambda value: f"lowerUTF8({value}) = lowerUTF8({text})"
    low, high = (binder.bind(_mapped(network[place])) for place in (0, -1))
    return lambda value: (
        f"({value} = {text} OR ifNull(toIPv6OrNull({value}) BETWEEN toIPv6({low}) AND toIPv6({high}), 0))"
    )


def _network(term: Term) -> IPv4Network | IPv6Network | None:
    """The network that an address field is asked for."""
    if not (term.field or "").endswith("ip") or "/" not in term.pieces[0]:
        return None
    try:
        return ip_network(term.pieces[0], strict=False)
    except ValueError:
        return None


def _mapped(address: IPv4Address | IPv6Address) -> str:
    return f"::ffff:{address}" if isinstance(address, IPv4Address) else str(address)


def _range(node: Range, binder: Binder) -> str:
    if isinstance(node.bound, datetime):
        bound = binder.bind(within_range(node.bound))
        column = _TIMES.get(node.field) or _ARRIVALS.get(node.field)
        if column is not None:
            return f"{column} {node.operator} {bound}"
        read = "parseDateTime64BestEffortOrNull({value}, 3, 'UTC')"
    elif isinstance(node.bound, float):
        bound, read = binder.bind(node.bound), "toFloat64OrNull({value})"
    else:
        bound, read = f"toIPv6({binder.bind(_mapped(node.bound))})", "toIPv6OrNull({value})"
    return _valued(node.field, lambda value: f"ifNull({read.format(value=value)} {node.operator} {bound}, 0)", binder)


def _word(text: str, binder: Binder) -> str:
    """A word or a phrase in message or command line: its words by the index, and then, as only few events are left,
    the text itself where it is more than one word."""
    if not (words := _WORD.findall(text)):
        return _anywhere((text,), _INDEXED, binder)
    needle = binder.bind(text)
    found = " OR ".join(f"hasAllTokens({column}, {needle})" for column in _INDEXED)
    if words == [text]:
        return found
    # A message is kept on one line, with single spaces.
    texts = dict.fromkeys((text, " ".join(text.split())))
    patterns = [binder.bind(_like(("", one, ""))) for one in texts]
    same = " OR ".join(f"{column} ILIKE {pattern}" for column in _INDEXED for pattern in patterns)
    return f"({found}) AND ({same})"


def _anywhere(pieces: Sequence[str], columns: Sequence[str], binder: Binder, *, whole: bool = False) -> str:
    """A text inside the columns; with `whole` the wildcards say where it may stand."""
    around = tuple(pieces) if whole else ("", *pieces, "")
    pattern = binder.bind(_like(around))
    conditions = [f"{column} ILIKE {pattern}" for column in columns]
    encoded = tuple(orjson.dumps(piece).decode()[1:-1] for piece in around)
    if "raw" in columns and encoded != around:
        # A raw JSON event has quotes and backslashes in their escaped form.
        conditions.append(f"raw ILIKE {binder.bind(_like(encoded))}")
    return " OR ".join(conditions)


def _like(pieces: Sequence[str]) -> str:
    escaped = (piece.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for piece in pieces)
    return "%".join(escaped)
