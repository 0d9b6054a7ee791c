"""What every request passes before its handler: CORS, who is calling, how often; and the headers of every response.

One middleware and one signal handler. It knows no path but by the Endpoint table.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from services.gateway import origin
from services.gateway.admission import domain
from services.gateway.admission.domain import LimitName, Network, Quota
from services.gateway.admission.service import Limits, Refusals
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.constants import PUBLIC, Endpoint
from shared.contracts.mcp import MCP
from shared.errors import INSUFFICIENT_PERMISSIONS, RATE_LIMITED, UNAVAILABLE, AuroraError
from shared.http import ANONYMOUS, PRINCIPAL_ID
from shared.http_dialects import is_foreign
from shared.http_errors import uses_envelope
from shared.identity import Principal
from shared.loopback import host_is_loopback, is_loopback
from shared.security_headers import SECURITY_HEADERS, STRICT_TRANSPORT
from shared.telemetry import DEPRECATED_REQUESTS

#: Looked up in one step, where a handler hasn't said otherwise.
_ALWAYS = CIMultiDict(SECURITY_HEADERS)
PRINCIPAL = web.RequestKey("principal", Principal)
QUOTA = web.RequestKey("quota", Quota)
AnyEndpoint = Endpoint[Any, Any, Any]


def endpoint_of(request: web.Request) -> AnyEndpoint | None:
    """The endpoint that this request is for; None when there is none, or none with this method."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    return _BY_ROUTE.get((request.method, resource.canonical))


def is_stream(request: web.Request) -> bool:
    """Whether this request wants to become a WebSocket."""
    endpoint = endpoint_of(request)
    return endpoint is not None and endpoint.method == "WS"


_BY_ROUTE: dict[tuple[str, str], AnyEndpoint] = {
    ("GET" if method == "WS" else method, path): endpoint for (method, path), endpoint in ENDPOINTS.items()
}
_LIMITS: dict[AnyEndpoint, LimitName | None] = {
    endpoint: domain.limit_of(endpoint, of_soc=uses_envelope(endpoint.path) or is_foreign(endpoint.path))
    for endpoint in ENDPOINTS.values()
}


@dataclass(frozen=True)
class Door:
    """`identify(request)` says whose token a request has, or raises; whether the session lives is asked by `limits`.

    `frontend` is the one foreign origin that may call, "" for none. `rfc_deprecation`: deprecated endpoints say so as
    RFC 9745 and RFC 8594 have it.
    """

    identify: Callable[[web.Request], Awaitable[Principal]]
    limits: Limits
    refusals: Refusals
    frontend: str
    trusted: tuple[Network, ...]
    rfc_deprecation: bool

    def address_of(self, request: web.Request) -> str:
        """The client's address, seen through trusted proxies."""
        told = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, ()))
        return domain.client_address(request.remote, told, self.trusted)

    def middleware(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        """Runs inside the error boundary, before every handler, also before a 404."""

        @web.middleware
        async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.method == hdrs.METH_OPTIONS and self._is_frontend(request):
                return web.Response(status=204, headers=domain.preflight_headers())
            endpoint = endpoint_of(request)
            if endpoint is None:
                return await handler(request)
            with origin.coming_from(self.address_of(request)):
                admitted = False
                try:
                    await self._admit(request, endpoint)
                    admitted = True
                    return await handler(request)
                except AuroraError as refusal:
                    caller = request.get(PRINCIPAL, ANONYMOUS)
                    actor = None if caller is ANONYMOUS else caller.id
                    await self.refusals.note(refusal, str(endpoint), actor, admitted=admitted)
                    raise

        return admit

    async def _admit(self, request: web.Request, endpoint: AnyEndpoint) -> None:
        limit = _LIMITS[endpoint]
        if endpoint.method == "WS" or endpoint is MCP:
            self._require_origin(request)
        if endpoint is MCP:
            self._require_own_name(request)
        principal = ANONYMOUS
        try:
            if endpoint.permission != PUBLIC:
                principal = await self.identify(request)
        except AuroraError as refusal:
            # Who is refused is counted too, by address: guessing tokens is not free.
            if limit is not None and refusal.code is not UNAVAILABLE:
                _apply(request, await self.limits.count_address(self.address_of(request), limit))
            raise
        request[PRINCIPAL] = principal
        request[PRINCIPAL_ID] = principal.id
        if limit is None:
            await self.limits.sessions.require_alive(principal)
        elif principal is ANONYMOUS:
            _apply(request, await self.limits.count_address(self.address_of(request), limit))
        else:
            _apply(request, await self.limits.count_principal(principal, limit))

    def _is_frontend(self, request: web.Request) -> bool:
        return bool(self.frontend) and request.headers.get(hdrs.ORIGIN) == self.frontend

    def _require_origin(self, request: web.Request) -> None:
        # A browser lets any page open a WebSocket anywhere, and says only here which page it was.
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or self._is_frontend(request) or domain.same_host(origin, request.host):
            return
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Pages of this origin may not do this")

    def _require_own_name(self, request: web.Request) -> None:
        # A page may have its name bound anew to the loopback address, and so speak with what runs on its reader's own
        # machine under one origin: MCP asks servers to look.
        if hdrs.ORIGIN not in request.headers or self._is_frontend(request) or host_is_loopback(request.host):
            return
        if is_loopback(self.address_of(request)):
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="This server isn't known by that name here")

    async def stamp(self, request: web.Request, response: web.StreamResponse) -> None:
        """Adds what every response carries; for the application's on_response_prepare."""
        headers = response.headers
        headers.popall(hdrs.SERVER, None)
        headers.merge(_ALWAYS)
        if not host_is_loopback(request.host):
            headers.setdefault(*STRICT_TRANSPORT)
        if self.frontend:
            headers.add(hdrs.VARY, hdrs.ORIGIN)
            if self._is_frontend(request):
                headers.update(domain.cors_headers(self.frontend))
        endpoint = endpoint_of(request)
        if endpoint is not None and endpoint.deprecated:
            headers.extend(domain.deprecation_headers(endpoint, as_rfc=self.rfc_deprecation))
            DEPRECATED_REQUESTS.labels(endpoint.method, endpoint.path).inc()
        if (quota := request.get(QUOTA)) is not None:
            headers.update(quota.headers(time.time()))


def _apply(request: web.Request, quota: Quota) -> None:
    request[QUOTA] = quota
    if quota.exceeded:
        raise AuroraError(RATE_LIMITED, {"limit": quota.limit}, retry_after=quota.resets_in)


async def principal_of(request: web.Request) -> Principal:
    """Who calls, as the door found it."""
    return request[PRINCIPAL]
