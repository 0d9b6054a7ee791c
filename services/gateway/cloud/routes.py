"""Connect, status and disconnect of each cloud, and Google's callback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from aiohttp import hdrs, web

from services.gateway.cloud import domain
from services.gateway.cloud.service import Browser, Cloud, shown
from shared.contracts.cloud import (
    CONNECT_AWS,
    CONNECT_AZURE,
    DISCONNECT_AWS,
    DISCONNECT_AZURE,
    DISCONNECT_GCP,
    FINISH_GCP_LOGIN,
    GET_AWS_STATUS,
    GET_AZURE_STATUS,
    GET_GCP_STATUS,
    START_GCP_LOGIN,
    CallbackQuery,
    CloudConnection,
    CloudDisconnected,
    ConnectAws,
    ConnectAzure,
    LoginStarted,
    Provider,
    StartLogin,
)
from shared.errors import INSUFFICIENT_PERMISSIONS, UNAVAILABLE, AuroraError
from shared.http import Call, Route, bind, json_response
from shared.identity import Principal

COOKIE = "aurora_cloud"
Whoever = Callable[[web.Request], Awaitable[Principal | None]]
AtHome = Callable[[web.Request], bool]


@dataclass(frozen=True, slots=True)
class _Way:
    """How browsers come back from Google, and where they go then."""

    whoever: Whoever
    is_at_home: AtHome
    callback: SplitResult
    frontend: str


def routes(cloud: Cloud | None, whoever: Whoever, is_at_home: AtHome, callback_url: str, frontend: str) -> list[Route]:
    """The routes of cloud sign-in; `cloud` is None where it isn't set up.

    `whoever` says whose request the callback is, None for nobody's; `is_at_home`, whether it comes from this machine,
    and that is trusted. `callback_url` is where browsers come back to; to `frontend`, where there is one, they go then.
    """
    way = _Way(whoever, is_at_home, urlsplit(callback_url), frontend)

    def ready() -> Cloud:
        if cloud is None:
            raise AuroraError(UNAVAILABLE, message="Cloud sign-in is not set up on this installation")
        return cloud

    return [
        *_google(ready, way),
        *_by_credentials(ready),
        bind(GET_GCP_STATUS, _status(ready, "gcp")),
        bind(GET_AWS_STATUS, _status(ready, "aws")),
        bind(GET_AZURE_STATUS, _status(ready, "azure")),
        bind(DISCONNECT_GCP, _disconnect(ready, "gcp")),
        bind(DISCONNECT_AWS, _disconnect(ready, "aws")),
        bind(DISCONNECT_AZURE, _disconnect(ready, "azure")),
    ]


def _google(ready: Callable[[], Cloud], way: _Way) -> list[Route]:
    async def begin(call: Call[None, StartLogin]) -> web.StreamResponse:
        begun = await ready().begin_google(_user(call), call.body.user_id)
        response = json_response(LoginStarted(begun.login_url))
        response.set_cookie(
            COOKIE,
            begun.cookie,
            path=way.callback.path,
            max_age=domain.LOGIN_SECONDS,
            httponly=True,
            secure=way.callback.scheme == "https",
            samesite="Lax",
        )
        return response

    async def finish(call: Call[CallbackQuery, None]) -> web.StreamResponse:
        request = call.request
        browser = Browser(await way.whoever(request), request.cookies.get(COOKIE), way.is_at_home(request))
        found = await ready().finish_google(call.query, browser)
        if way.frontend and "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            response = web.Response(status=303, headers={hdrs.LOCATION: way.frontend})
        else:
            response = json_response(shown(found))
        response.del_cookie(COOKIE, path=way.callback.path)
        return response

    return [bind(START_GCP_LOGIN, begin), bind(FINISH_GCP_LOGIN, finish)]


def _by_credentials(ready: Callable[[], Cloud]) -> list[Route]:
    async def aws(call: Call[None, ConnectAws]) -> CloudConnection:
        await ready().connect_aws(_user(call), call.body.role_arn)
        return await ready().status(_user(call), "aws")

    async def azure(call: Call[None, ConnectAzure]) -> CloudConnection:
        return shown(await ready().connect_azure(_user(call), call.body))

    return [bind(CONNECT_AWS, aws), bind(CONNECT_AZURE, azure)]


def _status(ready: Callable[[], Cloud], provider: Provider) -> Callable[[Call[Any, Any]], Awaitable[CloudConnection]]:
    async def status(call: Call[Any, Any]) -> CloudConnection:
        return await ready().status(_user(call), provider)

    return status


def _disconnect(
    ready: Callable[[], Cloud], provider: Provider
) -> Callable[[Call[Any, Any]], Awaitable[CloudDisconnected]]:
    async def disconnect(call: Call[Any, Any]) -> CloudDisconnected:
        return await ready().disconnect(_user(call), provider)

    return disconnect


def _user(call: Call[Any, Any]) -> str:
    """Whose connections these are. Raises AURORA-4030: keys and services have none."""
    if call.principal.kind != "user":
        raise AuroraError(INSUFFICIENT_PERMISSIONS, message="Only a user connects cloud accounts")
    return call.principal.id
