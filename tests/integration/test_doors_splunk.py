"""The door of Splunk's HTTP Event Collector on a real siem: events, raw lines, channels and refusals."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from services.siem.doors import store
from services.siem.doors.service import Acks
from shared.contracts.doors_splunk import HecAcks
from shared.postgres import Database
from tests.siem import ADMIN, Siem, siem
from tests.stack import Servers

COLLECTOR = "/services/collector"
SSHD = "Mar  3 06:00:01 web1 sshd[812]: Failed password for root from 203.0.113.9 port 41022 ssh2"
READ = "sshd: Failed password for root from 203.0.113.9 port 41022 ssh2"
SUCCESS = {"text": "Success", "code": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Siem]:
    async with siem(servers, tmp_path_factory.mktemp("siem")) as started:
        yield started


async def _ask(running: Siem, path: str, body: bytes | Any, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {**running.headers(), **headers}
    async with running.http().post(running.url + COLLECTOR + path, data=data, headers=sent) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("path", ["", "/event", "/event/1.0"])
async def test_events_in_a_row_are_stored(running: Siem, path: str) -> None:
    event = {"time": 1772517601.25, "host": "web1", "sourcetype": f"st{path}", "index": "main", "event": SSHD}
    body = orjson.dumps(event) + orjson.dumps({**event, "event": {"action": "second"}}) + b"\n"
    body += orjson.dumps({**event, "time": "1772517602", "fields": {"team": "blue"}, "event": "third"})
    assert await _ask(running, path, body) == (200, SUCCESS)
    found = {event.message: event for event in await running.search(source=f"st{path}")}
    assert len(found) == 3
    assert found[READ].ecs["source.ip"] == "203.0.113.9"
    third = found["third"]
    assert third.timestamp.isoformat() == "2026-03-03T06:00:02+00:00"
    assert third.ecs["host.name"] == "web1"
    assert orjson.loads(third.raw)["team"] == "blue"
    assert orjson.loads(third.raw)["splunk"] == {"sourcetype": f"st{path}", "index": "main"}


@pytest.mark.parametrize("path", ["/raw", "/raw/1.0"])
async def test_raw_lines_are_events_of_the_source_in_the_url(running: Siem, path: str) -> None:
    body = gzip.compress(f"{SSHD}\r\n\nsecond\n".encode())
    query = f"{path}?sourcetype=raw{path}&host=web2&channel=c&unknown=1"
    status, answer = await _ask(running, query, body, **{"Content-Encoding": "gzip"})
    assert (status, answer["code"], answer["ackId"] >= 0) == (200, 0, True)
    assert {event.message for event in await running.search(source=f"raw{path}")} == {READ, "second"}


@pytest.mark.parametrize(
    ("body", "code", "number"),
    [
        (b"", 5, None),
        (b"  ", 5, None),
        (b"{", 6, 0),
        (b"1", 6, 0),
        (b"\xff", 6, 0),
        (b'{"event":"a"}{"event":', 6, 1),
        (b'{"event":"a"}{"time":1}', 12, 1),
        (b'{"event":""}', 13, 0),
        (b'{"event":null}', 13, 0),
        (b'{"event":"a","fields":[]}', 15, 0),
        (b'{"event":' + b"[" * 100_000, 6, 0),
        (b'{"event":NaN}', 6, 0),
    ],
)
async def test_a_refusal_has_hecs_code_and_the_events_number(
    running: Siem, body: bytes, code: int, number: int | None
) -> None:
    status, answer = await _ask(running, "/event", body)
    assert (status, answer["code"], answer.get("invalid-event-number")) == (400, code, number)
    assert answer["text"]


async def test_an_ack_is_true_only_if_it_was_given_on_this_channel(running: Siem) -> None:
    channel = {"X-Splunk-Request-Channel": "5F2D0C4E-0000-0000-0000-000000000001"}
    other = {"X-Splunk-Request-Channel": "5F2D0C4E-0000-0000-0000-000000000002"}
    given = [(await _ask(running, "/event", {"event": "a"}, **channel))[1]["ackId"] for _ in range(3)]
    assert given == [0, 1, 2]
    status, answer = await _ask(running, "/ack", {"acks": [0, 2, 3, -1]}, **channel)
    assert (status, answer) == (200, {"acks": {"0": True, "2": True, "3": False, "-1": False}})
    assert (await _ask(running, "/ack", {"acks": [0]}, **other))[1] == {"acks": {"0": False}}
    assert await _ask(running, "/ack", {"acks": [0]}) == (400, {"text": "Data channel is missing", "code": 10})
    assert (await _ask(running, "/ack", b"{", **channel))[1]["code"] == 6


async def test_an_ack_is_known_to_every_process_until_its_channel_is_forgotten(running: Siem) -> None:
    channel, acks = "5F2D0C4E-0000-0000-0000-000000000003", HecAcks([0, 1])
    await _ask(running, "/event", {"event": "a"}, **{"X-Splunk-Request-Channel": channel})
    database = await Database.connect(running.environment["AURORA_POSTGRES_DSN"])
    try:
        another = Acks(database)
        assert await another.asked(ADMIN.id, channel, acks) == {"0": True, "1": False}
        assert await another.durable(ADMIN.id, channel) == 1
        assert await another.asked("somebody else", channel, acks) == {"0": False, "1": False}
        await store.forget(database, hours=24, most=1)
        assert await another.asked(ADMIN.id, channel, acks) == {"0": True, "1": True}, "it was used last"
        await database.execute("UPDATE hec_channels SET used_at = now() - interval '25 hours'")
        await store.forget(database, hours=24, most=1)
        assert await another.asked(ADMIN.id, channel, acks) == {"0": False, "1": False}
    finally:
        await database.close()


async def test_no_ack_is_given_for_a_refused_event(running: Siem) -> None:
    channel = {"X-Splunk-Request-Channel": "refused"}
    _, answer = await _ask(running, "/event", b"{", **channel)
    assert "ackId" not in answer
    assert (await _ask(running, "/ack", {"acks": [0]}, **channel))[1] == {"acks": {"0": False}}


@pytest.mark.parametrize("path", ["/health", "/health/1.0"])
async def test_the_collector_says_that_it_is_healthy(running: Siem, path: str) -> None:
    async with running.http().get(running.url + COLLECTOR + path, headers=running.headers()) as response:
        assert (response.status, await response.json()) == (200, {"text": "HEC is healthy", "code": 17})
