"""Fixtures that every suite shares. Each is made on first use, so that unit tests start no server."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.bus import Bus
from tests import siem, stack

#: What takes long starts first, and many small files even out the end: no worker is left alone with a long one. Within
#: a folder the order is random.
_FOLDERS = ("system", "integration", "security", "contract", "structure", "unit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clickhouse-server", action="store_true", help="run siem on ClickHouse's HTTP interface, not in process"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Thousands of tests, rules and syntax trees live to the end: by default the collector walks through them so often
    # that it takes a fifth of a worker's time.
    gc.set_threshold(50_000, 20, 10)
    siem.ON_A_SERVER = config.getoption("clickhouse_server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)  # stable: the order within a folder stays


def _rank(item: pytest.Item) -> int:
    named = (number for number, folder in enumerate(_FOLDERS) if item.nodeid.startswith(f"tests/{folder}/"))
    return next(named, len(_FOLDERS))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A temporary data folder, also usable by servers that drop root's rights."""
    with stack.data_folder() as folder:
        yield folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers() -> AsyncIterator[stack.Servers]:
    """PostgreSQL, NATS and Valkey for the whole session. Tests keep apart by schema, subject and key names."""
    with stack.data_folder() as folder:
        async with stack.embedded_servers(folder) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session")
async def bus(servers: stack.Servers) -> AsyncIterator[Bus]:
    """A connection to JetStream, with a service's rights."""
    bus = await Bus.connect(servers.nats_url, user=servers.nats_user, password=servers.nats_password, name="test")
    yield bus
    await bus.close()
