"""One request of a connection, from its start to its answer: a plain one runs in a task of its own, a handoff in the
ledger, where it outlives the connection. Knows no socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from shared.rpc.ledger import Entry, Reply
from shared.rpc.methods import Call
from shared.rpc.wire import WireError


class Exchange:
    """A running request without a handoff. `refusal` ends it with that reply."""

    __slots__ = ("begun", "call", "refusal", "task")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.refusal: WireError | None = None
        self.begun = False
        self.task: asyncio.Task[Any]

    def stopped(self) -> bool:
        """Whether it was ended before its own reply."""
        return self.refusal is not None

    def stop(self, refusal: WireError) -> None:
        """Ends it with `refusal` as the reply."""
        self.refusal = refusal
        # A task that is cancelled before its first step never enters its body, so it couldn't reply.
        if self.begun:
            self.task.cancel()

    async def body(self) -> bytes:
        """The encoded reply."""
        reply: bytes = await self.task
        return reply


class Awaited:
    """A request that waits for a handoff. No task: the handoff's own tells when it is done. `answer` is there for a
    batch, which sends all replies together."""

    __slots__ = ("answer", "call", "done", "entry")

    def __init__(self, call: Call, entry: Entry, answer: asyncio.Future[bytes] | None) -> None:
        self.call = call
        self.entry = entry
        self.answer = answer
        self.done: Callable[[asyncio.Future[Reply]], None]

    async def body(self) -> bytes:
        """The encoded reply, of a batch's member."""
        if self.answer is None:
            raise RuntimeError("not in a batch")
        return await self.answer
