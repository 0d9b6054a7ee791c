"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

_AGAIN_SECONDS = 0.25


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancels the tasks and returns when all are done; what they raise stays in them.

    Asks again until they are: up to Python 3.11 `asyncio.wait_for`, which the NATS client waits with, loses a
    cancellation that comes in the same moment as what it waits for (bpo-42130).
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN_SECONDS)
