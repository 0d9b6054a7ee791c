"""The browser's part in signing in elsewhere: the cookie that binds a sign-in to it, and where it goes afterwards.

Without the cookie an answer of a provider could be pushed into somebody else's browser (login CSRF).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from aiohttp import web

from services.gateway.federated import Begun
from shared.errors import field_error

SIGN_IN_SECONDS = 600
_PREFIX = "aurora_sign_in_"
_STATE = re.compile(r"[A-Za-z0-9_-]{43}")
_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


def local_path(path: str | None) -> str | None:
    """`path` when it is one of this server. Raises AURORA-4220 for anything that could lead elsewhere."""
    if path is None:
        return None
    parts = urlsplit(path)
    if _PATH.fullmatch(path) is None or parts.scheme or parts.netloc:
        raise field_error("query.next", "must be a path of this server, beginning with one slash")
    return path


def send_away(begun: Begun, cookie_path: str, *, secure: bool, answered_by_post: bool) -> web.Response:
    """The redirect to the provider. `answered_by_post`: the answer will come as a form from the provider's site.

    Such a form brings a cookie along only with SameSite=None, which browsers take from https alone; on loopback the
    attribute is left out, which they treat as allowed for two minutes.
    """
    response = web.Response(status=302, headers={"Location": begun.location})
    same_site = ("None" if secure else None) if answered_by_post else "Lax"
    response.set_cookie(
        _cookie(begun.handle.state),
        begun.handle.secret,
        path=cookie_path,
        max_age=SIGN_IN_SECONDS,
        httponly=True,
        secure=secure,
        samesite=same_site,
    )
    return response


def secret_of(request: web.Request, state: str | None) -> str | None:
    """The cookie that this browser was given with `state`."""
    if state is None or _STATE.fullmatch(state) is None:
        return None
    return request.cookies.get(_cookie(state))


def forget(response: web.StreamResponse, state: str, cookie_path: str) -> None:
    """Takes the cookie back: the sign-in is over."""
    response.del_cookie(_cookie(state), path=cookie_path)


def _cookie(state: str) -> str:
    # A name for each sign-in, so that two windows don't take each other's.
    return _PREFIX + state[:12]
