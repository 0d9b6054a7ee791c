"""The wire forms of Splunk's HTTP Event Collector: events in a row of JSON objects, raw lines, questions for acks.

Owns HEC's codes and how its fields become a record. Storing is streams.py's business, acks are service.py's; the routes
are routes.py's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from services.siem.bounds import check_json, is_too_deep
from services.siem.doors.streams import Delivery, moment, record_of, source_name
from shared.contracts.doors_splunk import HecAcks, HecAnswer, HecQuery
from shared.errors import MALFORMED_REQUEST, AuroraError

SUCCESS = HecAnswer("Success", 0)
NO_DATA = HecAnswer("No data", 5)
NO_CHANNEL = HecAnswer("Data channel is missing", 10)
HEALTHY = HecAnswer("HEC is healthy", 17)
CHANNEL_HEADER = "X-Splunk-Request-Channel"
_DEFAULT_SOURCE = "splunk-hec"
_NANOSECONDS = 10**9
#: Of seconds until the year 9999, less one.
_DIGITS = 11
_SPACE = re.compile(r"\s*")


class RefusedError(Exception):
    """A body that is refused as a whole, in HEC's words: nothing of it is stored."""

    def __init__(self, text: str, code: int, event: int | None = None) -> None:
        self.answer = HecAnswer(text, code, event=event)
        super().__init__(text)


def read_events(body: bytes, query: HecQuery) -> Delivery:
    """The events of a body: JSON objects, one after the other or in an array. Raises RefusedError."""
    delivery = Delivery()
    for number, envelope in enumerate(_objects(body)):
        if "event" not in envelope:
            raise RefusedError("Event field is required", 12, number)
        event, fields = envelope["event"], envelope.get("fields")
        if event is None or event in ("", {}):
            raise RefusedError("Event field cannot be blank", 13, number)
        if is_too_deep(envelope):
            raise RefusedError("Invalid data format", 6, number)
        if fields is not None and not isinstance(fields, dict):
            raise RefusedError("Error in handling indexed fields", 15, number)
        about = {name: _given(envelope, query, name) for name in ("host", "source", "sourcetype", "index")}
        when = _time(envelope.get("time", query.time))
        delivery.add(_source(about), record_of(event, when, _fields(about, fields or {})))
    if not delivery.records:
        raise RefusedError(NO_DATA.text, NO_DATA.code)
    return delivery


def read_raw(body: bytes, query: HecQuery) -> Delivery:
    """The lines of a body. Raises RefusedError."""
    delivery = Delivery()
    about = {name: getattr(query, name) for name in ("host", "source", "sourcetype", "index")}
    fields, source, when = _fields(about, {}), _source(about), _time(query.time)
    for line in body.decode("utf-8", "backslashreplace").split("\n"):
        if line.strip():
            delivery.add(source, record_of(line.rstrip("\r"), when, fields))
    if not delivery.records:
        raise RefusedError(NO_DATA.text, NO_DATA.code)
    return delivery


def read_acks(body: bytes) -> HecAcks:
    """The ids that are asked for. Raises AURORA-4000."""
    try:
        return msgspec.json.decode(body, type=HecAcks)
    except msgspec.DecodeError as error:
        raise AuroraError(MALFORMED_REQUEST, message="Invalid data format") from error


def _objects(body: bytes) -> Iterator[dict[str, Any]]:
    check_json(body)
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    try:
        text = body.decode().strip().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise RefusedError("Invalid data format", 6, 0) from error
    position = number = 0
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise RefusedError("Invalid data format", 6, number) from error
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                raise RefusedError("Invalid data format", 6, number)
            yield item
            number += 1
        if (space := _SPACE.match(text, position)) is not None:
            position = space.end()


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _given(envelope: dict[str, Any], query: HecQuery, name: str) -> str | None:
    value = envelope.get(name, getattr(query, name))
    return value if isinstance(value, str) and value else None


def _source(about: dict[str, str | None]) -> str:
    """A source is a kind of log: `sourcetype` says that best; `source` is often a file's path."""
    return source_name(about["sourcetype"], about["source"], about["index"], default=_DEFAULT_SOURCE)


def _fields(about: dict[str, str | None], fields: dict[str, Any]) -> dict[str, Any]:
    kept = {**fields}
    if about["host"]:
        kept["host"] = {"name": about["host"]}
    splunk = {name: about[name] for name in ("source", "sourcetype", "index") if about[name]}
    if splunk:
        kept["splunk"] = splunk
    return kept


def _time(value: object) -> str | None:
    """Seconds since 1970, with a fraction, as a number or its digits."""
    if not isinstance(value, int | float | str):
        return None
    try:
        seconds = Decimal(str(value))
        # An exponent of six digits would be a number of as many.
        return moment(int(seconds * _NANOSECONDS)) if seconds.adjusted() <= _DIGITS else None
    except (InvalidOperation, ValueError, OverflowError):
        return None
