"""Health, metrics, the API description and the WebSocket frame: what every deployment shows of itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.contracts.constants import AUTHENTICATED, PUBLIC, Endpoint
from shared.errors import AUTHENTICATION_REQUIRED, TOKEN_EXPIRED

Mode = Literal["dry_run", "monitor", "active"]
HealthStatus = Literal["healthy", "degraded", "unhealthy"]


class HealthCheck(msgspec.Struct, frozen=True):
    """One part's state in one sentence."""

    status: HealthStatus
    message: str


class Health(msgspec.Struct):
    """RCA page, "Health Checks". `degraded` names each capability that is reduced. 503 when a needed part is down."""

    overall_status: HealthStatus
    timestamp: datetime
    response_time_ms: float
    checks: dict[str, HealthCheck]
    degraded: list[str] = []


class Alive(msgspec.Struct):
    """`{"status": "alive"}`."""

    status: Literal["alive"] = "alive"


class Ready(msgspec.Struct):
    """`{"status": "ready"}`, or `not_ready` with 503."""

    status: Literal["ready", "not_ready"] = "ready"


class StreamQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`since` resumes after that sequence; `ticket` stands for the Authorization header, once."""

    since: Annotated[int, Meta(ge=0)] | None = None
    ticket: Annotated[str, Meta(max_length=256)] | None = None


class StreamFrame(msgspec.Struct):
    """One WebSocket frame. `type` is the topic, or `aurora.stream.gap` when `since` is no longer kept: then `data`
    has `requested` and `first_available`."""

    sequence: int
    type: str
    time: datetime
    data: Any


GET_HEALTH = Endpoint(
    "GET",
    "/health",
    PUBLIC,
    service="gateway",
    summary="Comprehensive health check",
    returns=Health,
    also=(503,),
    tag="Health",
)
#: For clients that put /api/v1 before every path.
GET_HEALTH_ALIAS = Endpoint(
    "GET",
    "/api/v1/health",
    PUBLIC,
    service="gateway",
    summary="Comprehensive health check, by its former path",
    returns=Health,
    also=(503,),
    tag="Health",
    deprecated="2026-11-22T00:00:00Z",
    sunset="2027-06-30T00:00:00Z",
    successor="/health",
)
GET_LIVENESS = Endpoint(
    "GET",
    "/health/liveness",
    PUBLIC,
    service="gateway",
    summary="Liveness probe",
    returns=Alive,
    tag="Health",
)
GET_READINESS = Endpoint(
    "GET",
    "/health/readiness",
    PUBLIC,
    service="gateway",
    summary="Readiness probe",
    returns=Ready,
    also=(503,),
    tag="Health",
)
GET_METRICS = Endpoint(
    "GET",
    "/metrics",
    AUTHENTICATED,
    service="gateway",
    summary="Prometheus metrics",
    returns=str,
    errors=(AUTHENTICATION_REQUIRED, TOKEN_EXPIRED),
    tag="System",
    produces="text/plain",
)
GET_JWKS = Endpoint(
    "GET",
    "/.well-known/jwks.json",
    PUBLIC,
    service="gateway",
    summary="Public keys of access tokens",
    returns=dict[str, Any],
    tag="Auth",
)
GET_OPENAPI = Endpoint(
    "GET",
    "/api/v1/openapi.json",
    PUBLIC,
    service="gateway",
    summary="This API as OpenAPI 3.1",
    returns=dict[str, Any],
    tag="System",
)
GET_API_PAGE = Endpoint(
    "GET",
    "/api/v1/docs",
    PUBLIC,
    service="gateway",
    summary="This API as a page",
    returns=str,
    tag="System",
    produces="text/html",
)
WS_ALERTS = Endpoint(
    "WS",
    "/api/v1/ws/alerts",
    AUTHENTICATED,
    service="gateway",
    summary="Real-time alert stream",
    query=StreamQuery,
    returns=StreamFrame,
    tag="WebSocket",
)
WS_AGENT_THOUGHTS = Endpoint(
    "WS",
    "/api/v1/ws/agent-thoughts",
    AUTHENTICATED,
    service="gateway",
    summary="Agent reasoning stream",
    query=StreamQuery,
    returns=StreamFrame,
    tag="WebSocket",
)
WS_RECEIPTS = Endpoint(
    "WS",
    "/api/v1/ws/investigation-receipts",
    AUTHENTICATED,
    service="gateway",
    summary="Investigation result stream",
    query=StreamQuery,
    returns=StreamFrame,
    tag="WebSocket",
)
