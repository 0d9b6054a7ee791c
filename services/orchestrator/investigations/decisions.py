"""What people decide about an investigation: park it, resume it, cancel it. Each is kept with who, when and why."""

from __future__ import annotations

from typing import Literal, Protocol

from services.orchestrator.investigations import domain, store
from shared.clock import utc_now
from shared.contracts.investigations import Decision, Investigation, InvestigationDecision, InvestigationStatus
from shared.errors import CONFLICT, NOT_FOUND, AuroraError
from shared.identity import Principal
from shared.postgres import Connection, Database, Record

Action = Literal["park", "resume", "cancel"]
_OPEN = ("queued", "running")


class Steps(Protocol):
    """Where the steps of investigations are kept (the dispatch feature)."""

    async def halt(self, connection: Connection, investigation_id: str, skipped: str | None) -> None:
        """Stops what isn't finished: for good with the reason, or (None) until it goes on."""


class Investigations(Protocol):
    """Who shows investigations and tells of their changes."""

    async def tell_change(self, connection: Connection, row: Record) -> None:
        """Writes the event of a change into the caller's transaction."""

    def let_go(self) -> None:
        """Tells the workers that the change has committed."""

    async def get(self, identifier: str) -> Investigation:
        """Raises AURORA-4040."""


class Decisions:
    """Decisions about the investigations of one schema."""

    def __init__(self, database: Database, steps: Steps, investigations: Investigations) -> None:
        self._database = database
        self._steps = steps
        self._investigations = investigations

    async def park(self, identifier: str, body: InvestigationDecision, caller: Principal) -> Investigation:
        """It keeps what it found and waits until it is resumed; parked again it stays as it is. Raises AURORA-4040, and
        4090 for one that has ended."""
        return await self._decide(identifier, "park", body.reason, caller)

    async def resume(self, identifier: str, body: InvestigationDecision, caller: Principal) -> Investigation:
        """It waits for a worker again and goes on where it was. Raises AURORA-4040, and 4090 for one that isn't
        parked."""
        return await self._decide(identifier, "resume", body.reason, caller)

    async def cancel(self, identifier: str, body: InvestigationDecision, caller: Principal) -> Investigation:
        """It ends now, with what it found; running handoffs are taken back. Cancelled again it stays as it is. Raises
        AURORA-4040, and 4090 for one that has ended otherwise."""
        return await self._decide(identifier, "cancel", body.reason, caller)

    async def _decide(self, identifier: str, action: Action, reason: str, caller: Principal) -> Investigation:
        async with self._database.transaction() as connection:
            row = await store.find_locked(connection, identifier)
            if row is None:
                raise AuroraError(NOT_FOUND, message="Investigation not found")
            if not _is_so_already(row, action):
                _require_possible(row, action)
                await self._write(connection, row, Decision(action=action, by=caller.id, at=utc_now(), reason=reason))
        self._investigations.let_go()
        return await self._investigations.get(identifier)

    async def _write(self, connection: Connection, row: Record, decision: Decision) -> None:
        status: InvestigationStatus = "queued"
        due = None
        if decision.action == "resume":
            due = domain.due_at(decision.at, row["priority"])
        else:
            cancelled = decision.action == "cancel"
            status = "cancelled" if cancelled else "queued"
            await self._steps.halt(connection, row["id"], "cancelled" if cancelled else None)
        row = await store.decide(connection, row, decision, status, due)
        await self._investigations.tell_change(connection, row)


def _is_so_already(row: Record, action: Action) -> bool:
    return bool(row["status"] == "cancelled" if action == "cancel" else action == "park" and row["parked_at"])


def _require_possible(row: Record, action: Action) -> None:
    status: str = row["status"]
    if status not in _OPEN:
        raise AuroraError(CONFLICT, {"status": status}, message="The investigation has ended")
    if action == "resume" and row["parked_at"] is None:
        raise AuroraError(CONFLICT, {"status": status}, message="The investigation is not parked")
