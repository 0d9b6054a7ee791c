"""Health, liveness, readiness and metrics."""

from __future__ import annotations

from aiohttp import web

from services.gateway.system.service import Installation
from shared.contracts.system import (
    GET_HEALTH,
    GET_HEALTH_ALIAS,
    GET_LIVENESS,
    GET_METRICS,
    GET_READINESS,
    Alive,
    Health,
    Ready,
)
from shared.http import Call, Route, bind, json_response
from shared.telemetry import render_metrics

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def routes(installation: Installation) -> list[Route]:
    """The routes of the installation's state."""

    async def health(_call: Call[None, None]) -> Health | web.StreamResponse:
        answer = await installation.health()
        return json_response(answer, 503 if answer.overall_status == "unhealthy" else 200)

    async def liveness(_call: Call[None, None]) -> Alive:
        return Alive()

    async def readiness(_call: Call[None, None]) -> Ready | web.StreamResponse:
        return Ready() if await installation.ready() else json_response(Ready("not_ready"), 503)

    async def metrics(_call: Call[None, None]) -> str | web.StreamResponse:
        return web.Response(body=render_metrics(), headers={"Content-Type": _METRICS_TYPE})

    return [
        bind(GET_HEALTH, health),
        bind(GET_HEALTH_ALIAS, health),
        bind(GET_LIVENESS, liveness),
        bind(GET_READINESS, readiness),
        bind(GET_METRICS, metrics),
    ]
