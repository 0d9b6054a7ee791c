"""The disk under the logs is full: intake refuses by name, keeps what it acknowledged, and goes on with room again."""

from __future__ import annotations

import asyncio
import errno
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.errors import CLICKHOUSE_UNAVAILABLE
from tests import stack
from tests.siem import Siem, siem
from tests.stack import Servers

_DISK_MB = 96
_LINES = 200


def on_a_disk(folder: Path) -> tuple[str, ...]:
    """A command that runs another with a small disk at `folder`, which nobody else sees. Skips where that can't be."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    mount = f'mount -t tmpfs -o size={_DISK_MB}m none "$0" && exec "$@"'
    command = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, str(folder))
    tried = subprocess.run([*command, "true"], capture_output=True, text=True, timeout=10, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no file system can be mounted in a namespace here: {tried.stderr.strip()}")
    return command


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Meanwhile the disk has no byte left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 - the one way to learn that it is full
    try:
        yield
    finally:
        filler.unlink()


async def sent(service: Siem, number: int) -> str | None:
    """The receipt of a request's lines, or None when it was refused for now."""
    body = "\n".join(
        f"Mar  1 12:00:00 web01 app[{number}]: request {number} line {n} {'x' * 200}" for n in range(_LINES)
    )
    status, answer, headers = await service.ingest(body, content_type="text/plain")
    if status == 202:
        return str(answer["receipt"])
    assert (status, answer["error"]["code"]) == (503, CLICKHOUSE_UNAVAILABLE.code)
    assert int(headers["Retry-After"]) >= 1
    return None


async def test_a_full_disk_refuses_and_loses_nothing_that_was_acknowledged(servers: Servers) -> None:
    with stack.data_folder() as folder:
        disk = folder / "disk"
        disk.mkdir()
        under = on_a_disk(disk)
        async with (
            siem(servers, folder, *under, clickhouse_path=str(disk / "clickhouse")) as service,
            asyncio.timeout(100),
        ):
            assert service.process is not None
            seen = Path(f"/proc/{service.process.pid}/root{disk}")
            receipts = [await sent(service, 0)]
            for number in (1, 2):  # and again: what it leaves behind must not fill the disk
                with filled(seen):
                    refused = [await sent(service, number) for _ in range(5)]
                    assert None in refused
                    # What was acknowledged is found also while there is no room.
                    assert len(await service.search(receipt=str(receipts[0]), limit=200)) == _LINES
                receipts += refused
                while (receipt := await sent(service, number)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                receipts.append(receipt)
            for receipt in filter(None, receipts):
                assert len(await service.search(receipt=receipt, limit=200)) == _LINES
            # Nothing of what was refused stays: whoever sends it again has it once.
            acknowledged = sum(receipt is not None for receipt in receipts)
            while await stored(service) != acknowledged * _LINES:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def stored(service: Siem) -> int:
    """How many events there are."""
    query = {"q": "request", "top": "host.name", "limit": "1"}
    url = service.url + "/api/v1/siem/logs"
    async with service.http().get(url, params=query, headers=service.headers()) as response:
        return sum(int(value["count"]) for value in (await response.json())["top"])
