"""The serving side of a port: what is shared by its connections, and the drain at the end. Knows no frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from shared.errors import UNAVAILABLE, AuroraError
from shared.identity import Principal
from shared.rpc.discover import About, document
from shared.rpc.handshake import Authenticate, Gate, HttpGet
from shared.rpc.ledger import Ledger
from shared.rpc.limits import RpcLimits
from shared.rpc.methods import Binding, Registry, registry
from shared.rpc.runner import Runner
from shared.rpc.session import STOP_SECONDS, Session, end
from shared.rpc.transport import Listener, ListenSettings, Socket, listen
from shared.rpc.wire import wire_error

_GOING_AWAY = 1001
_NOBODY = About()


class Server:
    """A serving agent port. Made by `serve`."""

    def __init__(self, table: Registry, limits: RpcLimits) -> None:
        self.listener: Listener
        self._table = table
        self._limits = limits
        self._ledger = Ledger(limits)
        self._runner = Runner(limits.max_frame)
        self._sessions: set[Session] = set()
        self._draining = False

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self.listener.port

    def full(self) -> bool:
        """Whether another connection is refused."""
        return self._draining or len(self._sessions) >= self._limits.max_connections

    async def handle(self, socket: Socket, principal: Principal) -> None:
        """One connection, from its handshake to its end."""
        session = Session(socket, principal, self._limits, self._table, self._runner, self._ledger)
        session.draining = self._draining
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    async def close(self, grace: float = 10.0) -> None:
        """Stops listening, lets running requests finish for `grace` seconds, refuses the rest with AURORA-5030 and
        closes every connection with 1001."""
        self._draining = True
        self.listener.stop_listening()
        for session in self._sessions:
            session.draining = True
        await _wait(self._running() | self._ledger.tasks, grace)
        refusal = wire_error(AuroraError(UNAVAILABLE, {"reason": "shutting down"}))
        for session in self._sessions:
            session.stop(refusal)
        await _wait(self._running(), STOP_SECONDS)
        await end(self._ledger.tasks)
        self._runner.close()
        await self.listener.close(_GOING_AWAY, "shutting down")

    def _running(self) -> set[asyncio.Task[Any]]:
        return {task for session in self._sessions for task in session.tasks}


async def _wait(tasks: set[asyncio.Task[Any]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


async def serve(
    bindings: Iterable[Binding[Any, Any]],
    *,
    host: str,
    port: int,
    authenticate: Authenticate,
    limits: RpcLimits | None = None,
    http_get: Mapping[str, HttpGet] | None = None,
    headers: Callable[[], Mapping[str, str]] = dict,
    about: About = _NOBODY,
) -> Server:
    """Serves the bindings at ws://host:port/ to whoever `authenticate` accepts the bearer token of.

    `authenticate` takes the token and returns the Principal or raises AuroraError; it may be async. `http_get` maps
    public paths (health, readiness) to handlers of plain GETs. `headers` are added to every HTTP response. Port 0
    takes a free one. `about` is for `rpc.discover`. Raises OSError when the port is taken, ValueError when a method is
    bound twice."""
    limits = limits or RpcLimits()
    bindings = list(bindings)

    @cache
    def discover() -> dict[str, Any]:
        # On the first question: the port isn't known before.
        return document([binding.method for binding in bindings], about, f"ws://{host}:{server.port}/")

    server = Server(registry(bindings, discover), limits)
    gate = Gate(authenticate, http_get or {}, headers, server.full)
    settings = ListenSettings(limits.max_frame, limits.open_seconds, limits.ping_seconds)
    server.listener = await listen(host, port, settings, admit=gate.admit, rejected=gate.rejected, handle=server.handle)
    return server
