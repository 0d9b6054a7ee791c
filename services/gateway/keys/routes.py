"""Create, list, rotate and revoke API keys."""

from __future__ import annotations

from services.gateway.keys.service import Keys
from shared.contracts.common import Page, PageQuery
from shared.contracts.keys import (
    CREATE_API_KEY,
    LIST_API_KEYS,
    REVOKE_API_KEY,
    ROTATE_API_KEY,
    ApiKey,
    CreateApiKey,
    CreatedApiKey,
    RotateApiKey,
)
from shared.http import Call, Route, bind


def routes(keys: Keys) -> list[Route]:
    """The routes of API keys."""

    async def listed(call: Call[PageQuery, None]) -> Page[ApiKey]:
        return await keys.page(call.principal, call.query.cursor, call.query.limit)

    async def create(call: Call[None, CreateApiKey]) -> CreatedApiKey:
        return await keys.create(call.principal, call.body)

    async def revoke(call: Call[None, None]) -> None:
        await keys.revoke(call.principal, call.path["key_id"])

    async def rotate(call: Call[None, RotateApiKey]) -> CreatedApiKey:
        return await keys.rotate(call.principal, call.path["key_id"], call.body)

    return [
        bind(LIST_API_KEYS, listed),
        bind(CREATE_API_KEY, create),
        bind(REVOKE_API_KEY, revoke),
        bind(ROTATE_API_KEY, rotate),
    ]
