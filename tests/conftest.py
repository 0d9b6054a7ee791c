"""Fixtures that every suite shares. Each is made on first use, so that unit tests start no server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from shared.bus import Bus
from tests import siem, stack


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clickhouse-server", action="store_true", help="run siem on ClickHouse's HTTP interface, not in process"
    )


def pytest_configure(config: pytest.Config) -> None:
    siem.ON_A_SERVER = config.getoption("clickhouse_server")


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
