"""The HTTP edge of suppressions."""

from __future__ import annotations

from services.siem.suppressions.service import Suppressions
from shared.contracts.common import Page, PageQuery
from shared.contracts.suppressions import (
    CREATE_SUPPRESSION,
    END_SUPPRESSION,
    LIST_SUPPRESSED,
    LIST_SUPPRESSIONS,
    PREVIEW_SUPPRESSION,
    SuppressedMatch,
    Suppression,
    SuppressionCreate,
    SuppressionPreview,
)
from shared.http import Call, Route, bind


def routes(suppressions: Suppressions) -> list[Route]:
    """Every suppression endpoint, bound."""

    async def list_of(call: Call[PageQuery, None]) -> Page[Suppression]:
        return await suppressions.list_of(call.path["rule_id"], call.query)

    async def create(call: Call[None, SuppressionCreate]) -> Suppression:
        return await suppressions.create(call.path["rule_id"], call.body, call.principal.name)

    async def preview(call: Call[None, SuppressionCreate]) -> SuppressionPreview:
        return await suppressions.preview(call.path["rule_id"], call.body)

    async def end(call: Call[None, None]) -> Suppression:
        return await suppressions.end(call.path["rule_id"], call.path["suppression_id"], call.principal.name)

    async def hidden(call: Call[PageQuery, None]) -> Page[SuppressedMatch]:
        return await suppressions.hidden_by(call.path["rule_id"], call.path["suppression_id"], call.query)

    return [
        bind(LIST_SUPPRESSIONS, list_of),
        bind(CREATE_SUPPRESSION, create),
        bind(PREVIEW_SUPPRESSION, preview),
        bind(END_SUPPRESSION, end),
        bind(LIST_SUPPRESSED, hidden),
    ]
