"""ClickHouse goes away while shippers send: intake and search say so, retries lose nothing, nothing is stored twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from elasticsearch import ApiError, Elasticsearch, TransportError
from elasticsearch.helpers import BulkIndexError, bulk

from deploy.local.ports import choose
from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, AlertQuery
from shared.contracts.detections import CREATE_RULE
from shared.errors import CLICKHOUSE_UNAVAILABLE, AuroraError
from tests import stack
from tests.clickhouse_http import LOSES_ANSWERS, clickhouse_server
from tests.siem import Siem, siem
from tests.stack import Servers

#: Seconds that it is away.
_AWAY_SECONDS = 5
_EACH = 60
_OF_A_REQUEST = 5
_PAUSE_SECONDS = 0.1
RULE = """\
title: A line of the fault test
id: {}
level: low
logsource: {{product: linux}}
detection: {{selection: {{message|contains: '{}'}}, condition: selection}}
"""
LINE = "Mar  1 12:00:00 web01 app[1]: {} {} {}"


class Sent:
    """What every shipper has been refused and has delivered."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()

    async def deliver(self, shipper: str, marker: str, send: Callable[[list[str]], Awaitable[bool]]) -> None:
        """Sends every line, each request again until it is taken, as shippers do."""
        for first in range(0, _EACH, _OF_A_REQUEST):
            lines = [LINE.format(marker, shipper, number) for number in range(first, first + _OF_A_REQUEST)]
            while not await send(lines):
                self.refused[shipper] += 1
                await asyncio.sleep(_PAUSE_SECONDS)
            self.delivered[shipper] += 1
            await asyncio.sleep(_PAUSE_SECONDS)


async def by_elasticsearch(service: Siem, lines: list[str]) -> bool:
    """Elasticsearch's own client and its bulk helper."""

    def send() -> bool:
        token = service.headers()["Authorization"].removeprefix("Bearer ")
        with Elasticsearch(service.url, bearer_auth=token, max_retries=1, retry_on_status=(429, 503)) as client:
            try:
                return bulk(client, [{"_index": "es", "message": line} for line in lines])[0] == len(lines)
            except (ApiError, TransportError, BulkIndexError):
                return False

    return await asyncio.to_thread(send)


async def by_hec(service: Siem, lines: list[str]) -> bool:
    """Splunk's collector: events in a row; code 9, "server is busy", asks to send again."""
    body = b"".join(orjson.dumps({"event": line, "sourcetype": "hec"}) for line in lines)
    url = service.url + "/services/collector/event"
    async with service.http().post(url, data=body, headers=service.headers()) as response:
        answer = await response.json()
        assert (response.status, answer["code"]) in ((200, 0), (503, 9)), answer
        return response.status == 200


async def by_lines(service: Siem, lines: list[str]) -> bool:
    """Aurora's own endpoint."""
    status, answer, headers = await service.ingest("\n".join(lines), content_type="text/plain")
    if status == 202:
        return True
    assert status in (429, 503)
    assert int(headers["Retry-After"]) >= 1
    assert answer["error"]["code"] in ("AURORA-4290", CLICKHOUSE_UNAVAILABLE.code)
    return False


async def by_syslog(service: Siem, marker: str) -> None:
    """A stream that is never told anything."""
    port = next(line["port"] for line in service.lines() if line["message"] == "listening")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in range(_EACH):
        writer.write((LINE.format(marker, "syslog", number) + "\n").encode())
        await writer.drain()
        await asyncio.sleep(_PAUSE_SECONDS)
    writer.close()


async def test_nothing_is_lost_or_doubled_while_clickhouse_is_away(servers: Servers) -> None:
    marker, rule = f"m{new_id().replace('-', '')}", new_id()
    with stack.data_folder() as folder:
        (folder / "server").mkdir()
        port = choose()
        settings = {"clickhouse_url": f"http://127.0.0.1:{port}/aurora", "syslog_tcp": "127.0.0.1:0"}
        async with siem(servers, folder, **settings) as service, asyncio.timeout(100 + _AWAY_SECONDS):
            async with clickhouse_server(folder / "server", port):
                async with service.client() as client:
                    text = RULE.format(rule, marker).encode()
                    await client.call(CREATE_RULE, body=text, headers={"Content-Type": "application/yaml"})
                await ready(service)
                sent = Sent()
                sending = [
                    asyncio.create_task(sent.deliver("es", marker, lambda lines: by_elasticsearch(service, lines))),
                    asyncio.create_task(sent.deliver("hec", marker, lambda lines: by_hec(service, lines))),
                    asyncio.create_task(sent.deliver("own", marker, lambda lines: by_lines(service, lines))),
                    asyncio.create_task(by_syslog(service, marker)),
                ]
                while len(sent.delivered) < 3:  # noqa: ASYNC110 - each is counted by a task
                    await asyncio.sleep(_PAUSE_SECONDS)
            await told_until(service, asyncio.get_running_loop().time() + _AWAY_SECONDS)
            assert set(sent.refused) == {"es", "hec", "own"}
            async with clickhouse_server(folder / "server", port):
                await asyncio.gather(*sending)
                await each_once(service, marker, rule, {"es", "hec", "own", "syslog"})


async def ready(service: Siem) -> None:
    """Returns when the schema is there: siem starts without its store."""
    while not await by_lines(service, ["Mar  1 12:00:00 web01 app[1]: ready"]):  # noqa: ASYNC110
        await asyncio.sleep(_PAUSE_SECONDS)


async def told_until(service: Siem, end: float) -> None:
    """Searches are refused by name as long as it is away."""
    while asyncio.get_running_loop().time() < end:
        with pytest.raises(AuroraError) as refused:
            await service.search("anything")
        assert (refused.value.code, bool(refused.value.retry_after)) == (CLICKHOUSE_UNAVAILABLE, True)
        await asyncio.sleep(_PAUSE_SECONDS)


async def each_once(service: Siem, marker: str, rule: str, shippers: set[str]) -> None:
    """Every line is stored once, and counted once by the rule's alert."""
    wanted = Counter(f"{marker} {shipper} {number}" for shipper in shippers for number in range(_EACH))
    while await stored(service, marker) != wanted:  # noqa: ASYNC110 - what was refused is taken back a moment later
        await asyncio.sleep(_PAUSE_SECONDS)
    while await counts(service, rule) != [len(wanted)]:  # noqa: ASYNC110 - the state of another process
        await asyncio.sleep(_PAUSE_SECONDS)
    assert await stored(service, marker) == wanted


async def counts(service: Siem, rule: str) -> list[int]:
    """How many events each alert of the rule counts."""
    async with service.client() as client:
        return [alert.count for alert in (await client.call(LIST_ALERTS, query=AlertQuery(rule_id=rule))).items]


async def stored(service: Siem, marker: str) -> Counter[str]:
    """How often each line is in the store."""
    found: Counter[str] = Counter()
    cursor: str | None = None
    while True:
        page = await page_of(service, marker, cursor)
        found.update(event["message"].removeprefix("app: ") for event in page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def page_of(service: Siem, marker: str, cursor: str | None) -> Any:
    query = {"q": marker, "limit": "200", **({"cursor": cursor} if cursor else {})}
    async with service.http().get(
        service.url + "/api/v1/siem/logs", params=query, headers=service.headers()
    ) as response:
        return await response.json()


@contextmanager
def losing_answers(server: Path) -> Iterator[None]:
    """Meanwhile the server stores what it is sent, and breaks the connection."""
    (server / LOSES_ANSWERS).touch()
    try:
        yield
    finally:
        (server / LOSES_ANSWERS).unlink()


async def test_what_was_stored_though_its_sender_was_refused_is_taken_back(servers: Servers) -> None:
    marker, rule = f"m{new_id().replace('-', '')}", new_id()
    with stack.data_folder() as folder:
        (folder / "server").mkdir()
        async with (
            clickhouse_server(folder / "server") as url,
            siem(servers, folder, clickhouse_url=url) as service,
            asyncio.timeout(100),
        ):
            async with service.client() as client:
                text = RULE.format(rule, marker).encode()
                await client.call(CREATE_RULE, body=text, headers={"Content-Type": "application/yaml"})
            await ready(service)
            lines = [LINE.format(marker, "own", number) for number in range(_EACH)]
            with losing_answers(folder / "server"):
                assert not await by_lines(service, lines)
            assert set((await stored(service, marker)).values()) <= {1}
            assert await by_lines(service, lines)
            await each_once(service, marker, rule, {"own"})
