"""Idempotency-Key: a write that is sent again under the same key is answered again, not done again.

The key is claimed before the write begins, and let go if the write had no final answer, so that it may be tried again.
A claim is a lease: it is renewed while the write is done, and runs out soon after its process died. Records live in
Redis for 24 hours, sealed; without Redis a write that asks for this is refused (AURORA-5030).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from services.gateway.idempotency import domain
from services.gateway.idempotency.domain import Kept, Record
from shared.cache import Cache
from shared.errors import CONFLICT, AuroraError
from shared.log import get_logger
from shared.sealing import SealBroken, Sealed, SealingKeys

_RENEWALS_A_LEASE = 4
_log = get_logger("idempotency")


@dataclass(slots=True)
class Claim:
    """A key that is taken. `record` is what becomes of the write: None lets the key go."""

    place: str
    mark: bytes
    record: Record | None = None


class Idempotency:
    """The records of one installation. So long after the death of a process others may take the keys it had claimed."""

    def __init__(self, cache: Cache, seals: SealingKeys, *, lease_seconds: int) -> None:
        self._cache = cache
        self._seals = seals
        self._lease_seconds = lease_seconds
        self._held: dict[str, Claim] = {}

    async def begin(self, place: str) -> Claim | Record:
        """A claim: the write may begin. Else what is known of the write that was done under this key.

        Raises AURORA-4090 when it is being done, or when what is known of it can't be told any more.
        """
        mark = msgspec.msgpack.encode(Kept(mark=os.urandom(16)))
        if await self._cache.set(place, mark, ttl_seconds=self._lease_seconds, only_if_new=True):
            return Claim(place, mark)
        known = await self._cache.get(place)
        kept = None if known is None else msgspec.msgpack.decode(known, type=Kept)
        if kept is None or kept.mark:
            raise AuroraError(CONFLICT, message="A request with this Idempotency-Key is being worked on", retry_after=1)
        try:
            record = self._seals.open(Sealed(kept.seal, kept.box), place)
        except SealBroken as error:
            raise AuroraError(CONFLICT, message="The answer to this Idempotency-Key can't be told again") from error
        return msgspec.msgpack.decode(record, type=Record)

    @asynccontextmanager
    async def held(self, claim: Claim) -> AsyncIterator[None]:
        """Holds the claim while the block does the write, and then keeps `claim.record` or lets the key go."""
        self._held[claim.place] = claim
        try:
            yield
        finally:
            del self._held[claim.place]
            # The write is done: a lost Redis is only logged.
            try:
                await self._finish(claim)
            except AuroraError as error:
                _log.warning("answer not kept", code=error.code.code)

    async def renew(self) -> None:
        """Renews the claims that are held, for as long as the process runs."""
        while True:
            await asyncio.sleep(self._lease_seconds / _RENEWALS_A_LEASE)
            for claim in list(self._held.values()):
                try:
                    await self._cache.replace(claim.place, claim.mark, claim.mark, ttl_seconds=self._lease_seconds)
                except AuroraError as error:
                    _log.warning("claims not renewed", code=error.code.code, held=len(self._held))
                    break

    async def _finish(self, claim: Claim) -> None:
        if claim.record is None or not domain.is_final(claim.record.status):
            await self._cache.replace(claim.place, claim.mark, None, ttl_seconds=0)
            return
        sealed = self._seals.seal(msgspec.msgpack.encode(claim.record), claim.place)
        kept = msgspec.msgpack.encode(Kept(seal=sealed.key_id, box=sealed.box))
        if await self._cache.replace(claim.place, claim.mark, kept, ttl_seconds=domain.KEEP_SECONDS):
            return
        # The claim ran out. Unless somebody else took the key, the answer is still the one to tell.
        if not await self._cache.set(claim.place, kept, ttl_seconds=domain.KEEP_SECONDS, only_if_new=True):
            _log.warning("a write outlived the claim of its Idempotency-Key")


def require_same(record: Record, fingerprint: bytes) -> None:
    """Raises AURORA-4090 unless the record can answer a request with this fingerprint."""
    if record.fingerprint != fingerprint:
        raise AuroraError(CONFLICT, message="This Idempotency-Key was used for another request")
    if record.too_large:
        raise AuroraError(CONFLICT, message="The answer to this Idempotency-Key was too large to keep")
