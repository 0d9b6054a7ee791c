"""Trace and request ids: continued, begun, passed on."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from shared import telemetry

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-00"


def test_a_trace_is_continued_with_its_state_and_its_flags() -> None:
    with telemetry.span("work", {"traceparent": PARENT, "tracestate": "a=1,b=2"}, "request-1"):
        told = telemetry.headers()
    version, trace_id, span_id, flags = told["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "00")
    assert span_id != PARENT.split("-")[2]
    assert (told["tracestate"], told["X-Request-ID"]) == ("a=1,b=2", "request-1")


@pytest.mark.parametrize("sent", [None, "", "nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", PARENT + "-more"])
def test_without_a_valid_parent_a_trace_begins(sent: str | None) -> None:
    with telemetry.span("work", {} if sent is None else {"traceparent": sent}):
        told = telemetry.headers()["traceparent"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", told)
    assert TRACE not in told


def test_spans_nest_and_end() -> None:
    with telemetry.span("outer", {}):
        outer = telemetry.headers()
        with telemetry.continued("inner", outer):
            inner = telemetry.headers()["traceparent"]
        assert telemetry.headers() == outer
    assert inner.split("-")[1] == outer["traceparent"].split("-")[1]
    assert telemetry.headers() == {}
    assert telemetry.traceparent() is None


def test_a_provider_that_the_deployment_installed_gets_the_spans() -> None:
    # In a process of its own: a provider is installed once, for ever.
    code = f"""
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
kept = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(provider)
from shared import telemetry
with telemetry.span("GET /x", {{"traceparent": "{PARENT.removesuffix("00")}01"}}):
    pass
(done,) = kept.get_finished_spans()
print(done.name, format(done.context.trace_id, "032x"), done.kind.name)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.split("\n")[0] == f"GET /x {TRACE} SERVER"
