"""The audit log: takes what features tell, keeps it, and tells it on as an event of the same transaction.

What is told with a connection commits with the act itself. What is told without one, as a refused sign-in, waits in a
bounded queue and is written within a second by one task, many at once: a stranger's attempt must not cost a
transaction while they wait. Whoever finds the queue full waits. Nothing here decides what is worth a record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from services.gateway.audit import domain, store
from services.gateway.audit.domain import Minute
from shared import telemetry
from shared.clock import new_id, utc_now
from shared.contracts.audit import AUDIT_RECORDED, AuditOutcome, AuditQuery, AuditRecord
from shared.contracts.common import Page
from shared.errors import AuroraError, field_error
from shared.log import get_logger
from shared.outbox import Outbox
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database

_WAITING = 2_000
_TOGETHER = 200
_RETRY_SECONDS = 0.5
_log = get_logger("audit")
Waiting = tuple[AuditRecord, dict[str, str]]


class Audit:
    """`where` is the address of the request being handled, for those who don't know it."""

    def __init__(self, database: Database, outbox: Outbox, where: Callable[[], str | None]) -> None:
        self._database = database
        self._outbox = outbox
        self._where = where
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue(_WAITING)
        self._taken: list[Waiting] = []
        self._minute = Minute()

    async def record(
        self,
        action: str,
        *,
        actor: str | None,
        outcome: AuditOutcome,
        target: str | None = None,
        address: str | None = None,
        request_id: str | None = None,
        detail: Mapping[str, object] | None = None,
        connection: Connection | None = None,
    ) -> None:
        """Keeps one act: in the caller's transaction when there is a `connection`, else within a second.

        `address` and `request_id` are those of the request being handled when not given. Raises AURORA-5030 only with a
        connection.
        """
        ids = telemetry.headers()
        place = address or self._where()
        if action in domain.FIRST_OF_A_MINUTE and not self._minute.first(action, place, time.time()):
            return
        record = AuditRecord(
            id=new_id(),
            at=utc_now(),
            action=action,
            outcome=outcome,
            actor=domain.text(actor),
            target=domain.text(target),
            address=domain.text(place),
            request_id=domain.text(request_id or ids.get(telemetry.REQUEST_ID_HEADER)),
            detail=domain.detail(detail),
        )
        if connection is None:
            await self._queue.put((record, ids))
        else:
            await self._add(connection, record)

    async def _add(self, connection: Connection, record: AuditRecord) -> None:
        if await store.add(connection, record):
            await self._outbox.add(connection, AUDIT_RECORDED, record)

    async def run(self) -> None:
        """Writes what waits, until cancelled. While Postgres is away it keeps what it took and tries again."""
        while True:
            if not self._taken:
                self._taken.append(await self._queue.get())
            try:
                await self.flush()
            except AuroraError as error:
                _log.warning("audit records wait", code=error.code.code, records=len(self._taken))
                await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Writes everything that waits now. Raises AURORA-5030; then it still waits."""
        while self._taken or not self._queue.empty():
            while len(self._taken) < _TOGETHER and not self._queue.empty():
                self._taken.append(self._queue.get_nowait())
            async with self._database.transaction() as connection:
                for record, ids in self._taken:
                    with telemetry.continued("audit", ids):
                        await self._add(connection, record)
            self._taken = []
            self._outbox.wake()

    async def close(self) -> None:
        """Writes what still waits at the end; what can't be written is told in the log, so that it isn't lost."""
        try:
            await self.flush()
        except AuroraError:
            while not self._queue.empty():
                self._taken.append(self._queue.get_nowait())
            for record, _ in self._taken:
                _log.error("audit record not written", action=record.action, actor=record.actor, target=record.target)

    async def page(self, query: AuditQuery) -> Page[AuditRecord]:
        """Records, newest first. Raises AURORA-4220 for a cursor that isn't ours or a time without a zone."""
        for name, moment in (("since", query.since), ("until", query.until)):
            if moment is not None and moment.tzinfo is None:
                raise field_error(f"query.{name}", "must have a time zone")
        found = await store.page(self._database, query, decode_position(query.cursor))
        more = len(found) > query.limit
        shown = found[: query.limit]
        return Page([record for _, record in shown], encode_position(shown[-1][0]) if more else None)
