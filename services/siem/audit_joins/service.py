"""Audit records of one serial that came in several requests: looked at together once all have had time to arrive.

A shipper that sends line by line tears what the kernel says of one syscall apart. Intake stores and evaluates each
record as it comes, without the views that need its siblings; a batch with such records is given out again here after
it is complete. Owns that second look. What a match leads to is the detections feature's business, and one that was
found before is no news there, so a crash in between costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from services.siem.detections.engine import CompiledRule, Engine
from services.siem.logs.store import StoredRow
from services.siem.match import Failure, Match
from shared.clickhouse import LimitExceededError, unavailable
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Connection, Database

_LOOK_SECONDS = 0.5
_RETRY_SECONDS = 1.0
_PRODUCT = "linux"
_log = get_logger("audit-joins")

Evaluate = Callable[[Sequence[StoredRow], Engine], Awaitable[tuple[list[Match], list[Failure]]]]


class Batches(Protocol):
    """Which batches have records that others complete (the worklist feature)."""

    async def take_apart(self, connection: Connection) -> list[int]:
        """Some whose records have had time to arrive, off the list when the caller commits."""

    async def put_off(self, seqs: Sequence[int]) -> None:
        """Gives them out later, each alone."""


class Rows(Protocol):
    """Where stored records come from (the logs feature)."""

    async def apart(self, seqs: Sequence[int]) -> list[StoredRow]:
        """Those of batches that others complete, with their siblings."""


class Rules(Protocol):
    """The rules that live detection serves."""

    def of_product(self, product: str) -> list[CompiledRule]:
        """Those that may match events of a product."""


class Detection(Protocol):
    """The way from matches to alerts (the detections feature)."""

    async def refresh(self) -> None:
        """Takes over every rule that changed."""

    async def commit(self, connection: Connection, matches: list[Match], failures: list[Failure]) -> Any:
        """What follows from matches, in the caller's transaction."""


class AuditJoins:
    """Works on some batches at a time; several processes may do so on different ones."""

    def __init__(
        self,
        database: Database,
        batches: Batches,
        rows: Rows,
        rules: Rules,
        detection: Detection,
        outbox: Outbox,
        evaluate: Evaluate,
    ) -> None:
        self._database = database
        self._batches = batches
        self._rows = rows
        self._rules = rules
        self._detection = detection
        self._outbox = outbox
        self._evaluate = evaluate
        self._served: list[CompiledRule] = []
        self._engine = Engine()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                busy = await self._next()
            except AuroraError as error:
                _log.warning("audit records wait", reason=error.code.code)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                if not busy:
                    await asyncio.sleep(_LOOK_SECONDS)

    async def _next(self) -> bool:
        """Looks at what is due; False when nothing is."""
        seqs: list[int] = []
        try:
            async with self._database.transaction() as connection:
                seqs = await self._batches.take_apart(connection)
                if not seqs:
                    return False
                await self._look_at(connection, seqs)
        except Exception as error:  # a batch that breaks must not hold up those behind it
            if not seqs:
                raise
            _log.warning("audit records not joined yet", batches=seqs, exc_info=error)
            await self._batches.put_off(seqs)
        self._outbox.wake()
        return True

    async def _look_at(self, connection: Connection, seqs: Sequence[int]) -> None:
        try:
            rows = await self._rows.apart(seqs)
        except LimitExceededError as error:
            raise unavailable() from error
        await self._detection.refresh()
        matches, failures = await self._evaluate(rows, await self._current())
        await self._detection.commit(connection, matches, failures)

    async def _current(self) -> Engine:
        """An engine of the rules that a Linux event can match; made again when one of them changed."""
        served = self._rules.of_product(_PRODUCT)
        if len(served) != len(self._served) or any(a is not b for a, b in zip(served, self._served, strict=True)):
            self._engine = await asyncio.to_thread(Engine, served)
            self._served = served
        return self._engine
