"""The HTTP edge of investigations."""

from __future__ import annotations

from services.orchestrator.investigations.decisions import Decisions
from services.orchestrator.investigations.service import InvestigationsService
from shared.contracts.common import Page
from shared.contracts.investigations import (
    CANCEL_INVESTIGATION,
    GET_INVESTIGATION,
    INVESTIGATE,
    LIST_INVESTIGATIONS,
    PARK_INVESTIGATION,
    RESUME_INVESTIGATION,
    InvestigateRequest,
    Investigation,
    InvestigationDecision,
    InvestigationQuery,
)
from shared.http import Call, Route, bind


def routes(investigations: InvestigationsService, decisions: Decisions) -> list[Route]:
    """Every investigation endpoint, bound."""

    async def list_all(call: Call[InvestigationQuery, None]) -> Page[Investigation]:
        return await investigations.list_investigations(call.query)

    async def get(call: Call[None, None]) -> Investigation:
        return await investigations.get(call.path["investigation_id"])

    async def investigate(call: Call[None, InvestigateRequest]) -> Investigation:
        return await investigations.investigate(call.body, call.principal)

    async def park(call: Call[None, InvestigationDecision]) -> Investigation:
        return await decisions.park(call.path["investigation_id"], call.body, call.principal)

    async def resume(call: Call[None, InvestigationDecision]) -> Investigation:
        return await decisions.resume(call.path["investigation_id"], call.body, call.principal)

    async def cancel(call: Call[None, InvestigationDecision]) -> Investigation:
        return await decisions.cancel(call.path["investigation_id"], call.body, call.principal)

    return [
        bind(LIST_INVESTIGATIONS, list_all),
        bind(GET_INVESTIGATION, get),
        bind(INVESTIGATE, investigate),
        bind(PARK_INVESTIGATION, park),
        bind(RESUME_INVESTIGATION, resume),
        bind(CANCEL_INVESTIGATION, cancel),
    ]
