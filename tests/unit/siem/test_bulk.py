"""What a bulk answers when intake takes only a part of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from services.siem.doors.elasticsearch import read_bulk
from services.siem.doors.streams import Item
from shared.errors import CLICKHOUSE_UNAVAILABLE, RATE_LIMITED, AuroraError

BODY = b"""
{"create":{"_index":"a"}}
{"n":1}
{"index":{"_index":"b"}}
{"n":2}
{"create":{"_index":"a"}}
{"n":3}
"""


@dataclass
class Stored:
    """What intake says: an id for each item but those with a problem."""

    ids: Sequence[str | None]
    problems: Mapping[int, str] = field(default_factory=dict)


@dataclass
class Intake:
    """Takes items but of the sources that it refuses; `wrong` is the place of an item that can't be read."""

    refusals: Mapping[str, AuroraError] = field(default_factory=dict)
    wrong: int | None = None

    async def store_items(self, items: Sequence[Item], *, source: str, format: str | None = None) -> Stored:  # noqa: A002
        if source in self.refusals:
            raise self.refusals[source]
        ids = [None if number == self.wrong else f"{source}{number}" for number in range(len(items))]
        return Stored(ids, {} if self.wrong is None else {self.wrong: "nested too deeply"})


async def test_what_a_full_intake_leaves_is_429_for_each() -> None:
    refused = AuroraError(RATE_LIMITED, retry_after=1)
    answer = await read_bulk(BODY, None).store(Intake({"a": refused}))
    entries = [next(iter(item.values())) for item in answer.items]
    assert [entry["status"] for entry in entries] == [429, 201, 429]
    assert entries[0]["error"]["type"] == "es_rejected_execution_exception"
    assert entries[1]["_id"] == "b0"
    assert answer.errors


async def test_what_a_store_that_is_away_leaves_is_503_for_each() -> None:
    answer = await read_bulk(BODY, None).store(Intake({"b": AuroraError(CLICKHOUSE_UNAVAILABLE)}))
    assert [next(iter(item.values()))["status"] for item in answer.items] == [201, 503, 201]


async def test_a_bulk_of_which_nothing_is_taken_is_refused_whole() -> None:
    refused = AuroraError(RATE_LIMITED, retry_after=1)
    with pytest.raises(AuroraError) as raised:
        await read_bulk(BODY, None).store(Intake({"a": refused, "b": refused}))
    assert raised.value is refused


async def test_an_event_that_cant_be_read_says_why_at_its_place() -> None:
    answer = await read_bulk(BODY, "unused").store(Intake(wrong=0))
    entries = [next(iter(item.values())) for item in answer.items]
    assert [entry["status"] for entry in entries] == [400, 400, 201]
    assert entries[0]["error"] == {"type": "document_parsing_exception", "reason": "nested too deeply"}
    assert entries[2]["_id"] == "a1"


async def test_a_bulk_of_nothing_is_empty() -> None:
    answer = await read_bulk(b"\n", None).store(Intake())
    assert (answer.errors, answer.items) == (False, [])
