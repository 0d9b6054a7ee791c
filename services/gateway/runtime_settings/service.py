"""Runtime settings: what holds, who changed it and why, and that every process knows.

Postgres is the truth, NATS the messenger. Each gateway process reads the truth when NATS tells of a change, and every
few seconds besides; each makes sure that what NATS keeps is what Postgres says, also after either was away.
"""

from __future__ import annotations

import asyncio

from services.gateway.journal import Journal
from services.gateway.runtime_settings import domain, store
from services.gateway.runtime_settings.domain import NOTHING, Held
from shared.bus import Bus
from shared.clock import utc_now
from shared.contracts.common import Page, PageQuery
from shared.contracts.settings import RuntimeChange, RuntimeState, RuntimeUpdate
from shared.contracts.wire import encode, to_builtins
from shared.errors import CONFLICT, AuroraError
from shared.identity import Principal
from shared.live_settings import BUCKET, KEY, LiveSettings
from shared.log import get_logger
from shared.pages import decode_position, encode_position
from shared.postgres import Database

_LOOK_SECONDS = 5.0
_log = get_logger("settings")


class RuntimeSettingsService:
    """`live` is what this process goes by."""

    def __init__(self, database: Database, live: LiveSettings, journal: Journal) -> None:
        self._database = database
        self._live = live
        self._journal = journal
        self._held = NOTHING
        self._look = asyncio.Event()
        # Held from a read until it is taken over, so that no older state follows a newer one.
        self._reading = asyncio.Lock()

    async def state(self) -> RuntimeState:
        """What holds. Raises AURORA-5030."""
        await self.refresh()
        return domain.state(self._held, self._live.current)

    async def update(self, who: Principal, asked: RuntimeUpdate, revision: int | None) -> RuntimeState:
        """Changes settings here at once, and everywhere as NATS tells it. A change to what holds already is none.

        Raises AURORA-4090 when `revision` is given and isn't what holds, 4220 when no setting is named, 5030.
        """
        async with self._database.transaction() as connection:
            before = await store.newest_locked(connection)
            if revision is not None and revision != before.revision:
                detail = {"revision": before.revision}
                raise AuroraError(CONFLICT, detail, message="The settings were changed meanwhile")
            after = domain.changed(before, asked, (who.id, who.name), utc_now())
            if after.change is not None and after is not before:
                await store.add(connection, after, after.change)
                detail_of_change = {"revision": after.revision, "reason": asked.reason}
                detail_of_change |= {"changed": to_builtins(after.change.changed)}
                await self._journal.record(
                    "settings.changed",
                    actor=who.id,
                    outcome="success",
                    target="runtime",
                    detail=detail_of_change,
                    connection=connection,
                )
        async with self._reading:
            self._take(after)
        self._look.set()
        return domain.state(after, self._live.current)

    async def history(self, query: PageQuery) -> Page[RuntimeChange]:
        """Changes, newest first. Raises AURORA-4220 for a cursor that isn't ours, 5030."""
        found = await store.history(self._database, decode_position(query.cursor), query.limit + 1)
        more = len(found) > query.limit
        shown = found[: query.limit]
        return Page(shown, encode_position(shown[-1].revision) if more else None)

    async def refresh(self) -> None:
        """Takes over what Postgres says. Raises AURORA-5030."""
        async with self._reading:
            self._take(await store.newest(self._database))

    def _take(self, held: Held) -> None:
        self._held = held
        self._live.apply(held.told())

    async def listen(self, bus: Bus) -> None:
        """Runs until cancelled: looks when NATS tells of a change that isn't known here."""
        async for value in bus.watch(BUCKET, KEY):
            if not domain.is_told(value, self._held):
                self._look.set()

    async def tell(self, bus: Bus) -> None:
        """Runs until cancelled: reads the truth and has NATS keep it."""
        while True:
            self._look.clear()
            try:
                await self.refresh()
                await self._publish(bus)
            except AuroraError as error:
                _log.warning("runtime settings wait", code=error.code.code, detail=error.detail)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                continue

    async def _publish(self, bus: Bus) -> None:
        held = self._held
        kept, revision = await bus.value(BUCKET, KEY)
        if domain.is_told(kept, held):
            return
        if not await bus.replace(BUCKET, KEY, encode(held.told()), revision):
            self._look.set()  # another process was faster: what it put there may be newer
