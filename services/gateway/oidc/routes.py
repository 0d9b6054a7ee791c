"""GET /api/v1/auth/oidc/login and /callback."""

from __future__ import annotations

from aiohttp import web

from services.gateway import browser
from services.gateway.arrival import Arrive
from services.gateway.oidc.service import Oidc
from shared.contracts.federation import OIDC_CALLBACK, OIDC_LOGIN, OidcAnswer, SignInQuery
from shared.http import Call, Route, bind

_COOKIE_PATH = OIDC_CALLBACK.path


def routes(oidc: Oidc, arrive: Arrive, *, secure: bool) -> list[Route]:
    """The routes of OIDC. `secure`: browsers reach us by https."""

    async def login(call: Call[SignInQuery, None]) -> web.StreamResponse:
        begun = await oidc.begin(call.query.provider, browser.local_path(call.query.next))
        return browser.send_away(begun, _COOKIE_PATH, secure=secure, answered_by_post=False)

    async def callback(call: Call[OidcAnswer, None]) -> web.StreamResponse:
        answer = call.query
        secret = browser.secret_of(call.request, answer.state)
        admitted = await oidc.complete(answer, secret)
        response = await arrive(call.request, admitted)
        browser.forget(response, answer.state or "", _COOKIE_PATH)
        return response

    return [bind(OIDC_LOGIN, login), bind(OIDC_CALLBACK, callback)]
