"""The HandoffTool: one recorded call to one specialist, sent once, resumed after a crash, bounded in time.

A dispatch is stored before it is sent and its handoff with it, so that a process that starts again sends the same
handoff and the agent answers from what it already did.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from services.orchestrator.dispatch import store
from services.orchestrator.handoffs import NewDispatch, Stored
from services.orchestrator.settings import OrchestratorSettings
from shared import telemetry
from shared.clock import new_id, utc_now
from shared.contracts.agents import AGENT_CAPABILITIES, Budget, Handoff
from shared.contracts.catalog import METHODS
from shared.contracts.common import Page
from shared.contracts.constants import Method
from shared.contracts.investigations import DispatchQuery, DispatchRecord, DispatchRequest
from shared.contracts.wire import encode, to_builtins
from shared.errors import (
    AGENT_NOT_FOUND,
    DEADLINE_EXCEEDED,
    INTERNAL,
    UNAVAILABLE,
    VALIDATION,
    AuroraError,
    field_error,
)
from shared.identity import Principal
from shared.log import get_logger
from shared.pages import decode_position, encode_position
from shared.postgres import Connection, Database
from shared.rpc import Fleet

_RETRY_SECONDS = 0.5
_log = get_logger("dispatch")


class Dispatcher:
    """Calls specialists and keeps what they were asked and what they said; `keep` keeps more of it in the same
    transaction."""

    def __init__(
        self, database: Database, agents: Fleet, settings: OrchestratorSettings, keep: store.Keep | None = None
    ) -> None:
        self._database = database
        self._agents = agents
        self._settings = settings
        self._keep = keep

    def has(self, agent: str) -> bool:
        """Whether this specialist is there: somewhere, or where it is configured to be."""
        return self._agents.has(agent)

    async def list_dispatches(self, query: DispatchQuery) -> Page[DispatchRecord]:
        """A page, newest first."""
        rows = await store.page(self._database, query, decode_position(query.cursor))
        shown = rows[: query.limit]
        more = len(rows) > query.limit
        return Page([record for _, record in shown], encode_position(shown[-1][0]) if more else None)

    async def dispatch(self, request: DispatchRequest, caller: Principal) -> DispatchRecord:
        """One call outside an investigation, answered when it is done.

        Raises AURORA-4043 for an unknown agent, 4220 for an unknown method or params that don't fit it, and 5030 or
        5040 when the agent can't be reached or takes too long; the record then says so too.
        """
        if not self.has(request.agent):
            raise AuroraError(AGENT_NOT_FOUND, {"agent": request.agent, "agents": self._agents.names()})
        _decode_params(_method(request.method), request.params)
        _require_sendable(request.params)
        new = NewDispatch(
            id=new_id(),
            agent=request.agent,
            method=request.method,
            params=request.params,
            reason=request.reason,
            requested_by=caller.id,
            capabilities=[name for name in AGENT_CAPABILITIES if caller.may(name)],
        )
        await store.insert(self._database, new, utc_now())
        stored = await self.execute(new.id, seconds=request.timeout_seconds)
        if stored.record.status == "failed":
            raise _failure(stored.record)
        return stored.record

    async def execute(self, identifier: str, *, seconds: float | None = None) -> Stored:
        """Sends a stored dispatch unless it is finished; how it ended. Never raises for what an agent did."""
        stored = await store.find(self._database, identifier)
        if stored is None:
            raise AuroraError(INTERNAL)
        if stored.record.status in ("completed", "failed", "skipped"):
            return stored
        handoff = self._handoff(stored, seconds)
        await store.start(self._database, identifier, handoff, utc_now())
        try:
            result = await self._send(stored.record, handoff)
        except AuroraError as error:
            return await self._failed(handoff, error)
        try:
            answer = to_builtins(result)
            return await store.finish(self._database, identifier, "completed", answer, None, utc_now(), self._keep)
        except AuroraError as error:
            if error.code is not VALIDATION:
                raise
            # The store can't hold the answer (U+0000 in a text); asking again would bring the same.
            return await self._failed(handoff, error)

    async def _failed(self, handoff: Handoff, error: AuroraError) -> Stored:
        _log.warning("handoff failed", handoff_id=handoff.handoff_id, agent=handoff.to, code=error.code.code)
        identifier = handoff.handoff_id.partition(".")[0]
        text = f"{error.code.code} {error.message}"
        return await store.finish(self._database, identifier, "failed", None, text, utc_now())

    def _handoff(self, stored: Stored, seconds: float | None) -> Handoff:
        """The handoff that was sent before, while there is time left on it; else a new one."""
        now = utc_now()
        budget = stored.budget or Budget(self._settings.step_tool_calls, seconds or self._settings.step_seconds)
        sent = stored.handoff
        if sent is not None and sent.deadline > now + timedelta(seconds=1):
            return sent
        record = stored.record
        return Handoff(
            handoff_id=record.id if sent is None else f"{record.id}.{new_id()}",
            from_="orchestrator",
            to=record.agent,
            deadline=now + timedelta(seconds=budget.seconds),
            budget=budget,
            capabilities=stored.capabilities,
            reason=record.reason,
            traceparent=telemetry.traceparent(),
            investigation_id=record.investigation_id,
            address=self._agents.place(record.agent),
        )

    async def _send(self, record: DispatchRecord, handoff: Handoff) -> Any:
        """Keeps trying an agent that can't be reached for `unreachable_seconds`: a restart takes a few."""
        method = _method(record.method)
        params = _decode_params(method, record.params)
        give_up = utc_now() + timedelta(seconds=self._settings.unreachable_seconds)
        while True:
            remaining = (handoff.deadline - utc_now()).total_seconds()
            if remaining <= 0:
                raise AuroraError(DEADLINE_EXCEEDED, {"agent": record.agent})
            try:
                return await self._agents.call(record.agent, method, params, handoff=handoff, timeout=remaining)
            except AuroraError as error:
                if error.code is not UNAVAILABLE or utc_now() > give_up:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    async def plan(self, steps: Sequence[NewDispatch]) -> None:
        """Stores steps of an investigation, all or none; each once, however often it is planned."""
        now = utc_now()
        async with self._database.transaction() as connection:
            for new in steps:
                await store.insert(connection, new, now)

    async def halt(self, connection: Connection, investigation_id: str, skipped: str | None) -> None:
        """Stops what isn't finished of an investigation: for good with the reason, or (None) until it goes on."""
        await store.halt(connection, investigation_id, skipped, utc_now())

    async def steps(self, investigation_id: str) -> list[Stored]:
        """The steps of one investigation, oldest first."""
        return await store.of_investigations(self._database, [investigation_id])

    async def records(
        self, investigation_ids: Sequence[str], connection: Connection | None = None
    ) -> list[DispatchRecord]:
        """The steps of some investigations, oldest first; as the caller's transaction sees them, if it has one."""
        found = await store.of_investigations(connection or self._database, investigation_ids)
        return [stored.record for stored in found]


def _method(name: str) -> Method[Any, Any]:
    method = METHODS.get(name)
    if method is None:
        raise field_error("body.method", f"unknown; one of {', '.join(sorted(METHODS))}")
    return method


def _require_sendable(params: Mapping[str, Any]) -> None:
    try:
        encode(params)
    except TypeError as error:
        raise field_error("body.params", "holds a number beyond 64 bits, or is nested too deeply") from error


def _decode_params(method: Method[Any, Any], params: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(params, method.params)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        path = "body.params" + place.rstrip("`")
        raise AuroraError(VALIDATION, [{"path": path, "message": message}]) from error


def _failure(record: DispatchRecord) -> AuroraError:
    code = DEADLINE_EXCEEDED if (record.error or "").startswith(DEADLINE_EXCEEDED.code) else UNAVAILABLE
    return AuroraError(code, {"dispatch_id": record.id, "agent": record.agent, "error": record.error})
