"""GET and PATCH /api/v1/settings/runtime, and its history."""

from __future__ import annotations

from aiohttp import hdrs, web

from services.gateway.runtime_settings.domain import expected_revision
from services.gateway.runtime_settings.service import RuntimeSettingsService
from shared.contracts.common import Page, PageQuery
from shared.contracts.settings import (
    GET_RUNTIME_SETTINGS,
    LIST_RUNTIME_CHANGES,
    UPDATE_RUNTIME_SETTINGS,
    RuntimeChange,
    RuntimeState,
    RuntimeUpdate,
)
from shared.http import Call, Route, bind, json_response


def _tagged(state: RuntimeState) -> web.StreamResponse:
    """The settings, with the revision that `If-Match` takes."""
    response = json_response(state)
    response.headers[hdrs.ETAG] = f'"{state.revision}"'
    return response


def routes(settings: RuntimeSettingsService) -> list[Route]:
    """The routes of runtime settings."""

    async def shown(_call: Call[None, None]) -> web.StreamResponse:
        return _tagged(await settings.state())

    async def update(call: Call[None, RuntimeUpdate]) -> web.StreamResponse:
        expected = expected_revision(call.request.headers.get(hdrs.IF_MATCH))
        return _tagged(await settings.update(call.principal, call.body, expected))

    async def history(call: Call[PageQuery, None]) -> Page[RuntimeChange]:
        return await settings.history(call.query)

    return [
        bind(GET_RUNTIME_SETTINGS, shown),
        bind(UPDATE_RUNTIME_SETTINGS, update),
        bind(LIST_RUNTIME_CHANGES, history),
    ]
