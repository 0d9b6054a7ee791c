"""The real `aurora` on the command line, run to its end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.stack import AURORA


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    def values(self) -> list[Any]:
        """The values of `--json`, one a line."""
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


async def aurora(*arguments: str | Path, data_dir: Path, seconds: float = 60.0) -> Ended:
    """Runs `aurora` with these arguments and the data folder. Raises TimeoutError after `seconds`, and ends it."""
    process = await asyncio.create_subprocess_exec(
        *AURORA,
        *map(str, arguments),
        f"--data-dir={data_dir}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
