"""PostgreSQL, NATS and Valkey as the local stack runs them: passwords on all, durable, back after kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
import redis.asyncio as redis
from nats.aio.client import Client as NatsClient
from nats.js.errors import APIError

from deploy.local import nats_server
from shared.bus import Bus
from tests import stack
from tests.stack import Servers, embedded_servers, until


@asynccontextmanager
async def nats_connection(url: str, user: str, password: str) -> AsyncIterator[NatsClient]:
    async def ignore(_error: Exception) -> None:
        """Refusals come back to the caller; the client would log them as well."""

    connection = await nats.connect(
        url, user=user, password=password, error_cb=ignore, allow_reconnect=False, connect_timeout=5
    )
    try:
        yield connection
    finally:
        await connection.close()


async def kill(servers: Servers, name: str) -> None:
    """kill -9, and wait until the next one serves."""
    process = servers.processes[name]
    old = process.pid
    assert old is not None
    os.kill(old, signal.SIGKILL)
    await until(lambda: process.pid not in (None, old) and process.serving.is_set(), f"the restart of {name}")


async def test_postgres_refuses_a_wrong_password(servers: Servers) -> None:
    dsn = servers.postgres_admin_dsn.split("?")[0]
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(dsn, password="wrong")


async def test_nats_refuses_a_client_without_credentials(servers: Servers) -> None:
    address = urlsplit(servers.nats_url)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        await reader.readline()
        writer.write(b"CONNECT {}\r\nPING\r\n")
        assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
        writer.close()
        await writer.wait_closed()


async def test_valkey_refuses_a_client_without_a_password(servers: Servers) -> None:
    async with redis.Redis.from_url(servers.redis_url) as client:
        with pytest.raises(redis.AuthenticationError):
            await client.ping()


async def test_a_killed_postgres_comes_back_with_what_was_committed(data_dir: Path) -> None:
    async with embedded_servers(data_dir) as servers:
        connection = await asyncpg.connect(servers.postgres_admin_dsn)
        await connection.execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")
        connection.terminate()
        await kill(servers, "postgres")
        connection = await asyncpg.connect(servers.postgres_admin_dsn)
        assert await connection.fetchval("SELECT n FROM kept") == 7
        await connection.close()


async def test_killed_nats_and_valkey_come_back_with_what_was_acknowledged(data_dir: Path) -> None:
    async with embedded_servers(data_dir) as servers:
        async with nats_connection(servers.nats_url, servers.nats_user, servers.nats_password) as connection:
            await connection.jetstream().add_stream(name="AURORA", subjects=["aurora.>"])
            await connection.jetstream().publish("aurora.kept", b"7")
        async with redis.Redis.from_url(servers.redis_url, password=servers.redis_password) as client:
            await client.set("kept", "7")
        await kill(servers, "nats")
        await kill(servers, "valkey")
        async with nats_connection(servers.nats_url, servers.nats_user, servers.nats_password) as connection:
            message = await connection.jetstream().get_msg("AURORA", 1)
            assert message.data == b"7"
        async with redis.Redis.from_url(servers.redis_url, password=servers.redis_password) as client:
            assert await client.get("kept") == b"7"


async def test_the_operator_watches_events_and_changes_nothing(data_dir: Path) -> None:
    async with embedded_servers(data_dir) as servers:
        secret = data_dir / "secrets" / f"{nats_server.user_secret(nats_server.OPERATOR)}.password"
        password = secret.read_text().strip()
        service = nats_connection(servers.nats_url, servers.nats_user, servers.nats_password)
        operator = nats_connection(servers.nats_url, nats_server.OPERATOR, password)
        async with service as writer, operator as reader:
            await writer.jetstream().add_stream(name="AURORA", subjects=["aurora.>"])
            await writer.jetstream().publish("aurora.alerts.created", b"1")
            bus = await Bus.connect(servers.nats_url, user=nats_server.OPERATOR, password=password, name="operator")
            async with asyncio.timeout(10):
                assert (await anext(bus.read(["aurora.>"], since=0))).payload == b"1"
            await bus.close()
            await reader.publish("aurora.alerts.created", b"forged")
            await reader.flush()
            with pytest.raises((APIError, nats.errors.Error)):
                await reader.jetstream(timeout=0.3).purge_stream("AURORA")
            assert (await writer.jetstream().stream_info("AURORA")).state.messages == 1


async def test_settings_are_told_by_the_gateway_and_by_no_other_service(data_dir: Path) -> None:
    async with embedded_servers(data_dir) as servers:
        bus = await Bus.connect(
            servers.nats_url, user=servers.nats_user, password=servers.nats_password, name="gateway"
        )
        assert await bus.replace("settings", "runtime", b"told", 0)
        assert not await bus.replace("settings", "runtime", b"by one who did not look", 0)
        secret = data_dir / "secrets" / f"{nats_server.user_secret(stack.OTHER_USER)}.password"
        async with nats_connection(servers.nats_url, stack.OTHER_USER, secret.read_text().strip()) as other:
            bucket = await other.jetstream(timeout=0.3).key_value("settings")
            with pytest.raises((APIError, nats.errors.Error)):
                await bucket.put("runtime", b"forged")
            assert (await bucket.get("runtime")).value == b"told"
        assert (await bus.value("settings", "runtime"))[0] == b"told"
        async with asyncio.timeout(10):
            assert await anext(bus.watch("settings", "runtime")) == b"told"
        await bus.close()


def test_the_temporary_data_folder_is_gone_at_the_end() -> None:
    with stack.data_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()
