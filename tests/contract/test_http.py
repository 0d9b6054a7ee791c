"""What every HTTP answer looks like, whichever service gives it (SOC page, "Error response envelope" and "API
versioning headers"; RCA page, "Standard Error Format")."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import hdrs, web
from aiohttp.test_utils import TestClient, TestServer

from shared.contracts.alerts import CREATE_ALERT, LIST_ALERTS, UPDATE_ALERT, AlertCreate, AlertQuery
from shared.contracts.detections import GET_RULE, IMPORT_RULES
from shared.contracts.samples import MAX_SAMPLE_BYTES, STORE_SAMPLE
from shared.contracts.system import GET_LIVENESS
from shared.errors import AUTHENTICATION_REQUIRED, CASE_NOT_FOUND, RATE_LIMITED, AuroraError
from shared.http import Call, application, bind, bind_streamed
from shared.identity import Principal

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
READER = Principal("user_1", "user", "reader", "viewer", frozenset({"alerts:read"}))
WRITES = frozenset({"alerts:read", "alerts:write", "investigations:write"})
WRITER = Principal("user_2", "user", "writer", "analyst", WRITES)
SECRET = "password of the database"

Client = TestClient[web.Request, web.Application]


async def _authenticate(request: web.Request) -> Principal:
    known = {"Bearer reader": READER, "Bearer writer": WRITER}
    principal = known.get(request.headers.get("Authorization", ""))
    if principal is None:
        raise AuroraError(AUTHENTICATION_REQUIRED)
    return principal


async def _list(call: Call[AlertQuery, None]) -> Any:
    if call.query.q == "busy":
        raise AuroraError(RATE_LIMITED, retry_after=7.2)
    if call.query.q == "gone":
        raise AuroraError(CASE_NOT_FOUND)
    return {"limit": call.query.limit}


async def _create(call: Call[None, AlertCreate]) -> Any:
    return {"title": call.body.title}


async def _fail(_call: Call[Any, Any]) -> Any:
    raise RuntimeError(SECRET)


#: Set once the first piece of a streamed body has come to its handler.
_FIRST = asyncio.Event()


async def _stored(call: Call[None, AsyncIterator[bytes]]) -> Any:
    size = 0
    async for piece in call.body:
        size += len(piece)
        _FIRST.set()
    return {"size": size}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    routes = [
        bind(LIST_ALERTS, _list),
        bind(CREATE_ALERT, _create),
        bind(UPDATE_ALERT, _fail),
        bind(GET_LIVENESS, _fail),
        bind(IMPORT_RULES, _fail),
        bind(GET_RULE, _fail),
        bind_streamed(STORE_SAMPLE, _stored),
    ]
    app = application("siem", routes, authenticate=_authenticate, mode=lambda: "monitor")
    async with TestClient(TestServer(app)) as running:
        yield running


def _as(who: str, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}", **headers}


async def test_an_error_has_the_envelope_of_the_page(client: Client) -> None:
    response = await client.get("/api/v1/alerts?q=gone", headers=_as("reader"))
    assert response.status == 404
    error = (await response.json())["error"]
    assert list(error) == ["code", "message", "detail", "timestamp", "request_id"]
    assert (error["code"], error["message"], error["detail"]) == ("AURORA-4041", "Case not found", None)


async def test_the_timestamp_of_an_error_is_utc_with_milliseconds(client: Client) -> None:
    error = (await (await client.get("/api/v1/nothing")).json())["error"]
    assert TIMESTAMP.fullmatch(error["timestamp"])


async def test_the_request_id_of_an_error_is_that_of_its_response(client: Client) -> None:
    response = await client.get("/api/v1/nothing")
    assert (await response.json())["error"]["request_id"] == response.headers["X-Request-ID"]


async def _malformed(client: Client) -> tuple[Any, int, str]:
    return await client.post("/api/v1/alerts", data=b"{", headers=_as("writer", **JSON)), 400, "AURORA-4000"


async def _unauthenticated(client: Client) -> tuple[Any, int, str]:
    return await client.get("/api/v1/alerts"), 401, "AURORA-4010"


async def _forbidden(client: Client) -> tuple[Any, int, str]:
    return await client.post("/api/v1/alerts", json={"title": "t"}, headers=_as("reader")), 403, "AURORA-4030"


async def _unknown_path(client: Client) -> tuple[Any, int, str]:
    return await client.get("/api/v1/nothing"), 404, "AURORA-4040"


async def _unknown_method(client: Client) -> tuple[Any, int, str]:
    return await client.put("/api/v1/alerts", headers=_as("writer")), 405, "AURORA-4050"


async def _too_large(client: Client) -> tuple[Any, int, str]:
    body = io.BytesIO(b" " * (CREATE_ALERT.max_body + 1))
    return await client.post("/api/v1/alerts", data=body, headers=_as("writer", **JSON)), 413, "AURORA-4130"


async def _wrong_type(client: Client) -> tuple[Any, int, str]:
    xml = {"Content-Type": "application/xml"}
    return await client.post("/api/v1/alerts", data=b"<a/>", headers=_as("writer", **xml)), 415, "AURORA-4150"


async def _invalid(client: Client) -> tuple[Any, int, str]:
    return await client.get("/api/v1/alerts?limit=0", headers=_as("reader")), 422, "AURORA-4220"


async def _busy(client: Client) -> tuple[Any, int, str]:
    return await client.get("/api/v1/alerts?q=busy", headers=_as("reader")), 429, "AURORA-4290"


async def _broken(client: Client) -> tuple[Any, int, str]:
    return await client.patch("/api/v1/alerts/ALRT-2026-000001", json={}, headers=_as("writer")), 500, "AURORA-5000"


JSON = {"Content-Type": "application/json"}
REFUSALS = [
    _malformed,
    _unauthenticated,
    _forbidden,
    _unknown_path,
    _unknown_method,
    _too_large,
    _wrong_type,
    _invalid,
    _busy,
    _broken,
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__.strip("_"))
async def test_every_refusal_is_the_envelope_and_never_html(client: Client, refusal: Any) -> None:
    response, status, code = await refusal(client)
    assert response.status == status
    assert response.content_type == "application/json"
    assert (await response.json())["error"]["code"] == code


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__.strip("_"))
async def test_every_refusal_has_the_three_headers(client: Client, refusal: Any) -> None:
    response, _, _ = await refusal(client)
    assert response.headers["X-API-Version"] == "1.0"
    assert response.headers["X-AuroraSOC-Mode"] == "monitor"
    assert UUID.fullmatch(response.headers["X-Request-ID"])


async def test_an_answer_has_the_three_headers(client: Client) -> None:
    response = await client.get("/api/v1/alerts", headers=_as("reader"))
    assert response.status == 200
    assert response.headers["X-API-Version"] == "1.0"
    assert response.headers["X-AuroraSOC-Mode"] == "monitor"
    assert UUID.fullmatch(response.headers["X-Request-ID"])


async def test_a_valid_request_id_is_kept_and_another_is_replaced(client: Client) -> None:
    kept = await client.get("/api/v1/alerts", headers=_as("reader", **{"X-Request-ID": "trace-me-0001"}))
    assert kept.headers["X-Request-ID"] == "trace-me-0001"
    replaced = await client.get("/api/v1/alerts", headers=_as("reader", **{"X-Request-ID": "<script>alert(1)"}))
    assert UUID.fullmatch(replaced.headers["X-Request-ID"])


async def test_an_unexpected_failure_tells_no_exception_text(client: Client) -> None:
    response = await client.patch("/api/v1/alerts/ALRT-2026-000001", json={}, headers=_as("writer"))
    assert SECRET not in await response.text()


async def test_paths_of_the_rca_page_answer_errors_in_its_format(client: Client) -> None:
    for path, status, code in (("/chat_api/nothing", 404, "AURORA-4040"), ("/health/liveness", 500, "AURORA-5000")):
        response = await client.get(path)
        body = await response.json()
        assert response.status == status
        assert list(body) == ["error", "code"]
        assert body["code"] == code


async def test_problem_json_is_given_to_whoever_asks_for_it(client: Client) -> None:
    response = await client.get("/api/v1/nothing", headers={"Accept": "application/problem+json"})
    body = await response.json(content_type="application/problem+json")
    assert (body["status"], body["title"], body["code"]) == (404, "Resource not found", "AURORA-4040")
    assert body["instance"] == "/api/v1/nothing"


async def test_an_invalid_field_is_named_by_its_path(client: Client) -> None:
    query = await client.get("/api/v1/alerts?limit=201", headers=_as("reader"))
    assert [problem["path"] for problem in (await query.json())["error"]["detail"]] == ["query.limit"]
    wrong = {"title": "t", "observables": [{"type": "ip", "value": 7}]}
    body = await client.post("/api/v1/alerts", json=wrong, headers=_as("writer"))
    assert [problem["path"] for problem in (await body.json())["error"]["detail"]] == ["body.observables[0].value"]
    unknown = await client.get("/api/v1/alerts?colour=red", headers=_as("reader"))
    assert [problem["path"] for problem in (await unknown.json())["error"]["detail"]] == ["query.colour"]


async def test_detail_lists_each_invalid_field_with_its_path(client: Client) -> None:
    query = await client.get("/api/v1/alerts?limit=201&status=lost&colour=red", headers=_as("reader"))
    found = [problem["path"] for problem in (await query.json())["error"]["detail"]]
    assert found == ["query.limit", "query.status", "query.colour"]
    wrong = {"severity": 7, "observables": [{"type": "ip", "value": 7}, {"type": "ip"}], "colour": "red"}
    body = await client.post("/api/v1/alerts", json=wrong, headers=_as("writer"))
    paths = {"title", "severity", "observables[0].value", "observables[1].value", "colour"}
    found = [problem["path"] for problem in (await body.json())["error"]["detail"]]
    assert sorted(found) == sorted(f"body.{path}" for path in paths)
    broken = await client.post("/api/v1/alerts", data=b'{"severity": 7, ', headers=_as("writer", **JSON))
    assert broken.status == 400


async def test_a_character_that_no_store_holds_is_told_with_its_field(client: Client) -> None:
    query = await client.get("/api/v1/alerts?host=a%00b", headers=_as("reader"))
    path = await client.patch("/api/v1/alerts/ALRT%00", json={}, headers=_as("writer"))
    for response, field in ((query, "query.host"), (path, "path.alert_id")):
        assert response.status == 422
        assert [one["path"] for one in (await response.json())["error"]["detail"]] == [field]
    assert (await client.get("/api/v1/alerts?q=a%00b", headers=_as("reader"))).status == 200


async def test_a_refused_method_names_those_that_are_allowed(client: Client) -> None:
    response = await client.put("/api/v1/alerts", headers=_as("writer"))
    assert set(response.headers[hdrs.ALLOW].split(",")) >= {"GET", "POST"}


async def test_a_path_that_is_written_out_is_never_the_parameter_of_another(client: Client) -> None:
    response = await client.get(IMPORT_RULES.path, headers=_as("writer"))
    assert (response.status, response.headers[hdrs.ALLOW]) == (405, "POST")


async def test_a_number_is_no_time(client: Client) -> None:
    for value in ("0", "0.5", "-1e3", "1718366400"):
        response = await client.get(f"/api/v1/alerts?since={value}", headers=_as("reader"))
        assert response.status == 422
    assert (await client.get("/api/v1/alerts?since=2026-06-14T12:00:00Z", headers=_as("reader"))).status == 200


async def test_a_time_at_an_end_of_the_calendar_is_refused_where_it_is_named(client: Client) -> None:
    ends = ("0001-01-01T00:00:00+09:00", "9999-12-31T23:59:59-09:00", "0999-12-31T00:00:00Z")
    for end in ends:
        query = await client.get("/api/v1/alerts", params={"until": end}, headers=_as("reader"))
        assert query.status == 422
        assert [one["path"] for one in (await query.json())["error"]["detail"]] == ["query.until"]
        wrong = {"title": "t", "evidence": [{"log_id": "1"}, {"log_id": "2", "timestamp": end}]}
        body = await client.post("/api/v1/alerts", json=wrong, headers=_as("writer"))
        assert body.status == 422
        assert [one["path"] for one in (await body.json())["error"]["detail"]] == ["body.evidence[1].timestamp"]


async def test_the_word_null_is_a_text_or_nothing(client: Client) -> None:
    for name in ("severity", "since", "until"):
        response = await client.get(f"/api/v1/alerts?{name}=null", headers=_as("reader"))
        assert response.status == 422
        assert [one["path"] for one in (await response.json())["error"]["detail"]] == [f"query.{name}"]
    assert (await client.get("/api/v1/alerts?q=null", headers=_as("reader"))).status == 200


async def test_a_rate_limit_says_when_to_come_back(client: Client) -> None:
    response = await client.get("/api/v1/alerts?q=busy", headers=_as("reader"))
    assert response.headers[hdrs.RETRY_AFTER] == "7"


async def test_a_request_that_is_not_http_is_answered_without_html(client: Client) -> None:
    assert client.port is not None
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"GET /api/v1/alerts HTTP/1.1\r\nHost: h\r\nno colon here\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert b"text/html" not in answer


async def test_a_streamed_body_is_handled_as_it_comes_and_its_limit_held_while_reading(client: Client) -> None:
    headers = _as("writer", **{"Content-Type": "application/octet-stream"})
    _FIRST.clear()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        async with asyncio.timeout(10):
            await _FIRST.wait()
        yield b"last"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_SAMPLE_BYTES // 2**20 + 1):
            yield bytes(2**20)

    stored = await client.post("/api/v1/samples", data=slow(), headers=headers)
    assert (stored.status, await stored.json()) == (201, {"size": 9})
    too_large = await client.post("/api/v1/samples", data=endless(), headers=headers)
    assert (too_large.status, (await too_large.json())["error"]["code"]) == (413, "AURORA-4130")
