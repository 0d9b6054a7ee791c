"""The session cookie as a browser gets it. Whose it is, is for sessions to say."""

from __future__ import annotations

from aiohttp import web

from shared.loopback import host_is_loopback

NAME = "aurora_session"


def give(request: web.Request, response: web.StreamResponse, value: str, *, seconds: int) -> None:
    """Sets the cookie: no script reads it, no other site's form sends it, and off loopback only TLS carries it."""
    response.set_cookie(
        NAME, value, max_age=seconds, path="/", httponly=True, samesite="Lax", secure=not host_is_loopback(request.host)
    )


def take_back(request: web.Request, response: web.StreamResponse) -> None:
    """Has the browser forget the cookie, if it has one."""
    if NAME in request.cookies:
        response.del_cookie(NAME, path="/")
