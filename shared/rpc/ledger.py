"""A handoff runs once (DECISIONS, "Agents"): the running ones by key, and the last replies for whoever asks again.

A second request with the key of a running one waits for the same task; after it, the kept reply is the answer. Knows no
socket and no JSON: a reply is bytes, a key is anything hashable. All in memory, so it lasts as long as the process.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from shared.errors import CONFLICT, RATE_LIMITED, AuroraError
from shared.rpc.limits import RpcLimits


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An encoded reply. `keep` is false for a refusal that a retry may turn into a result."""

    body: bytes
    keep: bool = True


@dataclass(slots=True, eq=False)
class Entry:
    """One handoff that runs: `digest` of what was asked, the task that answers, and how many requests wait for it."""

    digest: int
    task: asyncio.Task[Reply]
    waiters: int = 1


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """A reply for whoever asks again. Not the task that made it: with what hangs on that, it is many times as large."""

    until: float
    digest: int
    reply: Reply


class Ledger:
    """Running and lately finished handoffs of one server. `tasks` are all that haven't ended, abandoned ones too."""

    def __init__(self, limits: RpcLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self.tasks: set[asyncio.Task[Any]] = set()
        self._running: dict[Hashable, Entry] = {}
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0

    def enter(self, key: Hashable, digest: int, begin: Callable[[], Reply | asyncio.Task[Reply]]) -> Entry | Reply:
        """The reply, where it is kept or made at once; else the entry of `key`, to be left again. The work is begun
        only when there is neither. Raises AURORA-4090 when the key stands for another request, AURORA-4290 when too
        many run."""
        known = self._running.get(key) or self._kept.get(key)
        if isinstance(known, _Kept) and known.until <= self._clock():
            self._forget(self._clock())
            known = None
        if known is not None:
            if known.digest != digest:
                raise AuroraError(CONFLICT, {"reason": "this handoff and request id stand for another request"})
            if isinstance(known, Entry):
                known.waiters += 1
                return known
            return known.reply
        if len(self._running) >= self._limits.max_handoffs:
            raise AuroraError(RATE_LIMITED, {"max_handoffs": self._limits.max_handoffs}, retry_after=1.0)
        begun = begin()
        if isinstance(begun, Reply):
            self._keep(key, digest, begun)
            return begun
        entry = self._running[key] = Entry(digest, begun)
        self.tasks.add(begun)
        begun.add_done_callback(partial(self._finished, key, entry))
        return entry

    def leave(self, key: Hashable, entry: Entry, *, give_up: bool) -> None:
        """Takes back one `enter`. The work goes on, unless the last one to leave gives it up."""
        entry.waiters -= 1
        if give_up and entry.waiters == 0 and self._running.get(key) is entry:
            del self._running[key]
            entry.task.cancel()

    def _finished(self, key: Hashable, entry: Entry, task: asyncio.Task[Reply]) -> None:
        self.tasks.discard(task)
        if self._running.get(key) is entry:
            del self._running[key]
        if not task.cancelled() and task.exception() is None:
            self._keep(key, entry.digest, task.result())

    def _keep(self, key: Hashable, digest: int, reply: Reply) -> None:
        if not reply.keep:
            return
        now = self._clock()
        self._forget(now)
        self._kept[key] = _Kept(now + self._limits.kept_seconds, digest, reply)
        self._bytes += len(reply.body)
        while len(self._kept) > self._limits.kept_replies or self._bytes > self._limits.kept_bytes:
            self._drop_oldest()

    def _forget(self, now: float) -> None:
        # Every reply is kept equally long, so the order of arrival is the order of expiry.
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, kept = self._kept.popitem(last=False)
        self._bytes -= len(kept.reply.body)
