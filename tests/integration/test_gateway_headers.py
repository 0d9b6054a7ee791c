"""What every answer carries, whatever it is: versions, security headers, CORS, and the form of a refusal."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from shared.contracts.alerts import CREATE_ALERT, LIST_ALERTS
from shared.contracts.identity import CREATE_TOKEN
from tests.gateway import Gateway, gateway
from tests.stack import Servers, data_folder, embedded_servers

FRONTEND = "https://soc.example.org"
#: RCA page, "CORS Configuration".
PAGE_METHODS = {"GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
PAGE_HEADERS = {
    "Content-Type",
    "X-Provider",
    "X-Requested-With",
    "X-User-ID",
    "Authorization",
    "X-Provider-Preference",
}


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def servers() -> AsyncIterator[Servers]:
    with data_folder() as folder:
        async with embedded_servers(folder) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FRONTEND_URL", FRONTEND)
        async with gateway(servers, Path(tmp_path_factory.mktemp("gateway"))) as running:
            yield running


def _assert_stamped(headers: Mapping[str, str]) -> None:
    assert headers["X-API-Version"] == "1.0"
    assert re.fullmatch(r"[A-Za-z0-9._:-]{8,128}", headers["X-Request-ID"])
    assert headers["X-AuroraSOC-Mode"] in {"dry_run", "monitor", "active"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "aiohttp" not in headers.get("Server", "")


XML = {"Content-Type": "application/xml"}
JSON = {"Content-Type": "application/json"}
#: method, path, options, status.
ANSWERS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", LIST_ALERTS.path, {}, 200),
    ("GET", "/health/liveness", {}, 200),
    ("GET", "/api/v1/docs", {}, 200),
    ("GET", "/", {"headers": {"Accept": "text/html", "Authorization": ""}, "allow_redirects": False}, 302),
    ("POST", "/api/v1/ws/tickets", {}, 201),
    ("OPTIONS", LIST_ALERTS.path, {"headers": {"Origin": FRONTEND}}, 204),
    ("POST", CREATE_TOKEN.path, {"data": b"{", "headers": JSON}, 400),
    ("GET", LIST_ALERTS.path, {"headers": {"Authorization": "Bearer nobody"}}, 401),
    ("GET", "/api/v1/nothing", {}, 404),
    ("GET", "/chat_api/nothing", {}, 404),
    ("GET", "/no/such/page.html", {}, 404),
    ("PUT", LIST_ALERTS.path, {}, 405),
    ("DELETE", "/health", {}, 405),
    ("TRACE", "/api/v1/users/me", {}, 405),
    ("POST", CREATE_TOKEN.path, {"data": b" " * (CREATE_TOKEN.max_body + 1), "headers": JSON}, 413),
    ("POST", CREATE_ALERT.path, {"data": io.BytesIO(b" " * (CREATE_ALERT.max_body + 1)), "headers": JSON}, 413),
    ("POST", CREATE_TOKEN.path, {"data": b"<a/>", "headers": XML}, 415),
    ("POST", "/api/auth/login", {"data": b"<a/>", "headers": XML}, 415),
    ("POST", "/api/auth/login", {"data": b"{", "headers": JSON}, 400),
    ("GET", "/api/v1/auth/api-keys?limit=0", {}, 422),
]


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    ANSWERS,
    ids=[f"{status} {method} {path}" for method, path, _, status in ANSWERS],
)
async def test_every_answer_has_its_headers_and_none_is_html_but_the_page(
    running: Gateway, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    headers = {**running.bearer(), **options.get("headers", {})}
    rest = {name: value for name, value in options.items() if name != "headers"}
    if not headers["Authorization"]:
        del headers["Authorization"]
    async with running.http.request(method, running.url + path, headers=headers, **rest) as response:
        assert response.status == status
        _assert_stamped(response.headers)
        if status >= 400:
            assert response.content_type == "application/json"
            body = await response.json()
            told = body["error"] if path.startswith("/api/v1/") else body
            assert str(told["code"]).startswith(f"AURORA-{status}")


async def test_paths_of_the_rca_page_refuse_in_its_form_and_as_a_problem_who_asks(running: Gateway) -> None:
    for method, path, status in (("GET", "/chat_api/x", 404), ("PUT", "/health", 405), ("GET", "/api/incidents/", 404)):
        answered, body, _ = await running.ask(method, path)
        assert (answered, list(body)) == (status, ["error", "code"])
        problem = {"Accept": "application/problem+json"}
        answered, body, headers = await running.ask(method, path, headers=problem)
        assert (answered, body["status"], headers["Content-Type"]) == (status, status, "application/problem+json")


async def test_a_handshake_has_the_headers_too(running: Gateway) -> None:
    url = running.url.replace("http", "ws") + "/api/v1/ws/alerts"
    async with running.http.ws_connect(url, headers=running.bearer()) as socket:
        _assert_stamped(socket._response.headers)


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n"]
)
async def test_what_is_no_http_is_refused_with_the_headers(running: Gateway, sent: bytes) -> None:
    address = urlsplit(running.url)
    assert address.hostname is not None
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(sent)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert " 400 " in lines[0]
    _assert_stamped(dict(line.split(": ", 1) for line in lines[1:]))
    assert b"AURORA-4000" in body


async def test_tls_is_asked_for_wherever_the_name_is_not_loopback(running: Gateway) -> None:
    _, _, local = await running.get("/health")
    assert "Strict-Transport-Security" not in local
    _, _, foreign = await running.get("/health", headers={"Host": "soc.example.org"})
    assert foreign["Strict-Transport-Security"].startswith("max-age=")


async def test_a_preflight_of_the_frontend_allows_what_the_page_allows(running: Gateway) -> None:
    ask = {"Origin": FRONTEND, "Access-Control-Request-Method": "PATCH"}
    async with running.http.options(running.url + "/api/incidents/1", headers=ask) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == FRONTEND
        assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert set(response.headers["Access-Control-Allow-Methods"].split(", ")) == PAGE_METHODS
        assert set(response.headers["Access-Control-Allow-Headers"].split(", ")) >= PAGE_HEADERS


@pytest.mark.parametrize(
    "origin", ["https://evil.example.org", FRONTEND + ".evil.org", "null", FRONTEND + "/", "http" + FRONTEND[5:]]
)
async def test_no_other_origin_is_let_in(running: Gateway, origin: str) -> None:
    _, _, headers = await running.get("/health", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in headers
    assert "Origin" in headers["Vary"]
