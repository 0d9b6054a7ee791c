"""One request of a connection that waits: for its handler, or for the other replies of its batch. Knows no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shared.rpc.ledger import Entry, Reply
from shared.rpc.methods import Call


class Exchange:
    """A request whose handler runs. `entry` is there for a handoff, whose task outlives the connection; without one the
    task is the connection's own. `answer` is there for a batch, which sends all replies together. A `silent` one is a
    notification."""

    __slots__ = ("answer", "call", "done", "entry", "silent", "task")

    def __init__(self, call: Call, task: asyncio.Task[Reply], entry: Entry | None) -> None:
        self.call = call
        self.task = task
        self.entry = entry
        self.answer: asyncio.Future[bytes] | None = None
        self.silent = False
        self.done: Callable[[asyncio.Task[Reply]], None]

    async def body(self) -> bytes:
        """The encoded reply, of a batch's member."""
        if self.answer is None:
            raise RuntimeError("not in a batch")
        return await self.answer


class Told:
    """A batch's member that was answered at once: its reply waits for the others."""

    __slots__ = ("_reply", "call")

    def __init__(self, call: Call, reply: bytes) -> None:
        self.call = call
        self._reply = reply

    async def body(self) -> bytes:
        """The encoded reply."""
        return self._reply
