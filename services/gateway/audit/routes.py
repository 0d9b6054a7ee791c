"""GET /api/v1/audit."""

from __future__ import annotations

from services.gateway.audit.service import Audit
from shared.contracts.audit import LIST_AUDIT, AuditQuery, AuditRecord
from shared.contracts.common import Page
from shared.http import Call, Route, bind


def routes(audit: Audit) -> list[Route]:
    """The routes of the audit log."""

    async def listed(call: Call[AuditQuery, None]) -> Page[AuditRecord]:
        return await audit.page(call.query)

    return [bind(LIST_AUDIT, listed)]
