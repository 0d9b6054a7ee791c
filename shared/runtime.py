"""Runs services: opens what they ask for, serves, and on SIGTERM drains and closes in the reverse order.

A service is a function `start(platform)` in services/<name>/app.py. Platform gives it settings, stores, tasks and the
HTTP server. The first background task to die stops the process, so that a supervisor can start it anew.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from shared import config, log, tasks
from shared.bus import Bus
from shared.cache import Cache
from shared.clock import utc_now
from shared.contracts.system import Health, HealthCheck, HealthStatus
from shared.errors import AuroraError
from shared.http import Authenticate, Route, application, json_response
from shared.http_server import Runner
from shared.identity import Principal, Signer, Verifier, bearer
from shared.keyring import KeyRing, SigningKey
from shared.live_settings import LiveSettings
from shared.migrate import migrate
from shared.outbox import Outbox
from shared.patience import PatienceSettings
from shared.postgres import Database
from shared.telemetry import render_metrics

S = TypeVar("S")
Start = Callable[["Platform"], Awaitable[None]]
#: A start waits so long for NATS, and goes on without it.
_NATS_SECONDS = 3.0
_log = log.get_logger("runtime")


@dataclass(frozen=True)
class CommonSettings:
    """What every service needs. Times in seconds."""

    identity_key_file: Path
    identity_jwks_file: Path
    http_host: str = "127.0.0.1"
    http_port: int = 0
    postgres_dsn: str = ""
    postgres_pool_size: int = 10
    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str | None = None
    nats_password_file: Path | None = None
    redis_url: str = "redis://127.0.0.1:6379/0"
    redis_password_file: Path | None = None
    drain_seconds: float = 8.0


@dataclass(frozen=True)
class Check:
    """A part that is asked for its health. Without a needed one the service isn't ready."""

    name: str
    ask: Callable[[], Awaitable[None]]
    needed: bool


class Platform:
    """What one service is given by its process."""

    def __init__(self, name: str, stack: AsyncExitStack, tasks: asyncio.TaskGroup) -> None:
        self.name = name
        self.common = config.load(CommonSettings, service=name)
        self.live = LiveSettings(name)
        self.signer, self._keys = _identity(self.common, name)
        self._stack = stack
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []
        self._checks: list[Check] = []
        self._bus: Bus | None = None
        self.port = 0

    def settings(self, kind: type[S]) -> S:
        """The service's own settings dataclass, filled from the environment."""
        return config.load(kind, service=self.name)

    def mode(self) -> str:
        """dry_run, monitor or active, as it is now."""
        return self.live.current.mode

    def verifier(self, audience: str | None = None) -> Verifier:
        """Checks internal identity tokens for `audience` (this service when None)."""
        return Verifier(audience or self.name, self._keys)

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """A background task of the service; it is cancelled at stop, and its death stops the process."""
        self._running.append(self._tasks.create_task(work, name=f"{self.name}:{name}"))

    def on_stop(self, close: Callable[[], Awaitable[None]]) -> None:
        """Called at stop, last registered first, after the tasks."""
        self._stack.push_async_callback(close)

    def check(self, name: str, ask: Callable[[], Awaitable[None]], *, needed: bool = True) -> None:
        """Registers a part for /health and /health/readiness; `ask` raises AuroraError when it is down."""
        self._checks.append(Check(name, ask, needed))

    async def postgres(self, migrations: Path) -> Database:
        """The service's own schema, brought up to date."""
        database = await Database.connect(self.common.postgres_dsn, max_size=self.common.postgres_pool_size)
        self.on_stop(database.close)
        applied = await migrate(database, migrations)
        _log.info("postgres ready", applied=applied)
        self.check("database", database.ping)
        return database

    async def bus(self) -> Bus:
        """The connection to NATS, one for the service. A server that is away stops no start."""
        if self._bus is None:
            settings = self.common
            password = None if settings.nats_password_file is None else config.read_secret(settings.nats_password_file)
            self._bus = Bus(settings.nats_url, user=settings.nats_user, password=password, name=self.name)
            self.spawn("nats", self._bus.open())
            if not await self._bus.connected(_NATS_SECONDS):
                _log.warning("starting without nats")
            self.on_stop(self._bus.close)
            self.check("nats", self._bus.ping, needed=False)
        return self._bus

    async def outbox(self, database: Database) -> Outbox:
        """The outbox of `database`, with its relay running."""
        outbox = Outbox(database, await self.bus(), self.name)
        self.spawn("outbox", outbox.relay())
        return outbox

    def cache(self) -> Cache:
        """A connection to the Redis protocol's server."""
        settings = self.common
        password = None if settings.redis_password_file is None else config.read_secret(settings.redis_password_file)
        cache = Cache(settings.redis_url, password)
        self.on_stop(cache.close)
        self.check("redis", cache.ping)
        return cache

    async def health(self) -> Health:
        """Every registered part, asked at the same time."""
        started = time.perf_counter()
        answers = await asyncio.gather(*(_ask(check) for check in self._checks))
        checks = {check.name: answer for check, answer in zip(self._checks, answers, strict=True)}
        down = [check for check in self._checks if checks[check.name].status != "healthy"]
        overall: HealthStatus = "healthy"
        if down:
            overall = "unhealthy" if any(check.needed for check in down) else "degraded"
        milliseconds = round((time.perf_counter() - started) * 1000, 2)
        return Health(overall, utc_now(), milliseconds, checks, [check.name for check in down])

    async def serve(self, routes: Sequence[Route]) -> None:
        """Serves the routes and the probes with internal identity tokens; call it last in `start`."""
        verifier = self.verifier()
        self.spawn("settings", self.live.follow(await self.bus()))

        async def authenticate(request: web.Request) -> Principal:
            return verifier.verify(bearer(request.headers.get("Authorization")))

        app = application(self.name, routes, authenticate=authenticate, mode=self.mode)
        self.add_probes(app, authenticate)
        await self.serve_app(app)

    def add_probes(self, app: web.Application, authenticate: Authenticate) -> None:
        """The probes of a service that isn't the gateway: health for anyone, metrics for a known peer."""

        async def live(_request: web.Request) -> web.Response:
            return json_response({"status": "alive"})

        async def ready(_request: web.Request) -> web.Response:
            health = await self.health()
            unready = health.overall_status == "unhealthy"
            return json_response({"status": "not_ready" if unready else "ready"}, 503 if unready else 200)

        async def health(_request: web.Request) -> web.Response:
            answer = await self.health()
            return json_response(answer, 503 if answer.overall_status == "unhealthy" else 200)

        async def metrics(request: web.Request) -> web.Response:
            await authenticate(request)
            return web.Response(body=render_metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

        app.router.add_get("/health/liveness", live)
        app.router.add_get("/health/readiness", ready)
        app.router.add_get("/health", health)
        app.router.add_get("/metrics", metrics)

    async def serve_app(self, app: web.Application, **runner_options: Any) -> None:
        """Serves an aiohttp application on the configured address until the process stops."""
        settings = self.common
        runner = Runner(
            app,
            patience=config.load(PatienceSettings, service=self.name),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=settings.drain_seconds,
            **runner_options,
        )
        await runner.setup()
        site = web.TCPSite(runner, settings.http_host, settings.http_port, backlog=1024)
        await site.start()
        self.port = runner.addresses[0][1]
        # Last in, first out: requests in flight end, then the tasks stop, then the stores close.
        self._stack.push_async_callback(self.stop_tasks)
        self._stack.push_async_callback(runner.cleanup)
        _log.info("serving", host=settings.http_host, port=self.port)

    async def stop_tasks(self) -> None:
        """Cancels the background tasks and waits for them."""
        await tasks.end(self._running)


def _identity(settings: CommonSettings, name: str) -> tuple[Signer, KeyRing]:
    try:
        return Signer(name, SigningKey(settings.identity_key_file)), KeyRing(settings.identity_jwks_file)
    except ValueError as error:
        raise config.ConfigError(f"AURORA_IDENTITY_KEY_FILE or AURORA_IDENTITY_JWKS_FILE: {error}") from error


async def _ask(check: Check) -> HealthCheck:
    try:
        async with asyncio.timeout(3):
            await check.ask()
    except (AuroraError, TimeoutError):
        return HealthCheck("unhealthy" if check.needed else "degraded", f"{check.name} does not answer")
    return HealthCheck("healthy", f"{check.name} connection successful")


async def run(services: Iterable[tuple[str, Start]]) -> None:
    """Runs services in this process until SIGTERM or SIGINT, then drains. Raises what ended a background task."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        for name, start in services:
            platform = Platform(name, stack, tasks)
            try:
                await start(platform)
            except BaseException:
                # The group cancels its tasks once, which can be lost: then what couldn't start would never end.
                await platform.stop_tasks()
                raise
            _log.info("started", started=name)
        _spare_the_collector()
        await stopping.wait()
        _log.info("draining")


def _spare_the_collector() -> None:
    """What was made at the start stays, and cycles are looked for less often: parsing gains a fifth to a quarter."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
