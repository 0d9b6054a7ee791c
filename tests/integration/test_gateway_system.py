"""What a gateway says of itself, and how every answer looks, also to requests that aren't HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
import pytest_asyncio
from openapi_spec_validator import validate

from shared.contracts.catalog import ENDPOINTS
from tests.gateway import Gateway, gateway
from tests.gateway import process as another_process
from tests.stack import Servers

FRONTEND = "https://soc.example.org"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway"), frontend_url=FRONTEND) as started:
        yield started


def _assert_stamped(headers: Any) -> None:
    assert headers["X-API-Version"] == "1.0"
    assert re.fullmatch(r"[A-Za-z0-9._:-]{8,128}", headers["X-Request-ID"])
    assert headers["X-AuroraSOC-Mode"] == "monitor"


def _assert_envelope(body: Any, code: str) -> None:
    error = body["error"]
    assert set(error) == {"code", "message", "detail", "timestamp", "request_id"}
    assert error["code"] == code
    datetime.fromisoformat(error["timestamp"])


@contextmanager
def _frozen(servers: Servers, name: str) -> Iterator[None]:
    """The server and its children answer nothing for a while."""
    server = psutil.Process(servers.processes[name].pid)
    stopped = [server, *server.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            process.resume()


async def _health(running: Gateway, status: str) -> Any:
    """The health, as soon as it says this status: what others broke may take a moment to come back."""
    async with asyncio.timeout(20):
        while True:
            async with running.http.get(f"{running.url}/health", allow_redirects=False) as response:
                health = await response.json()
                if health["overall_status"] == status:
                    assert response.status == (503 if status == "unhealthy" else 200)
                    _assert_stamped(response.headers)
                    return health


async def test_health_names_every_part(running: Gateway) -> None:
    health = await _health(running, "healthy")
    assert set(health["checks"]) == {"database", "redis", "nats", "siem", "orchestrator"}
    assert {check["status"] for check in health["checks"].values()} == {"healthy"}
    assert health["checks"]["database"]["message"] == "database connection successful"
    assert health["degraded"] == []
    assert health["response_time_ms"] >= 0


async def test_probes_answer_without_a_token(running: Gateway) -> None:
    for path, expected in (("liveness", {"status": "alive"}), ("readiness", {"status": "ready"})):
        async with running.http.get(f"{running.url}/health/{path}") as response:
            assert (response.status, await response.json()) == (200, expected)


async def test_metrics_are_for_those_who_signed_in(running: Gateway) -> None:
    async with running.http.get(f"{running.url}/metrics") as response:
        assert response.status == 401
    status, metrics, headers = await running.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"# HELP aurora_http_requests_total" in metrics


async def test_the_description_is_valid_openapi_and_lists_every_endpoint(running: Gateway) -> None:
    async with running.http.get(f"{running.url}/api/v1/openapi.json") as response:
        assert response.status == 200
        document = await response.json()
    validate(document)
    assert document["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {("GET" if method == "WS" else method, path) for method, path in ENDPOINTS}


async def test_the_api_page_asks_its_own_origin_only(running: Gateway) -> None:
    async with running.http.get(f"{running.url}/api/v1/docs") as response:
        assert response.status == 200
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert response.headers["Content-Type"].startswith("text/html")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "connect-src 'self'" in policy
    assert not re.search(r"(?:https?:)?//[\w.]+\.\w+|\bsrc=|@import|innerHTML|insertAdjacentHTML|document\.write", page)


async def test_a_browser_that_opens_the_gateway_is_shown_the_page(running: Gateway) -> None:
    html = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    async with running.http.get(f"{running.url}/", headers=html) as response:
        assert (response.status, response.url.path) == (200, "/api/v1/docs")
    async with running.http.get(f"{running.url}/", headers={"Accept": "application/json"}) as response:
        assert (response.status, response.headers["X-Elastic-Product"]) == (401, "Elasticsearch")


async def test_unknown_paths_and_methods_are_refused_in_the_envelope(running: Gateway) -> None:
    status, body, headers = await running.get("/api/v1/nothing-here")
    assert status == 404
    _assert_envelope(body, "AURORA-4040")
    _assert_stamped(headers)
    status, body, headers = await running.ask("DELETE", "/api/v1/alerts")
    assert status == 405
    _assert_envelope(body, "AURORA-4050")
    assert set(headers["Allow"].split(",")) == {"GET", "POST"}


async def test_paths_of_the_rca_api_are_refused_in_its_own_shape(running: Gateway) -> None:
    status, body, _ = await running.get("/api/incidents/none")
    assert (status, set(body), body["code"]) == (404, {"error", "code"}, "AURORA-4040")


async def test_problem_json_is_there_for_who_asks(running: Gateway) -> None:
    status, body, headers = await running.get("/api/v1/nothing", headers={"Accept": "application/problem+json"})
    assert (status, headers["Content-Type"]) == (404, "application/problem+json")
    assert (body["status"], body["code"]) == (404, "AURORA-4040")


async def test_what_cannot_be_parsed_is_refused_in_the_envelope(running: Gateway) -> None:
    for raw in (
        b"this is not http\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api/v1/alerts HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n",
        b"GET /api/v1/alerts HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"POST /api/v1/alerts HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /api/v1/alerts HTTP/1.1\r\nHost: a\r\nExpect: the-unexpected\r\nConnection: close\r\n\r\n",
    ):
        head, body = await _raw(running, raw)
        assert head[0].split()[1] == b"400", raw[:60]
        headers = {name.decode(): value.decode() for name, _, value in (line.partition(b": ") for line in head[1:])}
        assert headers["Content-Type"].startswith("application/json")
        _assert_stamped(headers)
        _assert_envelope(orjson.loads(body), "AURORA-4000")


async def _raw(running: Gateway, sent: bytes) -> tuple[list[bytes], bytes]:
    where = urlsplit(running.url)
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(sent)
        await writer.drain()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    return head.split(b"\r\n"), body


async def test_the_frontend_may_call_with_credentials_and_nobody_else(running: Gateway) -> None:
    ask = {"Origin": FRONTEND, "Access-Control-Request-Method": "PATCH"}
    async with running.http.options(f"{running.url}/api/v1/alerts", headers=ask) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == FRONTEND
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
        assert "X-Provider-Preference" in response.headers["Access-Control-Allow-Headers"]
        _assert_stamped(response.headers)
    for path in ("/api/v1/users/me", "/api/v1/nothing"):
        _, _, headers = await running.get(path, headers={"Origin": FRONTEND})
        assert headers["Access-Control-Allow-Origin"] == FRONTEND
        assert "Origin" in headers["Vary"]
    for origin in ("https://evil.example.org", f"{FRONTEND}.evil.example.org", "null", FRONTEND.upper()):
        ask["Origin"] = origin
        async with running.http.options(f"{running.url}/api/v1/alerts", headers=ask) as response:
            assert response.status == 405
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_every_answer_has_security_headers(running: Gateway) -> None:
    for path in ("/api/v1/users/me", "/api/v1/nothing", "/health", "/api/v1/docs", "/api/v1/alerts"):
        _, _, headers = await running.get(path)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Server" not in headers


async def test_without_redis_nobody_passes_and_everything_comes_back(running: Gateway, servers: Servers) -> None:
    with _frozen(servers, "valkey"):
        status, body, _ = await running.get("/api/v1/alerts")
        assert status == 503
        _assert_envelope(body, "AURORA-5030")
        async with running.http.post(
            f"{running.url}/api/v1/auth/token", json={"username": "admin", "password": "x"}
        ) as response:
            assert response.status == 503
        health = await _health(running, "unhealthy")
        assert health["checks"]["redis"]["status"] == "unhealthy"
        assert (await running.get("/health/readiness"))[:2] == (503, {"status": "not_ready"})
        assert (await running.get("/health/liveness"))[0] == 200
        async with running.http.get(f"{running.url}/api/v1/auth/providers") as response:
            assert response.status == 200
    assert (await running.get("/api/v1/alerts"))[0] == 200


async def test_without_postgres_who_is_signed_in_goes_on(running: Gateway, servers: Servers) -> None:
    with _frozen(servers, "postgres"):
        health = await _health(running, "unhealthy")
        assert health["checks"]["database"]["status"] == "unhealthy"
        assert (await running.get("/api/v1/alerts"))[0] == 200


async def test_without_nats_streams_are_refused_and_the_rest_goes_on(running: Gateway, servers: Servers) -> None:
    with _frozen(servers, "nats"):
        headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        status, body, _ = await running.get(
            "/api/v1/ws/alerts", headers={**headers, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        )
        assert (status, body["error"]["code"]) == (503, "AURORA-5030")
        assert (await running.get("/api/v1/alerts"))[0] == 200
        assert (await _health(running, "degraded"))["degraded"] == ["live streams"]


async def test_a_deprecated_route_says_so_on_every_answer_and_is_counted(running: Gateway) -> None:
    async with running.http.get(f"{running.url}/api/v1/health") as response:
        assert set(await response.json()) >= {"overall_status", "checks"}
        assert (response.headers["Deprecation"], response.headers["Sunset"]) == ("true", "2027-06-30T00:00:00Z")
        assert response.headers.getall("Link")[0] == '</health>; rel="successor-version"'
    status, document, _ = await running.get("/api/v1/openapi.json")
    assert status == 200
    assert document["paths"]["/api/v1/health"]["get"]["deprecated"] is True
    assert "deprecated" not in document["paths"]["/health"]["get"]
    async with running.http.get(f"{running.url}/health") as response:
        assert not {"Deprecation", "Sunset", "Link"} & set(response.headers)
    _, metrics, _ = await running.get("/metrics")
    assert re.search(rb'aurora_deprecated_requests_total\{method="GET",route="/api/v1/health"\} [1-9]', metrics)


async def test_deprecation_can_be_told_as_the_rfcs_have_it(running: Gateway) -> None:
    environment = {**running.environment, "AURORA_RFC_DEPRECATION": "1"}
    async with (
        another_process(environment, running.log_file.with_name("rfc.log")) as (url, _),
        running.http.get(f"{url}/api/v1/health") as response,
    ):
        assert re.fullmatch(r"@\d{10}", response.headers["Deprecation"])
        assert response.headers["Sunset"] == "Wed, 30 Jun 2027 00:00:00 GMT"
