"""Real servers, and whole stacks, for tests.

`embedded_servers` runs PostgreSQL, NATS and Valkey from the wheels on free ports and keeps them running (kill one and
it comes back). Nothing here is a stand-in.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local import ports
from deploy.local.group import Group
from deploy.local.journal import journal
from deploy.local.layout import DataFolder
from deploy.local.servers import Addresses, External, embedded_names, makers
from deploy.local.supervised import Supervised

#: The user that tests talk to NATS as; it may do what a service may do.
TEST_USER = "tests"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the three servers listen, and the secrets. `processes` is for tests that kill one."""

    postgres_admin_dsn: str
    nats_url: str
    nats_user: str
    nats_password: str
    nats_password_file: Path
    redis_url: str
    redis_password: str
    redis_password_file: Path
    processes: dict[str, Supervised]


@contextmanager
def data_folder() -> Iterator[Path]:
    """A temporary folder that a server which drops root's rights can walk into (pytest's tmp_path is 0700)."""
    folder = Path(tempfile.mkdtemp(prefix="aurora-test-"))
    try:
        if os.geteuid() == 0:
            folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def embedded_servers(root: Path) -> AsyncIterator[Servers]:
    """The three servers with their data under `root`, ready; stopped at the end."""
    folder = DataFolder(root)
    folder.prepare(minimum_free=0)
    external = External()
    assigned = ports.assign(embedded_names(external), folder.ports_file)
    commands = await asyncio.gather(
        *(asyncio.to_thread(make) for make in makers(folder, external, assigned, (TEST_USER,)))
    )
    with journal(folder.log("supervisor")) as log:
        group = Group(commands, log)
        try:
            await group.start()
            yield _described(folder, external, assigned, group.processes)
        finally:
            await group.stop()


def _described(
    folder: DataFolder, external: External, assigned: dict[str, int], processes: list[Supervised]
) -> Servers:
    addresses = Addresses(folder, external, assigned)
    nats, redis = addresses.nats(TEST_USER), addresses.redis()
    assert nats.user is not None
    assert nats.password_file is not None
    assert redis.password_file is not None
    return Servers(
        postgres_admin_dsn=addresses.postgres_admin_dsn(),
        nats_url=nats.url,
        nats_user=nats.user,
        nats_password=nats.password_file.read_text(encoding="utf-8").strip(),
        nats_password_file=nats.password_file,
        redis_url=redis.url,
        redis_password=redis.password_file.read_text(encoding="utf-8").strip(),
        redis_password_file=redis.password_file,
        processes={process.name: process for process in processes},
    )
