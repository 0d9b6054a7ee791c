"""Requests that other services answer, through a real gateway to a real service that checks the signed identity."""

from __future__ import annotations

import asyncio
import gzip
import io
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web

from shared.contracts.alerts import ACKNOWLEDGE_ALERT, CREATE_ALERT, GET_ALERT, LIST_ALERTS
from shared.contracts.detections import CREATE_RULE
from shared.contracts.investigations import LIST_INVESTIGATIONS
from shared.contracts.logs import INGEST_LOGS
from shared.errors import RATE_LIMITED, AuroraError
from shared.http import Call
from tests.gateway import Gateway, Upstream, gateway
from tests.stack import Servers

INGEST = "/api/v1/siem/logs/ingest"
JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers, tmp_path_factory: Any) -> AsyncIterator[Gateway]:
    async with gateway(servers, tmp_path_factory.mktemp("gateway")) as started:
        yield started


@pytest.fixture
def siem(running: Gateway) -> Any:
    service = running.upstreams["siem"]
    yield service
    service.answers.clear()
    service.seen.clear()


async def test_a_request_goes_to_its_service_in_the_callers_name(running: Gateway, siem: Upstream) -> None:
    token = running.token_of("analyst")
    status, told, _ = await running.get("/api/v1/alerts?limit=7&q=a%26b%3D%20c", headers=running.bearer(token))
    assert status == 200
    assert told["endpoint"] == str(LIST_ALERTS)
    assert told["query"] == {"limit": "7", "q": "a&b= c"}
    assert told["principal"] == {"id": "user_analyst", "role": "analyst"}
    assert told["headers"]["authorization"] != f"Bearer {token}"


async def test_request_id_and_trace_go_through(running: Gateway, siem: Upstream) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = {"X-Request-ID": "my-request-0001", "traceparent": trace}
    _, told, headers = await running.get("/api/v1/alerts", headers=sent)
    assert told["headers"]["x-request-id"] == headers["X-Request-ID"] == "my-request-0001"
    assert told["headers"]["traceparent"].split("-")[1] == trace.split("-")[1]
    assert told["headers"]["traceparent"].split("-")[2] != trace.split("-")[2]


async def test_path_parameters_arrive_as_they_were_sent(running: Gateway, siem: Upstream) -> None:
    for sent, expected in (("ALRT-2026-000001", "ALRT-2026-000001"), ("a%2Fb%3Fc%23d%25", "a/b?c#d%"), ("%C3%A9", "é")):
        status, told, _ = await running.get(f"/api/v1/alerts/{sent}")
        assert (status, told["endpoint"], told["path"]) == (200, str(GET_ALERT), {"alert_id": expected})


async def test_the_query_of_an_endpoint_without_one_stays_behind(running: Gateway, siem: Upstream) -> None:
    _, told, _ = await running.get("/api/v1/alerts/ALRT-2026-000001?x=1")
    assert told["query"] == {}


async def test_a_refusal_comes_back_as_the_service_told_it(running: Gateway, siem: Upstream) -> None:
    async def busy(_call: Call[Any, Any]) -> Any:
        raise AuroraError(RATE_LIMITED, {"queue": "full"}, retry_after=7)

    siem.answers[INGEST_LOGS] = busy
    status, answer, headers = await running.ask("POST", INGEST, data=b"{}", headers=JSON)
    assert (status, answer["error"]["code"], headers["Retry-After"]) == (429, "AURORA-4290", "7")
    assert answer["error"]["detail"] == {"queue": "full"}
    assert answer["error"]["request_id"] == headers["X-Request-ID"]


async def test_status_and_headers_of_an_answer_pass_and_cookies_dont(running: Gateway, siem: Upstream) -> None:
    async def answer(_call: Call[Any, Any]) -> web.Response:
        headers = {"ETag": '"1"', "Set-Cookie": "a=b", "X-Internal": "1", "X-AuroraSOC-Mode": "active"}
        return web.json_response({"ok": True}, status=201, headers=headers)

    siem.answers[CREATE_ALERT] = answer
    body = b'{"title": "t"}'
    status, decoded, headers = await running.ask("POST", "/api/v1/alerts", data=body, headers=JSON)
    assert (status, decoded, headers["ETag"]) == (201, {"ok": True}, '"1"')
    assert "Set-Cookie" not in headers
    assert "X-Internal" not in headers
    assert headers.getall("X-AuroraSOC-Mode") == ["monitor"]  # type: ignore[attr-defined]


async def test_a_large_body_is_streamed_to_the_service(running: Gateway, siem: Upstream) -> None:
    body = b'{"a":"' + secrets.token_hex(4 * 1024 * 1024).encode() + b'"}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    status, told, _ = await running.ask("POST", INGEST, data=io.BytesIO(body), headers=headers)
    assert (status, told["body_bytes"]) == (202, len(body))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    status, told, _ = await running.ask("POST", INGEST, data=pieces(), headers=headers)
    assert (status, told["body_bytes"]) == (202, len(body))


async def test_a_compressed_body_passes_as_it_is(running: Gateway, siem: Upstream) -> None:
    plain = b'{"a":1}\n' * 10_000
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    status, told, _ = await running.ask("POST", INGEST, data=gzip.compress(plain), headers=headers)
    assert (status, told["body_bytes"]) == (202, len(plain))
    assert int(told["headers"]["content-length"]) < len(plain) // 10


async def test_a_body_over_the_endpoints_limit_is_refused_however_it_is_sent(running: Gateway, siem: Upstream) -> None:
    body = b'{"title": "' + b"x" * (ACKNOWLEDGE_ALERT.max_body + 1) + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    for data in (io.BytesIO(body), pieces()):
        status, answer, _ = await running.ask("POST", "/api/v1/alerts", data=data, headers=JSON)
        assert (status, answer["error"]["code"]) == (413, "AURORA-4130")
        assert answer["error"]["detail"] == {"limit_bytes": CREATE_ALERT.max_body}
    assert siem.seen == []


async def test_a_client_that_goes_away_while_it_sends_is_not_the_services_fault(
    running: Gateway, siem: Upstream
) -> None:
    where = urlsplit(running.url)
    _, writer = await asyncio.open_connection(where.hostname, where.port)
    head = f"POST {INGEST} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {running.token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nX-Request-ID: gone-away-1\r\n".encode())
    writer.write(b"Content-Length: 1000000\r\n\r\n" + b"x" * 500_000)
    await writer.drain()
    writer.transport.abort()
    told = await running.logged("gone-away-1")
    assert not [line for line in told if line["message"] == "service can't be reached"]
    assert siem.seen == []
    assert (await running.get("/api/v1/alerts"))[0] == 200


async def test_a_large_answer_is_streamed_to_the_client(running: Gateway, siem: Upstream) -> None:
    body = secrets.token_bytes(3 * 1024 * 1024)

    async def answer(call: Call[Any, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(call.request)
        for start in range(0, len(body), 50_000):
            await response.write(body[start : start + 50_000])
        return response

    siem.answers[LIST_ALERTS] = answer
    status, received, _ = await running.get("/api/v1/alerts")
    assert (status, received) == (200, body)


async def test_an_answer_arrives_piece_by_piece(running: Gateway, siem: Upstream) -> None:
    read_first = asyncio.Event()

    async def answer(call: Call[Any, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(call.request)
        await response.write(b"data: 1\n\n")
        async with asyncio.timeout(5):
            await read_first.wait()
        await response.write(b"data: 2\n\n")
        return response

    siem.answers[LIST_ALERTS] = answer
    async with running.http.get(f"{running.url}/api/v1/alerts", headers=running.bearer()) as response:
        assert await response.content.readany() == b"data: 1\n\n"
        read_first.set()
        assert await response.content.readany() == b"data: 2\n\n"


async def test_an_answer_that_breaks_off_is_never_taken_for_whole(running: Gateway, siem: Upstream) -> None:
    async def answer(call: Call[Any, Any]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(call.request)
        await response.write(b"x" * 100_000)
        assert call.request.transport is not None
        call.request.transport.abort()
        return response

    siem.answers[LIST_ALERTS] = answer
    with pytest.raises(Exception, match=r"(?i)payload|disconnect|reset"):
        await running.get("/api/v1/alerts")


async def test_a_service_that_answers_out_of_contract_is_our_fault(running: Gateway, siem: Upstream) -> None:
    async def html(_call: Call[Any, Any]) -> web.Response:
        return web.Response(status=502, text="<html>Bad gateway</html>", content_type="text/html")

    async def unauthorised(_call: Call[Any, Any]) -> web.Response:
        return web.json_response({"error": {"code": "AURORA-4012"}}, status=401)

    for wrong in (html, unauthorised):
        siem.answers[LIST_ALERTS] = wrong
        status, answer, headers = await running.get("/api/v1/alerts")
        assert (status, answer["error"]["code"]) == (503, "AURORA-5030")
        assert answer["error"]["detail"] == {"service": "siem"}
        assert headers["Content-Type"] == "application/json"


async def test_a_service_that_is_down_is_named_and_takes_nothing_else_with_it(servers: Servers, tmp_path: Path) -> None:
    dead = {"orchestrator_url": "http://127.0.0.1:9"}
    async with gateway(servers, tmp_path, **dead) as started:
        status, answer, _ = await started.get(LIST_INVESTIGATIONS.path)
        assert (status, answer["error"]["code"]) == (503, "AURORA-5030")
        assert answer["error"]["detail"] == {"service": "orchestrator"}
        assert (await started.get("/api/v1/alerts"))[0] == 200
        status, health, _ = await started.get("/health")
        assert (status, health["overall_status"]) == (200, "degraded")
        assert health["checks"]["orchestrator"]["status"] == "unhealthy"
        assert health["degraded"] == ["investigations"]


async def test_a_connection_that_went_stale_is_not_the_clients_business(running: Gateway, siem: Upstream) -> None:
    closing: list[asyncio.Future[None]] = []

    async def close_after(call: Call[Any, Any]) -> web.Response:
        transport, closed = call.request.transport, asyncio.get_running_loop().create_future()
        assert transport is not None
        closing.append(closed)

        def close() -> None:
            transport.close()
            closed.set_result(None)

        asyncio.get_running_loop().call_later(0.05, close)
        return web.json_response({})

    siem.answers[LIST_ALERTS] = close_after
    for _ in range(5):
        assert (await running.get("/api/v1/alerts"))[0] == 200
    # None may close under the next test, whose writes are never sent twice.
    await asyncio.gather(*closing)


async def _keyed(running: Gateway, key: str, body: bytes = b"[{}]", **options: Any) -> tuple[int, Any, Any]:
    headers = {**JSON, "Idempotency-Key": key, **options.pop("headers", {})}
    return await running.ask("POST", options.pop("path", INGEST), data=body, headers=headers)


async def test_a_write_that_is_sent_again_under_its_key_is_done_once(running: Gateway, siem: Upstream) -> None:
    key = secrets.token_hex(8)
    first = await _keyed(running, key)
    second = await _keyed(running, key)
    assert first[:2] == second[:2]
    assert second[2]["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first[2]
    assert len(siem.seen) == 1


async def test_a_key_that_was_used_for_another_request_is_a_conflict(running: Gateway, siem: Upstream) -> None:
    key = secrets.token_hex(8)
    await _keyed(running, key)
    for other in ({"body": b"[{},{}]"}, {"path": f"{INGEST}?source=x"}, {"path": "/api/v1/alerts"}):
        status, answer, _ = await _keyed(running, key, **other)
        assert (status, answer["error"]["code"]) == (409, "AURORA-4090")
    assert len(siem.seen) == 1


async def test_keys_of_two_callers_never_meet(running: Gateway, siem: Upstream) -> None:
    key = secrets.token_hex(8)
    await _keyed(running, key)
    other = running.bearer(running.token_of("analyst"))
    status, told, headers = await _keyed(running, key, headers=other)
    assert (status, told["principal"]["id"]) == (202, "user_analyst")
    assert "Idempotency-Replayed" not in headers


async def test_a_key_in_use_is_a_conflict_that_may_be_tried_again(running: Gateway, siem: Upstream) -> None:
    key = secrets.token_hex(8)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_call: Call[Any, Any]) -> dict[str, bool]:
        arrived.set()
        await go_on.wait()
        return {"done": True}

    siem.answers[INGEST_LOGS] = slow
    first = asyncio.create_task(_keyed(running, key))
    async with asyncio.timeout(10):
        await arrived.wait()
        status, answer, headers = await _keyed(running, key)
        assert (status, answer["error"]["code"], headers["Retry-After"]) == (409, "AURORA-4090", "1")
        go_on.set()
        assert (await first)[0] == 202
    assert (await _keyed(running, key))[1] == {"done": True}


async def test_a_key_is_free_again_after_a_failure(running: Gateway, siem: Upstream) -> None:
    key = secrets.token_hex(8)

    async def busy(_call: Call[Any, Any]) -> Any:
        raise AuroraError(RATE_LIMITED, retry_after=1)

    siem.answers[INGEST_LOGS] = busy
    assert (await _keyed(running, key))[0] == 429
    siem.answers.clear()
    status, _, headers = await _keyed(running, key)
    assert status == 202
    assert "Idempotency-Replayed" not in headers


async def test_a_refusal_of_the_request_itself_is_told_again(running: Gateway, siem: Upstream) -> None:
    key = secrets.token_hex(8)
    options = {"path": "/api/v1/alerts", "body": b'{"severity": "high"}'}
    first = await _keyed(running, key, **options)  # type: ignore[arg-type]
    second = await _keyed(running, key, **options)  # type: ignore[arg-type]
    assert first[0] == second[0] == 422
    assert second[2]["Idempotency-Replayed"] == "true"


async def test_a_malformed_key_is_refused(running: Gateway, siem: Upstream) -> None:
    for key in ("x" * 256, "a b", "é"):
        status, answer, _ = await _keyed(running, key)
        assert (status, answer["error"]["detail"][0]["path"]) == (422, "header.Idempotency-Key")


async def test_requests_are_limited_per_caller_but_never_intake_and_health(servers: Servers, tmp_path: Path) -> None:
    async with gateway(servers, tmp_path, requests_per_minute="3") as strict:
        for left in ("2", "1", "0"):
            status, _, headers = await strict.get("/api/v1/alerts")
            assert (status, headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == (200, "3", left)
            assert headers["RateLimit"].startswith(f'"soc";r={left};t=')
            assert headers["RateLimit-Policy"] == '"soc";q=3;w=60'
            assert int(headers["X-RateLimit-Reset"]) > 1_700_000_000
        status, answer, headers = await strict.get("/api/v1/alerts")
        assert (status, answer["error"]["code"]) == (429, "AURORA-4290")
        assert 1 <= int(headers["Retry-After"]) <= 60
        assert headers["X-RateLimit-Remaining"] == "0"
        assert (await strict.ask("POST", INGEST, data=b"{}", headers=JSON))[0] == 202
        assert (await strict.get("/health"))[0] == 200
        other = strict.bearer(strict.token_of("viewer"))
        assert (await strict.get("/api/v1/alerts", headers=other))[0] == 200


async def test_a_wrong_media_type_is_refused_by_the_service_in_the_envelope(running: Gateway, siem: Upstream) -> None:
    headers = {"Content-Type": "text/html"}
    status, answer, _ = await running.ask("POST", CREATE_RULE.path, data=b"<p>", headers=headers)
    assert (status, answer["error"]["code"]) == (415, "AURORA-4150")
