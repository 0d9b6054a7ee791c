"""The outermost edge of HTTP: what aiohttp refuses before any middleware runs is refused in our form too.

Owns the Runner that serves an application. Requests that can't be parsed, an `Expect` that nobody fulfils and faults
outside the error boundary get the three headers and the error envelope, never aiohttp's own text.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from shared import telemetry
from shared.contracts.wire import encode
from shared.errors import DEADLINE_EXCEEDED, INTERNAL, MALFORMED_REQUEST, AuroraError
from shared.http import stamp
from shared.http_errors import REQUEST_ID, error_body, error_of, error_response
from shared.log import get_logger

_log = get_logger("http")


class Runner(web.AppRunner):
    """Runs an application on connections that refuse in our form."""

    async def _make_server(self) -> web.Server:
        return _Server(self.app, await super()._make_server())


class _Server(web.Server):
    def __init__(self, app: web.Application, made: web.Server) -> None:
        handler = _refuse_outside(made.request_handler)
        super().__init__(handler, request_factory=made.request_factory, loop=made._loop, **made._kwargs)
        self._app = app

    def __call__(self) -> web.RequestHandler:
        return _Connection(self._app, self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_app",)

    def __init__(self, app: web.Application, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._app = app

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            # Part of an answer is out: only a cut connection can say that it isn't whole.
            raise ConnectionError("the answer broke off")
        if status >= 500:
            _log.error("request failed", exc_info=exc)
        else:
            _log.info("request can't be read", reason=type(exc).__name__)
        code = {400: MALFORMED_REQUEST, 504: DEADLINE_EXCEEDED}.get(status, INTERNAL)
        request_id = telemetry.accept_request_id(None)
        body = encode(error_body(AuroraError(code), request_id))
        response = web.Response(body=body, status=code.status, content_type="application/json")
        stamp(self._app, request_id, response)
        response.force_close()
        return response


def _refuse_outside(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException as error:
            request[REQUEST_ID] = telemetry.accept_request_id(request.headers.get(telemetry.REQUEST_ID_HEADER))
            return error_response(request, error_of(error))
        return response

    return handle
