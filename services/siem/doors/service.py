"""The acks of Splunk's HTTP Event Collector: an id is given out when its events are durable, so one that was is true.

Channels are in Postgres, so that any process of siem answers for what another gave out, also after a restart. A channel
that is forgotten begins at 0 again: a client that didn't ask before sends those events twice, and loses none.
"""

from __future__ import annotations

import asyncio

from services.siem.doors import store
from shared.contracts.doors_splunk import HecAcks
from shared.errors import AuroraError
from shared.log import get_logger
from shared.postgres import Database

_LONGEST_CHANNEL = 128
_KEPT_HOURS = 24
_MOST_CHANNELS = 100_000
_FORGET_SECONDS = 600.0
_log = get_logger("doors")


class Acks:
    """Which acks were given out to whom, on which channel. Each method raises AURORA-5030 without Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def durable(self, principal_id: str, channel: str) -> int:
        """The ack of events that are durable now."""
        return await store.give(self._database, principal_id, _name(channel))

    async def asked(self, principal_id: str, channel: str, acks: HecAcks) -> dict[str, bool]:
        """Of each id whether it was given out."""
        given = await store.given(self._database, principal_id, _name(channel))
        return {str(ack): 0 <= ack < given for ack in acks.acks}

    async def run(self) -> None:
        """Forgets channels that nobody uses; runs until cancelled."""
        while True:
            try:
                await store.forget(self._database, _KEPT_HOURS, _MOST_CHANNELS)
            except AuroraError as error:
                _log.warning("old channels stay", reason=error.code.code)
            await asyncio.sleep(_FORGET_SECONDS)


def _name(channel: str) -> str:
    # PostgreSQL has no NUL in text.
    return channel[:_LONGEST_CHANNEL].replace("\0", "")
