"""Log intake and search over HTTP, on a real siem with its real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests import stack
from tests.siem import Siem, siem
from tests.stack import Servers


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for the tests of this file; each keeps apart by its source."""
    with stack.data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


async def test_an_acknowledged_event_is_searchable(service: Siem) -> None:
    status, receipt, _ = await service.ingest(
        {"message": "the needle", "host": {"name": "web01"}}, query={"source": "one"}
    )
    assert (status, receipt["accepted"], receipt["rejected"]) == (202, 1, 0)
    found = await service.search("host.name:WEB01 needle", source="one")
    assert [event.receipt for event in found] == [receipt["receipt"]]
