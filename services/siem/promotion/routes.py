"""The HTTP edge of promotion."""

from __future__ import annotations

from services.siem.promotion.service import Promotion
from shared.contracts.promotion import PROMOTE_LOG, PromotedLog, PromoteLog
from shared.http import Call, Route, bind


def routes(promotion: Promotion) -> list[Route]:
    """The endpoint, bound."""

    async def promote(call: Call[None, PromoteLog]) -> PromotedLog:
        return await promotion.promote(call.path["log_id"], call.body, call.principal.name)

    return [bind(PROMOTE_LOG, promote)]
