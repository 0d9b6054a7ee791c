"""What is left to do about credentials: have the provider void those of a disconnection, and seal anew under a new key.

A revocation is a row before the provider is asked, so that a crash or an outage only delays it. Each attempt holds the
row for a while; of several gateways one tries.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.gateway.cloud import domain
from services.gateway.cloud.google import Google
from services.gateway.cloud.ports import Auditor, Outcome
from services.gateway.cloud.store import REVOCABLE, CloudStore, Revocation
from shared.clock import new_id, utc_now
from shared.contracts.cloud import Provider
from shared.errors import UNAVAILABLE, AuroraError
from shared.log import get_logger
from shared.postgres import Connection as Transaction
from shared.sealing import SealBroken, Sealed, SealingKeys

#: Longer than any attempt takes.
_LEASE = timedelta(seconds=60)
_AT_ONCE = 100
_log = get_logger("cloud")


class Revocations:
    """`retry_seconds` is the first wait after a provider didn't answer, and how often it is looked what is due."""

    def __init__(
        self, store: CloudStore, keys: SealingKeys, google: Google | None, audit: Auditor, retry_seconds: float
    ) -> None:
        self._store = store
        self._keys = keys
        self._google = google
        self._audit = audit
        self._retry_seconds = retry_seconds

    async def disconnect(self, user_id: str, provider: Provider) -> None:
        """Forgets the credentials, or keeps them only to have them voided, and tries that at once."""
        revocation: Revocation | None = None
        async with self._store.database.transaction() as transaction:
            sealed = await self._store.drop(transaction, user_id, provider)
            if sealed is None:
                return
            if provider == REVOCABLE:
                revocation = await self._queued(transaction, user_id, provider, sealed)
            await self._audit.record(
                "cloud.disconnected", actor=user_id, outcome="success", target=provider, connection=transaction
            )
        if revocation is not None:
            await self._attempt(revocation)

    async def _queued(self, transaction: Transaction, user_id: str, provider: Provider, sealed: Sealed) -> Revocation:
        now = utc_now()
        revocation = Revocation(new_id(), user_id, provider, sealed, now, 1)
        await self._store.to_revoke(transaction, revocation, now + _LEASE)
        return revocation

    async def keep_house(self) -> None:
        """Runs until cancelled: revokes what is due, disconnects users who are gone, seals anew after a new key."""
        while True:
            try:
                await self._leave_the_gone()
                while (due := await self._store.claim(utc_now(), _LEASE)) is not None:
                    await self._attempt(due)
                await self._seal_anew()
            except AuroraError as error:
                _log.warning("housekeeping waits", code=error.code.code, detail=error.detail)
            await asyncio.sleep(self._retry_seconds)

    async def _attempt(self, revocation: Revocation) -> None:
        try:
            await self._revoke(revocation)
        except (AuroraError, SealBroken) as error:
            await self._failed(revocation, error)
            return
        await self._over(revocation, "success")

    async def _revoke(self, revocation: Revocation) -> None:
        if self._google is None:
            raise AuroraError(UNAVAILABLE, {"peer": revocation.provider})
        place = domain.bound_to(revocation.provider, revocation.user_id)
        await self._google.revoke(self._keys.open(revocation.sealed, place))

    async def _failed(self, revocation: Revocation, error: Exception) -> None:
        now = utc_now()
        _log.warning(
            "credentials not revoked yet",
            provider=revocation.provider,
            user=revocation.user_id,
            attempts=revocation.attempts,
            sealed_by=revocation.sealed.key_id,
            reason=str(error) or type(error).__name__,
        )
        if now - revocation.requested_at > timedelta(days=domain.GIVE_UP_DAYS):
            await self._over(revocation, "failure")
            return
        wait = domain.wait_before(revocation.attempts - 1, self._retry_seconds)
        await self._store.again(revocation.id, now + timedelta(seconds=wait))

    async def _over(self, revocation: Revocation, outcome: Outcome) -> None:
        async with self._store.database.transaction() as transaction:
            if await self._store.revoked(transaction, revocation.id):
                await self._audit.record(
                    "cloud.revoked",
                    actor=revocation.user_id,
                    outcome=outcome,
                    target=revocation.provider,
                    detail={"attempts": revocation.attempts},
                    connection=transaction,
                )

    async def _leave_the_gone(self) -> None:
        for user_id, provider in await self._store.leave_the_gone([new_id() for _ in range(_AT_ONCE)], utc_now()):
            detail = {"user": user_id, "reason": "the account is gone"}
            await self._audit.record(
                "cloud.disconnected", actor=None, outcome="success", target=provider, detail=detail
            )

    async def _seal_anew(self) -> None:
        for row in await self._store.sealed_by(self._keys.older, _AT_ONCE):
            place = domain.bound_to(row.provider, row.user_id)
            try:
                secret = self._keys.open(row.sealed, place)
            except SealBroken:
                _log.error("credentials can't be opened", provider=row.provider, sealed_by=row.sealed.key_id)
                continue
            await self._store.seal_anew(row, self._keys.seal(secret, place))
