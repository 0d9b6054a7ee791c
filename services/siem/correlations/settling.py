"""The clock of correlations: reads stretches once they are complete, and drops what no window needs any more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from services.siem.correlations import store
from services.siem.correlations.service import Correlations
from services.siem.hit import Correlated
from shared.clock import utc_now
from shared.errors import AuroraError
from shared.log import get_logger
from shared.outbox import Outbox
from shared.postgres import Connection, Database

_LOOK_SECONDS = 1.0
_PRUNE_SECONDS = 600.0
_LOSSES_KEPT = timedelta(days=90)
_log = get_logger("correlations")


class Teller(Protocol):
    """The way from what fired to alerts (the detections feature)."""

    async def tell(self, connection: Connection, correlated: Sequence[Correlated]) -> object:
        """Records and raises it, in the caller's transaction."""


class Settling:
    """Reads what has become complete for as long as it runs."""

    def __init__(self, database: Database, correlations: Correlations, teller: Teller, outbox: Outbox) -> None:
        self._database = database
        self._correlations = correlations
        self._teller = teller
        self._outbox = outbox

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                while await self._some():
                    continue
            except AuroraError as error:
                _log.warning("complete windows wait", reason=error.code.code)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _some(self) -> bool:
        async with self._database.transaction() as connection:
            correlated, more = await self._correlations.settle(connection)
            await self._teller.tell(connection, correlated)
        if correlated:
            self._outbox.wake()
        return more

    async def prune(self) -> None:
        """Drops what has expired, again and again, until cancelled."""
        while True:
            now = utc_now()
            try:
                await store.prune(self._database, now, now - _LOSSES_KEPT)
            except AuroraError as error:
                _log.warning("expired events stay", reason=error.code.code)
            await asyncio.sleep(_PRUNE_SECONDS)
