"""kill -9 of siem during intake at full rate, again and again: events and alerts are neither lost nor doubled."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from shared.contracts.alerts import LIST_ALERTS, AlertQuery
from shared.contracts.detections import CREATE_RULE
from tests import stack
from tests.siem import Siem, siem
from tests.stack import Servers

_KILLS = 4
_SENDERS = 4
_EVENTS = 50
_REQUESTS_BEFORE_A_KILL = 12
RULE = """\
title: A line of the crash test
id: 0e6a4b2c-7a52-4f0e-9d8e-3f5b1c2d4e01
level: low
logsource: {product: linux}
detection: {selection: {message|contains: crash-needle}, condition: selection}
"""


class Sent:
    """What senders know: which requests were acknowledged, and which may be stored or not."""

    def __init__(self) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.requests = 0
        self.enough = asyncio.Event()

    async def send(self, service: Siem) -> None:
        """Posts until the service is gone."""
        while True:
            self.requests += 1
            name = f"request-{self.requests}"
            line = f"2026-03-01T12:00:00.000000+00:00 web01 app[1]: crash-needle {name}"
            try:
                status, receipt, _ = await service.ingest("\n".join([line] * _EVENTS), content_type="text/plain")
            except (aiohttp.ClientError, OSError):
                return
            assert status == 202
            self.acknowledged[receipt["receipt"]] = receipt["accepted"]
            if len(self.acknowledged) % _REQUESTS_BEFORE_A_KILL == 0:
                self.enough.set()


async def stored(service: Siem) -> int:
    """How many of the test's events are in the store."""
    async with service.http().get(
        service.url + "/api/v1/siem/logs",
        params={"q": "crash-needle", "top": "host.name", "limit": "1"},
        headers=service.headers(),
    ) as response:
        page = await response.json()
    return sum(int(value["count"]) for value in page["top"])


async def counted(service: Siem) -> tuple[int, int]:
    """How many alerts there are of the rule, and how many events they count."""
    async with service.client() as client:
        alerts = (
            await client.call(LIST_ALERTS, query=AlertQuery(rule_id="0e6a4b2c-7a52-4f0e-9d8e-3f5b1c2d4e01"))
        ).items
    return len(alerts), sum(alert.count for alert in alerts)


async def test_after_each_kill_every_event_is_stored_once_and_counted_once(servers: Servers) -> None:
    with stack.data_folder() as folder:
        async with siem(servers, folder) as service:
            async with service.client() as client:
                await client.call(CREATE_RULE, body=RULE.encode(), headers={"Content-Type": "application/yaml"})
            sent = Sent()
            for _ in range(_KILLS):
                sent.enough.clear()
                async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                    for _sender in range(_SENDERS):
                        tasks.create_task(sent.send(service))
                    await sent.enough.wait()
                    await service.kill()
                await service.start()
            for receipt, accepted in sent.acknowledged.items():
                found = await service.search(receipt=receipt, limit=200)
                assert len({event.id for event in found}) == len(found) == accepted
            # What was not acknowledged is stored as a whole or not at all; whatever is stored counts once.
            total = await stored(service)
            assert total % _EVENTS == 0

            async with asyncio.timeout(60):
                while (await counted(service))[1] < total:  # noqa: ASYNC110 - the state of another process
                    await asyncio.sleep(0.05)
            assert await counted(service) == (1, total)
