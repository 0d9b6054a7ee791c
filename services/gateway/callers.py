"""Who calls: the ways a request can say so, in their order. The features that know each of them meet here.

A ticket (WebSockets only), an API key, an access token, the session cookie, and on the paths of the RCA API a user id
from an address that is trusted to name one. What a request shows first must hold: nothing wrong is passed over.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from aiohttp import hdrs, web

from services.gateway import cookie
from services.gateway.admission import domain as admission
from services.gateway.admission.domain import Network
from services.gateway.admission.routes import is_stream
from services.gateway.keys.domain import presented
from services.gateway.keys.service import Keys
from services.gateway.rca.domain import USER_ID_HEADER
from services.gateway.rca.service import RcaAccounts
from services.gateway.sessions.browsers import Browsers
from services.gateway.sessions.service import Sessions
from services.gateway.streams.service import Tickets
from shared.errors import (
    AUTHENTICATION_REQUIRED,
    INSUFFICIENT_PERMISSIONS,
    INVALID_CREDENTIALS,
    TOKEN_EXPIRED,
    AuroraError,
)
from shared.http_dialects import is_foreign
from shared.http_errors import uses_envelope
from shared.identity import Principal, bearer

#: When the socket of a ticket ends, in epoch seconds.
_UNTIL = web.RequestKey("until", float)
_CHANGES_NOTHING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


@dataclass(frozen=True)
class Pages:
    """Which pages may make a browser call us: our own, and those of the one foreign origin (CORS)."""

    frontend: str

    def allows(self, request: web.Request) -> bool:
        """Whether the request says that it comes from such a page."""
        origin = request.headers.get(hdrs.ORIGIN, "")
        return bool(origin) and (origin == self.frontend or admission.same_host(origin, request.host))

    def require_none_other(self, request: web.Request) -> None:
        """Raises AURORA-4030 for a request from a page of somebody else. What is no browser says nothing of a page."""
        if hdrs.ORIGIN in request.headers and not self.allows(request):
            raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Pages of this origin may not do this")


@dataclass(frozen=True)
class Callers:
    """`trusted` are the addresses that may name a user by X-User-ID alone."""

    sessions: Sessions
    browsers: Browsers
    keys: Keys
    tickets: Tickets
    rca: RcaAccounts
    pages: Pages
    trusted: tuple[Network, ...]

    async def identify(self, request: web.Request) -> Principal:
        """The caller, whether or not their session has ended since.

        Raises AURORA-4010 for nobody, 4011 and 4012 for what doesn't hold, 4030 for a page that may not do this.
        """
        named = request.headers.get(USER_ID_HEADER, "") if _of_rca(request.path) else ""
        principal = await self._proved(request, by_header=bool(named))
        if principal is None:
            return await self._by_header(request, named)
        if named and named != principal.id:
            raise AuroraError(INVALID_CREDENTIALS, message="X-User-ID names somebody else")
        return principal

    async def still_admitted(self, request: web.Request, principal: Principal) -> None:
        """Whether what a request was made with still holds, for one that takes long. Raises as `identify`, and 5030."""
        until = request.get(_UNTIL)
        if until is None:
            await self.identify(request)
        elif until <= time.time():
            raise AuroraError(TOKEN_EXPIRED)
        await self.sessions.require_alive(principal)

    def until(self, request: web.Request) -> float:
        """When what a request was made with ends, in epoch seconds; without a token, when one made now would."""
        token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")[2].strip()
        known = self.sessions.tokens.until(token)
        return time.time() + self.sessions.tokens.life_seconds if known is None else known

    async def _proved(self, request: web.Request, *, by_header: bool) -> Principal | None:
        """The caller by something that proves it; None when there is only the header, if that."""
        ticket = request.query.get("ticket")
        if ticket and is_stream(request) and hdrs.AUTHORIZATION not in request.headers:
            redeemed = await self.tickets.redeem(ticket)
            request[_UNTIL] = redeemed.until
            return redeemed.principal
        key = presented(request.headers)
        if key is not None:
            return await self.keys.identify(key)
        if hdrs.AUTHORIZATION in request.headers:
            return self.sessions.identify(bearer(request.headers[hdrs.AUTHORIZATION]))
        value = request.cookies.get(cookie.NAME)
        if value is None:
            return None
        if (request.method in _CHANGES_NOTHING and not is_stream(request)) or self.pages.allows(request):
            return await self.browsers.identify(value)
        # A browser adds its cookie to whatever any page sends. No page of somebody else can add the header.
        if by_header:
            return None
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="With a cookie this needs an Origin of this server")

    async def _by_header(self, request: web.Request, user_id: str) -> Principal:
        if not user_id:
            raise AuroraError(AUTHENTICATION_REQUIRED)
        self.pages.require_none_other(request)
        if not admission.is_trusted(request.remote, self.trusted):
            raise AuroraError(AUTHENTICATION_REQUIRED, message="X-User-ID alone is not believed from this address")
        return await self.rca.named_by_header(user_id, f"{request.method} {request.path}"[:200])


def _of_rca(path: str) -> bool:
    return not uses_envelope(path) and not is_foreign(path)
