"""GET /api/v1/auth/saml/login and /metadata, POST /api/v1/auth/saml/acs."""

from __future__ import annotations

from aiohttp import web

from services.gateway import browser
from services.gateway.arrival import Arrive
from services.gateway.saml.service import Saml
from shared.contracts.federation import SAML_ACS, SAML_LOGIN, SAML_METADATA, SamlAnswer, SignInQuery
from shared.http import Call, Route, bind

_COOKIE_PATH = SAML_ACS.path


def routes(saml: Saml, arrive: Arrive, *, secure: bool) -> list[Route]:
    """The routes of SAML. `secure`: browsers reach us by https."""

    async def login(call: Call[SignInQuery, None]) -> web.StreamResponse:
        begun = await saml.begin(call.query.provider, browser.local_path(call.query.next))
        return browser.send_away(begun, _COOKIE_PATH, secure=secure, answered_by_post=True)

    async def acs(call: Call[None, SamlAnswer]) -> web.StreamResponse:
        answer = call.body
        secret = browser.secret_of(call.request, answer.relay_state)
        admitted = await saml.complete(answer, secret)
        response = await arrive(call.request, admitted)
        browser.forget(response, answer.relay_state or "", _COOKIE_PATH)
        return response

    async def metadata(_call: Call[None, None]) -> web.StreamResponse:
        return web.Response(body=await saml.metadata(), content_type=SAML_METADATA.produces)

    return [bind(SAML_LOGIN, login), bind(SAML_ACS, acs), bind(SAML_METADATA, metadata)]
