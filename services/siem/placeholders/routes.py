"""The HTTP edge of placeholders."""

from __future__ import annotations

from services.siem.placeholders.service import PlaceholdersService
from shared.contracts.common import Page, PageQuery
from shared.contracts.placeholders import (
    DELETE_PLACEHOLDER,
    GET_PLACEHOLDER,
    LIST_PLACEHOLDER_VERSIONS,
    LIST_PLACEHOLDERS,
    PUT_PLACEHOLDER,
    Placeholder,
    PlaceholderChange,
    PlaceholderUpdate,
)
from shared.http import Call, Route, bind


def routes(placeholders: PlaceholdersService) -> list[Route]:
    """Every placeholder endpoint, bound."""

    async def list_of(call: Call[PageQuery, None]) -> Page[Placeholder]:
        return await placeholders.list_of(call.query)

    async def get(call: Call[None, None]) -> Placeholder:
        return await placeholders.get(call.path["name"])

    async def put(call: Call[None, PlaceholderUpdate]) -> PlaceholderChange:
        return await placeholders.put(call.path["name"], call.body, call.principal.name)

    async def delete(call: Call[None, None]) -> PlaceholderChange:
        return await placeholders.delete(call.path["name"], call.principal.name)

    async def versions(call: Call[PageQuery, None]) -> Page[Placeholder]:
        return await placeholders.versions(call.path["name"], call.query)

    return [
        bind(LIST_PLACEHOLDERS, list_of),
        bind(GET_PLACEHOLDER, get),
        bind(PUT_PLACEHOLDER, put),
        bind(DELETE_PLACEHOLDER, delete),
        bind(LIST_PLACEHOLDER_VERSIONS, versions),
    ]
