"""The HTTP edge of dispatches."""

from __future__ import annotations

from services.orchestrator.dispatch.service import Dispatcher
from shared.contracts.common import Page
from shared.contracts.investigations import (
    DISPATCH,
    LIST_DISPATCHES,
    DispatchQuery,
    DispatchRecord,
    DispatchRequest,
)
from shared.http import Call, Route, bind


def routes(dispatcher: Dispatcher) -> list[Route]:
    """Both dispatch endpoints, bound."""

    async def dispatch(call: Call[None, DispatchRequest]) -> DispatchRecord:
        return await dispatcher.dispatch(call.body, call.principal)

    async def history(call: Call[DispatchQuery, None]) -> Page[DispatchRecord]:
        return await dispatcher.list_dispatches(call.query)

    return [bind(DISPATCH, dispatch), bind(LIST_DISPATCHES, history)]
