"""Idempotency-Key: a write that is sent again under the same key is answered again, not done again.

The key is taken before the write begins and let go if the write had no final answer, so that it may be tried again.
Records live in Redis for 24 hours; without Redis a write that asks for this is refused (AURORA-5030).
"""

from __future__ import annotations

import msgspec

from services.gateway.idempotency import domain
from services.gateway.idempotency.domain import Answer, Record
from shared.cache import Cache
from shared.errors import CONFLICT, AuroraError
from shared.log import get_logger

_log = get_logger("idempotency")


class Idempotency:
    """The records of one installation. `running_seconds` bounds how long a write may take."""

    def __init__(self, cache: Cache, *, running_seconds: int) -> None:
        self._cache = cache
        self._running_seconds = running_seconds

    async def begin(self, key: str) -> Record | None:
        """None: the key is taken now, and the write may begin. Else what is known of the write that took it."""
        running = msgspec.msgpack.encode(Record("running"))
        if await self._cache.set(key, running, ttl_seconds=self._running_seconds, only_if_new=True):
            return None
        known = await self._cache.get(key)
        return Record("running") if known is None else msgspec.msgpack.decode(known, type=Record)

    async def finish(self, key: str, fingerprint: bytes, answer: Answer) -> None:
        """Keeps a final answer; lets the key go after any other. The write is done: a lost Redis is only logged."""
        try:
            if answer.final:
                record = msgspec.msgpack.encode(answer.record(fingerprint))
                await self._cache.set(key, record, ttl_seconds=domain.KEEP_SECONDS)
            else:
                await self._cache.delete(key)
        except AuroraError as error:
            _log.warning("answer not kept", code=error.code.code)


def require_same(record: Record, fingerprint: bytes) -> None:
    """Raises AURORA-4090 unless the record can answer a request with this fingerprint."""
    if record.state == "running":
        raise AuroraError(CONFLICT, message="A request with this Idempotency-Key is being worked on", retry_after=1)
    if record.fingerprint != fingerprint:
        raise AuroraError(CONFLICT, message="This Idempotency-Key was used for another request")
    if record.state == "too large":
        raise AuroraError(CONFLICT, message="The answer to this Idempotency-Key was too large to keep")
