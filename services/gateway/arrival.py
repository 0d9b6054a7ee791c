"""The end of a sign-in by a provider: a program gets tokens, a browser a session cookie and the page it wanted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from services.gateway import cookie
from services.gateway.federated import Admitted, Person
from shared.contracts.identity import TokenResponse
from shared.http import json_response


class Programs(Protocol):
    """Opens a session that is presented as tokens. Raises AURORA-4012 when the account was disabled meanwhile."""

    async def open_for(self, person: Person, *, how: str, address: str | None) -> TokenResponse: ...


class Browsers(Protocol):
    """Opens a session that is presented as a cookie, which lives for `life_seconds`."""

    life_seconds: int

    async def open_for(self, person: Person, *, how: str, address: str | None) -> str: ...


Arrive = Callable[[web.Request, Admitted], Awaitable[web.Response]]


def arrivals(programs: Programs, browsers: Browsers, address_of: Callable[[web.Request], str]) -> Arrive:
    """`arrive(request, admitted)`: without a page to go to, who asked is a program."""

    async def arrive(request: web.Request, admitted: Admitted) -> web.Response:
        person, how, address = admitted.person, admitted.how, address_of(request)
        if admitted.following is None:
            return json_response(await programs.open_for(person, how=how, address=address))
        value = await browsers.open_for(person, how=how, address=address)
        response = web.Response(status=303, headers={"Location": admitted.following})
        cookie.give(request, response, value, seconds=browsers.life_seconds)
        return response

    return arrive
