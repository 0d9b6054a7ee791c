"""One handler for every endpoint that another service owns: check the permission, pass it on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from services.gateway.proxy.service import Forwarder
from shared.contracts.constants import Endpoint
from shared.identity import Principal

AnyEndpoint = Endpoint[Any, Any, Any]
IDEMPOTENCY_KEY = "Idempotency-Key"

Forward = Callable[..., Awaitable[web.StreamResponse]]
#: Answers a write that carries an Idempotency-Key: with `forward`, or with what it answered before.
OnceOnly = Callable[[web.Request, AnyEndpoint, Principal, Forward], Awaitable[web.StreamResponse]]


def add_routes(
    app: web.Application,
    endpoints: Iterable[AnyEndpoint],
    forwarder: Forwarder,
    principal_of: Callable[[web.Request], Principal],
    once: OnceOnly,
) -> None:
    """Routes each of the endpoints to the service that owns it."""
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, _handler(endpoint, forwarder, principal_of, once))


def _handler(
    endpoint: AnyEndpoint, forwarder: Forwarder, principal_of: Callable[[web.Request], Principal], once: OnceOnly
) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        principal = principal_of(request)
        principal.require(endpoint.permission)
        if endpoint.keyed and IDEMPOTENCY_KEY in request.headers:
            return await once(request, endpoint, principal, forwarder.forward)
        return await forwarder.forward(request, endpoint, principal)

    return handle
