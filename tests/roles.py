"""A schema and role of one's own on the tests' Postgres, seen with that role's rights."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from shared.clock import new_id
from shared.migrate import migrate, provision
from shared.postgres import Database
from tests.stack import Servers

_PASSWORD = "a-test-password"


async def service_dsn(servers: Servers, service: str) -> str:
    """Makes role aurora_<service> with its schema; its DSN."""
    await provision(servers.postgres_admin_dsn, service, _PASSWORD)
    parts = urlsplit(servers.postgres_admin_dsn)
    query = "&".join(item for item in parts.query.split("&") if item and not item.startswith("passfile="))
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, f"aurora_{service}:{_PASSWORD}@{host}", parts.path, query, ""))


@asynccontextmanager
async def migrated(servers: Servers, service: str, migrations: Path) -> AsyncIterator[Database]:
    """A pool on a fresh schema with the service's tables."""
    dsn = await service_dsn(servers, f"{service}_{new_id().replace('-', '')[-12:]}")
    database = await Database.connect(dsn)
    try:
        await migrate(database, migrations)
        yield database
    finally:
        await database.close()
