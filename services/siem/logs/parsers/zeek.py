"""Zeek's logs, as JSON and as tab-separated lines. Source: the record types of Zeek's base scripts.

A tab-separated line has its meaning from the header above it. Where the request held the header, body.py puts its
`#path` and `#fields` lines before each line, and the event keeps them as part of its raw text, since it couldn't be
read again without. A line without a header is read in Zeek's default order for conn, dns and http.
"""

import re
from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.documents import event_of, fill, first_time, sentence
from services.siem.logs.parsers.interface import Context, Document
from services.siem.logs.parsers.network_views import dns_view, proxy_view
from services.siem.logs.parsers.values import flatten, integer
from services.siem.logs.parsers.zeek_tables import BOOLEANS, COLUMNS, DEFAULTS, KINDS, LISTS, MARKS, NUMBERS

#: A line under its header, the line breaks between them as spaces (no name of a field has one).
_WITH_HEADER = re.compile(r"#path\t([\w.-]{1,64})[ \n]#fields\t([^ \n]{1,4096})[ \n](.*)", re.DOTALL)
_FIRST = re.compile(r"\d{9,11}\.\d{1,9}\t")
_UID = re.compile(r"[CF][A-Za-z0-9]{8,25}")
_UNSET = ("-", "(empty)", "")


def takes(document: Document) -> bool:
    """Whether an object is a Zeek record: an epoch `ts` beside a connection's uid or a file's id."""
    if not isinstance(document.get("ts"), int | float | str) or "event.dataset" in document:
        return False
    for name in ("uid", "fuid", "id"):
        value = document.get(name)
        if isinstance(value, str) and _UID.fullmatch(value):
            return True
    return isinstance(document.get("_path"), str)


def parse(document: Document, raw: str, context: Context) -> Event:
    """One record in JSON. Its log is named by `_path`, as Zeek's own writers do, else told from its fields."""
    flat = flatten(document)
    return _event(str(flat.get("_path") or _path_of(flat))[:64], flat, raw, context)


def parse_line(line: str, context: Context) -> Event | None:
    """One tab-separated record, under its header or without one; None when it isn't one."""
    headed = _WITH_HEADER.match(line) if line.startswith("#path\t") else None
    if headed is not None:
        path, names, values = headed[1], headed[2].split("\t"), headed[3].split("\t")
        return _event(path, _record(names, values), line, context) if len(names) == len(values) else None
    if _FIRST.match(line) is None:
        return None
    values = line.split("\t")
    for path, names in DEFAULTS:
        marked = all(re.fullmatch(shape, values[place]) for place, shape in MARKS[path] if place < len(values))
        if len(values) == len(names) and marked:
            return _event(path, _record(names, values), line, context)
    return None


def _record(names: list[str] | tuple[str, ...], values: list[str]) -> dict[str, Any]:
    """The values that are set, as what they are: numbers, truth values, lists parted by commas."""
    record: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        if value in _UNSET:
            continue
        if name in BOOLEANS and value in ("T", "F"):
            record[name] = value == "T"
        elif name in NUMBERS and (number := integer(value)) is not None:
            record[name] = number
        elif name in LISTS:
            record[name] = value.split(",")
        else:
            record[name] = value
    return record


def _path_of(flat: dict[str, Any]) -> str:
    """Which log a JSON record without `_path` is of, by a field that only that log has."""
    for path, (_, marks, _, _) in KINDS.items():
        if marks and all(name in flat for name in marks):
            return path
    return "unknown"


def _event(path: str, flat: dict[str, Any], raw: str, context: Context) -> Event:
    shown, _, category, types = KINDS.get(path, ((), (), ("network",), ("info",)))
    ecs: dict[str, Any] = {
        "event.dataset": f"zeek.{path}",
        "event.module": "zeek",
        "event.category": list(category),
        "event.type": list(types),
    }
    fill(ecs, flat, COLUMNS.get(path, ()))
    fill(ecs, flat, COLUMNS[""])
    views = [View("zeek", None, (path,), _sigma(path, flat))]
    if path == "dns":
        views += dns_view("zeek", ecs, flat)
    elif path == "http":
        views += proxy_view("zeek", ecs, flat)
    ends = "" if "id.orig_h" not in flat else (
        f"{flat['id.orig_h']}:{flat.get('id.orig_p', '-')} -> {flat.get('id.resp_h', '-')}:{flat.get('id.resp_p', '-')}"
    )  # fmt: skip
    message = sentence(f"{path}:", *(flat.get(name) for name in shown), ends)
    return event_of(first_time(flat, ("ts",), context), message, ("zeek", flat), ecs, views, raw)


def _sigma(path: str, flat: dict[str, Any]) -> dict[str, Any]:
    """The own names, and the two that some of Sigma's rules for Zeek's HTTP log take from the proxy category."""
    if path != "http":
        return flat
    short = {"c-uri": flat.get("uri"), "c-useragent": flat.get("user_agent")}
    return flat | {name: value for name, value in short.items() if value is not None}
