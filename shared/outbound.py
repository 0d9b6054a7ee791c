"""Requests to servers that aren't ours: bounded in time and size, encrypted off loopback, redirects never followed.

What can't be reached, answers too late, too much, or elsewhere is AURORA-5030, naming the peer and never what was sent.
Knows no provider and no format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import aiohttp

from shared.errors import UNAVAILABLE, AuroraError
from shared.loopback import is_loopback

_MAX_ANSWER = 256 * 1024
_CONNECTIONS = 16
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the other server said. Its text is theirs: never show or log it."""

    status: int
    body: bytes


def trusted_url(url: str) -> str:
    """The URL of a server that may be given secrets. Raises ValueError unless it is https, or http on loopback."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.fragment:
        raise ValueError("is not the URL of a server")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must be https: only on loopback may it be http")
    return url


class Outbound:
    """One pool of connections to other people's servers. Open it inside a running loop; `close` it at the end."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "aurora", "Accept-Encoding": "identity"},
        )

    async def get(self, peer: str, url: str, headers: Mapping[str, str]) -> Reply:
        """Raises AURORA-5030 as `post` does."""
        return await self._ask("GET", peer, url, None, headers)

    async def post(self, peer: str, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Sends `body` as it is. Raises AURORA-5030 naming `peer`, also for its 5xx, 429 and redirects."""
        return await self._ask("POST", peer, url, body, headers)

    async def _ask(self, method: str, peer: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        request = self._session.request(method, url, data=body, headers=headers, allow_redirects=False)
        try:
            async with request as response:
                reply = Reply(response.status, await _read(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unavailable(peer) from error
        if reply.status >= 500 or reply.status == 429 or 300 <= reply.status < 400:
            raise _unavailable(peer)
        return reply

    async def post_form(self, peer: str, url: str, form: Mapping[str, str]) -> Reply:
        """As `post`, with a form, asking for JSON."""
        headers = {"Content-Type": FORM, "Accept": "application/json"}
        return await self.post(peer, url, urlencode(form).encode(), headers)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(16 * 1024):
        body += chunk
        if len(body) > _MAX_ANSWER:
            raise aiohttp.ClientPayloadError("the answer is too large")
    return bytes(body)


def _unavailable(peer: str) -> AuroraError:
    return AuroraError(UNAVAILABLE, {"peer": peer}, message=f"{peer} does not answer as it should; try again later")
