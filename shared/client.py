"""`Client.call(ENDPOINT, ...)` over HTTP: how services, the CLI and the tests talk to a service or to the gateway.

The endpoint's constant gives path, body and answer; a refusal comes back as the AuroraError it was at the other end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from io import BytesIO
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from shared import telemetry
from shared.contracts.constants import ERROR_CODES, Endpoint
from shared.contracts.wire import encode, to_builtins
from shared.errors import DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, AuroraError
from shared.http_dialects import code_in

Q = TypeVar("Q")
B = TypeVar("B")
R = TypeVar("R")
_MAX_ANSWER = 64 * 1024 * 1024
_LARGE_BODY = 1024 * 1024


class Client:
    """One peer at `base_url`. `token` is asked before each call, None sends no Authorization."""

    def __init__(
        self, base_url: str, *, token: Callable[[], str] | None = None, timeout_seconds: float | None = 30
    ) -> None:
        """`timeout_seconds` bounds each call; None waits as long as the endpoint's constant says."""
        self._base = base_url.rstrip("/")
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        endpoint: Endpoint[Q, B, R],
        *,
        path: Mapping[str, str] | None = None,
        query: Q | None = None,
        body: B | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> R:
        """The endpoint's answer. Raises the peer's AuroraError, 5030 when it can't be reached, 5040 in time-out."""
        url = self._base + endpoint.path.format_map({key: quote(value, safe="") for key, value in (path or {}).items()})
        seconds = self._timeout_seconds or endpoint.timeout_seconds
        raw = body if isinstance(body, bytes) else None if body is None else encode(body)
        try:
            async with self._open().request(
                endpoint.method,
                url,
                params=_params(query),
                data=_payload(raw),
                headers=self._headers(endpoint, headers or {}, raw is not None),
                timeout=aiohttp.ClientTimeout(total=seconds, connect=5),
            ) as response:
                data = await response.read()
        except TimeoutError as error:
            raise AuroraError(DEADLINE_EXCEEDED, {"peer": endpoint.service}) from error
        except (aiohttp.ClientError, OSError) as error:
            raise AuroraError(UNAVAILABLE, {"peer": endpoint.service}) from error
        if response.status >= 400:
            raise error_from(response.status, data, response.headers)
        return _answer(endpoint, data)

    async def stream(
        self, endpoint: Endpoint[Q, None, R], query: Q | None = None, *, opened: asyncio.Event | None = None
    ) -> AsyncGenerator[R, None]:
        """The frames of a WebSocket until the peer closes it; `opened` is set when it is open. Raises AuroraError when
        the peer refuses it by its status, 5030 when it can't be reached or breaks off."""
        headers = self._headers(endpoint, {}, has_body=False)
        try:
            async with self._open().ws_connect(
                self._base + endpoint.path,
                params=_params(query),
                headers=headers,
                heartbeat=20,
                max_msg_size=_MAX_ANSWER,
                timeout=aiohttp.ClientWSTimeout(ws_close=5),
            ) as socket:
                if opened is not None:
                    opened.set()
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        yield _answer(endpoint, message.data.encode())
        except aiohttp.WSServerHandshakeError as error:
            # The client library doesn't hand over the body that says more.
            code = next((code for code in ERROR_CODES.values() if code.status == error.status), UNAVAILABLE)
            raise AuroraError(code, {"peer": endpoint.service}) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise AuroraError(UNAVAILABLE, {"peer": endpoint.service}) from error

    def _headers(self, endpoint: Endpoint[Any, Any, Any], extra: Mapping[str, str], has_body: bool) -> dict[str, str]:
        result = telemetry.headers()
        if has_body:
            result["Content-Type"] = endpoint.consumes[0]
        if self._token is not None:
            result["Authorization"] = f"Bearer {self._token()}"
        return {**result, **extra}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=64)
            self._session = aiohttp.ClientSession(connector=connector, read_bufsize=2**18, max_line_size=16384)
        return self._session

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()


def _payload(raw: bytes | None) -> bytes | BytesIO | None:
    """Large bodies go out in pieces, so that the loop serves others meanwhile."""
    return raw if raw is None or len(raw) < _LARGE_BODY else BytesIO(raw)


def _params(query: Any) -> dict[str, str]:
    if query is None:
        return {}
    builtins: dict[str, Any] = to_builtins(query)
    return {
        key: str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in builtins.items()
        if value is not None
    }


def _answer(endpoint: Endpoint[Any, Any, R], data: bytes) -> R:
    if endpoint.returns is None:
        return None  # type: ignore[return-value]
    if endpoint.returns is str:
        return data.decode()  # type: ignore[return-value]
    try:
        return msgspec.json.decode(data, type=endpoint.returns)
    except msgspec.DecodeError as error:
        raise AuroraError(UNAVAILABLE, {"peer": endpoint.service, "reason": "unreadable answer"}) from error


def error_from(status: int, data: bytes, headers: Mapping[str, str]) -> AuroraError:
    """The AuroraError that an error response tells, in either of the two shapes."""
    try:
        parsed = msgspec.json.decode(data)
        error = parsed["error"] if isinstance(parsed["error"], dict) else {"message": parsed["error"], **parsed}
        code = ERROR_CODES[error["code"]]
        message = str(error["message"])
        detail = error.get("detail")
    except (msgspec.DecodeError, KeyError, TypeError):
        known = ERROR_CODES.get(code_in(headers))
        return AuroraError(known or (UNAVAILABLE if status >= 500 else INTERNAL), {"status": status})
    retry_after = headers.get("Retry-After", "")
    return AuroraError(code, detail, message=message, retry_after=float(retry_after) if retry_after.isdigit() else None)
