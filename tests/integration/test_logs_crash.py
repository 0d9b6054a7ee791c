"""What intake promises when a process or a store dies."""

from __future__ import annotations

import asyncio

import aiohttp

from deploy.local.ports import choose
from shared.errors import CLICKHOUSE_UNAVAILABLE
from tests import stack
from tests.clickhouse_http import clickhouse_server
from tests.siem import Siem, siem
from tests.stack import Servers

_REQUESTS = 40
_EVENTS = 25


async def send_until_it_dies(service: Siem, acknowledged: dict[str, int], killed: asyncio.Event) -> None:
    number = 0
    while True:
        body = "\n".join(f"Mar  1 12:00:00 web01 app[1]: request {number} line {line}" for line in range(_EVENTS))
        number += 1
        try:
            status, receipt, _ = await service.ingest(body, content_type="text/plain", query={"source": "crash"})
        except (aiohttp.ClientError, OSError):
            return
        assert status == 202
        acknowledged[receipt["receipt"]] = receipt["accepted"]
        if len(acknowledged) >= _REQUESTS:
            killed.set()


async def test_every_acknowledged_event_survives_kill_9(servers: Servers) -> None:
    with stack.data_folder() as folder:
        async with siem(servers, folder) as service:
            acknowledged: dict[str, int] = {}
            enough = asyncio.Event()
            async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
                for _ in range(4):
                    tasks.create_task(send_until_it_dies(service, acknowledged, enough))
                await enough.wait()
                await service.kill()
            await service.start()
            for receipt, accepted in acknowledged.items():
                assert len(await service.search(receipt=receipt, limit=200)) == accepted


async def test_sigterm_answers_what_was_sent_and_ends_cleanly(servers: Servers) -> None:
    with stack.data_folder() as folder:
        async with siem(servers, folder) as service:
            sending = [asyncio.create_task(service.ingest({"message": f"{n}"})) for n in range(20)]
            await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
            assert await service.stop() == 0
            answers = await asyncio.gather(*sending, return_exceptions=True)
            acknowledged = [answer for answer in answers if isinstance(answer, tuple) and answer[0] == 202]
            assert acknowledged
            await service.start()
            for _, receipt, _ in acknowledged:
                assert len(await service.search(receipt=receipt["receipt"])) == 1


async def test_without_its_store_intake_refuses_and_comes_back_with_it(servers: Servers) -> None:
    with stack.data_folder() as folder:
        port = choose()
        engine = folder / "server"
        engine.mkdir()
        async with siem(servers, folder, clickhouse_url=f"http://127.0.0.1:{port}/aurora") as service:
            assert await refusal(service) == CLICKHOUSE_UNAVAILABLE.code
            async with clickhouse_server(engine, port):
                receipt = await accepted(service)
                assert len(await service.search(receipt=receipt)) == 1
            assert await refusal(service) == CLICKHOUSE_UNAVAILABLE.code
            async with clickhouse_server(engine, port):
                await accepted(service)
                assert len(await service.search(receipt=receipt)) == 1


async def refusal(service: Siem) -> str:
    """The code with which an event is refused."""
    status, answer, headers = await service.ingest({"message": "refused"})
    assert status == 503
    assert int(headers["Retry-After"]) >= 1
    return str(answer["error"]["code"])


async def accepted(service: Siem) -> str:
    """Sends an event until it is accepted; its receipt."""
    async with asyncio.timeout(30):
        while True:
            status, receipt, _ = await service.ingest({"message": "accepted"})
            if status == 202:
                return str(receipt["receipt"])
            assert status == 503
            await asyncio.sleep(0.05)
