"""The API as OpenAPI 3.1, and a page that shows it. Both are made once, at start."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from services.gateway import cookie
from services.gateway.description import domain
from shared.contracts.catalog import MODULES
from shared.contracts.constants import Endpoint
from shared.contracts.system import GET_API_PAGE, GET_OPENAPI
from shared.contracts.wire import encode
from shared.http import Call, Route, bind
from shared.http_errors import uses_envelope

_PAGE = Path(__file__).parent / "page.html"
_INLINE = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)
_CACHED = {"Cache-Control": "public, max-age=60"}


def routes(own_service: str) -> list[Route]:
    """The routes of the description. `own_service` handles its endpoints itself, all others are passed on."""
    endpoints = _named_endpoints()
    in_envelope = [endpoint.path for endpoint in endpoints.values() if uses_envelope(endpoint.path)]
    document = encode(domain.document(endpoints, own_service, in_envelope, cookie.NAME))
    page = _PAGE.read_text(encoding="utf-8")
    policy = content_security_policy(page)

    async def openapi(_call: Call[None, None]) -> web.Response:
        return web.Response(body=document, content_type="application/json", headers=_CACHED)

    async def docs(_call: Call[None, None]) -> web.Response:
        headers = {**_CACHED, "Content-Security-Policy": policy}
        return web.Response(text=page, content_type="text/html", headers=headers)

    return [bind(GET_OPENAPI, openapi), bind(GET_API_PAGE, docs)]


@web.middleware
async def welcome(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Shows the page to a browser that opens `/`, where Elasticsearch's clients, which ask for JSON, have a door."""
    anonymous = hdrs.AUTHORIZATION not in request.headers
    if request.path == "/" and anonymous and "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        return web.Response(status=302, headers={hdrs.LOCATION: GET_API_PAGE.path})
    return await handler(request)


def content_security_policy(page: str) -> str:
    """Allows the page its own inline script and style by their hashes, to ask its own origin, and nothing else."""
    sources = {"script": "'none'", "style": "'none'"}
    for kind, text in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        sources[kind] = f"'sha256-{digest}'"
    return (
        f"default-src 'none'; script-src {sources['script']}; style-src {sources['style']}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _named_endpoints() -> dict[str, Endpoint[Any, Any, Any]]:
    """Every endpoint under the name of its constant, as `list_alerts`."""
    return {
        name.lower(): value for module in MODULES for name, value in vars(module).items() if isinstance(value, Endpoint)
    }
