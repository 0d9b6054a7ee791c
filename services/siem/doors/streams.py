"""What Loki and OpenTelemetry have in common: records with labels, grouped by who sent them, handed to intake.

Owns how a record becomes an item: a line stays a line for the parsers to read, its labels become fields beside it. The
wire formats are loki.py's and otlp.py's; what an item means is the parsers' business.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from services.siem.bounds import is_too_deep
from shared.errors import PAYLOAD_TOO_LARGE, AuroraError

Item = bytes | str | dict[str, Any]
#: Records of one request; bounds the memory that a body of tiny records takes.
MAX_RECORDS = 200_000
#: Sources of one request: each is stored under a receipt of its own.
MAX_SOURCES = 1_000
_NOT_IN_A_SOURCE = re.compile(r"[^\w.:/@ -]+")
_LONGEST_SOURCE = 128
_TIMES = ("@timestamp", "timestamp", "time", "ts", "eventTime", "TimeCreated", "SystemTime", "EventTime", "UtcTime")
_NANOSECONDS = 10**9


class Stored(Protocol):
    """What intake says of items: the log id of each or None, and what is wrong with that one."""

    @property
    def ids(self) -> Sequence[str | None]: ...
    @property
    def problems(self) -> Mapping[int, str]: ...


class Intake(Protocol):
    """Stores items of one source; durable when it returns. Raises AuroraError when intake is full or a store away."""

    async def store_items(self, items: Sequence[Item], *, source: str, format: str | None = None) -> Stored: ...  # noqa: A002


@dataclass(slots=True)
class Outcome:
    """What became of a request's records; `problems` are sentences, each once."""

    accepted: int = 0
    rejected: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Delivery:
    """The records of a request by source, in the order sent."""

    by_source: dict[str, list[Item]] = field(default_factory=dict)
    records: int = 0

    def add(self, source: str, item: Item) -> None:
        """Raises AURORA-4130 for a record or a source too many."""
        self.records += 1
        items = self.by_source.setdefault(source, [])
        if self.records > MAX_RECORDS:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"max_records": MAX_RECORDS})
        if len(self.by_source) > MAX_SOURCES:
            raise AuroraError(PAYLOAD_TOO_LARGE, {"max_sources": MAX_SOURCES})
        items.append(item)

    async def store(self, intake: Intake) -> Outcome:
        """Stores every record. Raises the first AuroraError of intake; what was stored until then stays stored."""
        outcome = Outcome()
        answers = await asyncio.gather(
            *(intake.store_items(items, source=source) for source, items in self.by_source.items()),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
            rejected = len(answer.problems)
            outcome.accepted += len(answer.ids) - rejected
            outcome.rejected += rejected
            outcome.problems += answer.problems.values()
        outcome.problems = list(dict.fromkeys(outcome.problems))
        return outcome


def source_name(*candidates: object, default: str) -> str:
    """The first candidate that is a text, as the name of a source."""
    for candidate in candidates:
        if isinstance(candidate, str) and candidate.strip():
            return _NOT_IN_A_SOURCE.sub("-", candidate.strip())[:_LONGEST_SOURCE]
    return default


def moment(nanoseconds: object) -> str | None:
    """Nanoseconds since 1970, as a number or its digits, in RFC 3339; None for zero and for what is no time."""
    try:
        whole = int(nanoseconds) if isinstance(nanoseconds, int | str) else 0
        if whole <= 0:
            return None
        seconds, rest = divmod(whole, _NANOSECONDS)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
    except (ValueError, OverflowError, OSError):
        return None


def record_of(body: Any, when: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """One record as an item. An object, also one in a line, keeps its own fields and its own time; a line is a message.

    `fields` never replace what an object says of itself.
    """
    document = body if isinstance(body, dict) else _object_in(body)
    if document is None:
        stamped = {} if when is None else {"@timestamp": when}
        return {**fields, **stamped, "message": body if isinstance(body, str) else _text(body)}
    item = {**fields, **document}
    if when is not None and not any(name in document for name in _TIMES):
        item["@timestamp"] = when
    return item


def _object_in(line: object) -> dict[str, Any] | None:
    if not isinstance(line, str) or not line.lstrip().startswith("{"):
        return None
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and not is_too_deep(document) else None


def _text(body: Any) -> str:
    return "" if body is None else orjson.dumps(body).decode()
