"""Request ids, W3C traceparent and Prometheus metrics: what ties one action together across processes.

The current request id and span travel in context variables; `headers()` puts them on an outgoing call or event.
Spans are OpenTelemetry's; an exporter is a deployment's choice, ids are always made and passed on.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REQUEST_ID_HEADER = "X-Request-ID"
TRACEPARENT_HEADER = "traceparent"
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{8,128}")

REGISTRY = CollectorRegistry()
HTTP_REQUESTS = Counter(
    "aurora_http_requests_total", "Requests answered", ("service", "method", "route", "status"), registry=REGISTRY
)
HTTP_SECONDS = Histogram(
    "aurora_http_request_duration_seconds", "Time to answer", ("service", "method", "route"), registry=REGISTRY
)
EVENTS_PUBLISHED = Counter("aurora_events_published_total", "Events sent to JetStream", ("topic",), registry=REGISTRY)
EVENTS_CONSUMED = Counter("aurora_events_consumed_total", "Events handled", ("consumer", "outcome"), registry=REGISTRY)
OUTBOX_PENDING = Gauge("aurora_outbox_pending", "Events not yet sent to JetStream", ("service",), registry=REGISTRY)
WEBSOCKET_CLIENTS = Gauge("aurora_websocket_clients", "WebSocket clients now", ("stream",), registry=REGISTRY)
WEBSOCKET_SLOW_READERS = Counter(
    "aurora_websocket_slow_readers", "WebSocket clients closed for taking nothing", ("stream",), registry=REGISTRY
)

_request_id: ContextVar[str] = ContextVar("aurora_request_id", default="")
_propagator = TraceContextTextMapPropagator()
_tracer = TracerProvider().get_tracer("aurora")


def request_id() -> str:
    """The id of the request being handled; a new one outside any request."""
    return _request_id.get() or str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def accept_request_id(incoming: str | None) -> str:
    """A valid incoming id is kept, anything else is replaced."""
    if incoming is not None and _VALID_REQUEST_ID.fullmatch(incoming):
        return incoming
    return str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))


def headers() -> dict[str, str]:
    """X-Request-ID and traceparent of the running task, for an outgoing call or event."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    current = _request_id.get()
    if current:
        carrier[REQUEST_ID_HEADER] = current
    return carrier


def traceparent() -> str | None:
    """The traceparent of the running task (W3C Trace Context), None outside a span."""
    return headers().get(TRACEPARENT_HEADER)


@contextmanager
def span(name: str, carrier: Mapping[str, str], request: str = "", *, server: bool = True) -> Iterator[Span]:
    """Runs the block in a span that continues the carrier's traceparent, with ids bound to the log."""
    parent = _propagator.extract({key.lower(): value for key, value in carrier.items()})
    kind = SpanKind.SERVER if server else SpanKind.CLIENT
    with _tracer.start_as_current_span(name, context=parent, kind=kind, record_exception=False) as current:
        token = _request_id.set(request)
        trace_id = trace.format_trace_id(current.get_span_context().trace_id)
        with structlog.contextvars.bound_contextvars(request_id=request, trace_id=trace_id):
            try:
                yield current
            finally:
                _request_id.reset(token)


@contextmanager
def continued(name: str, ids: Mapping[str, str]) -> Iterator[Span]:
    """Runs the block as a part of what `headers()` told of an earlier task."""
    with span(name, ids, ids.get(REQUEST_ID_HEADER, "")) as current:
        yield current


def render_metrics() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)
