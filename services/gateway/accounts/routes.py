"""GET /api/v1/users/me."""

from __future__ import annotations

from services.gateway.accounts.service import Accounts
from shared.contracts.identity import GET_CURRENT_USER, UserProfile
from shared.errors import INSUFFICIENT_PERMISSIONS, AuroraError
from shared.http import Call, Route, bind


def routes(accounts: Accounts) -> list[Route]:
    """The routes of accounts."""

    async def current_user(call: Call[None, None]) -> UserProfile:
        if call.principal.kind != "user":
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user has a profile")
        return await accounts.profile(call.principal.id)

    return [bind(GET_CURRENT_USER, current_user)]
