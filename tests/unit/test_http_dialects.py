"""Refusals in other products' words, and which paths are theirs."""

from __future__ import annotations

import orjson
import pytest

from shared.contracts.constants import ERROR_CODES
from shared.errors import INVALID_CREDENTIALS, RATE_LIMITED, AuroraError, field_error
from shared.http_dialects import CODE_HEADER, Refusal, is_foreign, refusal_of

DOORS = ("/", "/_bulk", "/index/_doc/1", "/services/collector/event", "/loki/api/v1/push", "/v1/logs", "/mcp")


def _refusal(path: str, error: AuroraError, media_type: str = "application/json") -> Refusal:
    refusal = refusal_of(path, media_type, error)
    assert refusal is not None
    return refusal


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("code", ERROR_CODES.values(), ids=str)
def test_every_code_has_a_form_at_every_door(path: str, code: object) -> None:
    for media_type in ("application/json", "application/x-protobuf"):
        refusal = _refusal(path, AuroraError(code), media_type)  # type: ignore[arg-type]
        assert refusal.headers[CODE_HEADER] == code.code  # type: ignore[attr-defined]
        assert refusal.status >= 400
        if refusal.content_type == "application/json":
            assert orjson.loads(refusal.body)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/alerts",
        "/api/v1/siem/logs/ingest",
        "/metrics",
        "/health",
        "/login",
        "/api/incidents/_x",
        "/services/collectors",
        "/v1/logs/x",
        "/a/b/_bulk",
        "/index/_search",
    ],
)
def test_auroras_own_paths_keep_its_own_form(path: str) -> None:
    assert not is_foreign(path)
    assert refusal_of(path, "", AuroraError(INVALID_CREDENTIALS)) is None


def test_elasticsearch_names_type_reason_and_status() -> None:
    refusal = _refusal("/logs/_bulk", AuroraError(RATE_LIMITED))
    told = orjson.loads(refusal.body)
    assert (refusal.status, told["status"]) == (429, 429)
    assert told["error"]["type"] == told["error"]["root_cause"][0]["type"] == "es_rejected_execution_exception"
    assert refusal.headers["X-Elastic-Product"] == "Elasticsearch"


def test_hec_is_busy_with_the_status_that_its_clients_wait_for() -> None:
    refusal = _refusal("/services/collector", AuroraError(RATE_LIMITED))
    assert (refusal.status, orjson.loads(refusal.body)) == (503, {"text": "Server is busy", "code": 9})


def test_a_wrong_field_is_named() -> None:
    told = orjson.loads(_refusal("/services/collector/raw", field_error("query.host", "is too long")).body)
    assert told == {"text": "Validation error: query.host is too long", "code": 6}


@pytest.mark.parametrize("length", [1, 127, 128, 1024, 5000])
def test_otlp_in_protobuf_is_a_google_rpc_status(length: int) -> None:
    body = _refusal("/v1/logs", AuroraError(RATE_LIMITED, message="x" * length), "application/x-protobuf").body
    assert body[:3] == b"\x08\x08\x12"
    size, start = (body[3], 4) if body[3] < 128 else (body[3] & 0x7F | body[4] << 7, 5)
    assert body[start:] == b"x" * min(length, 1024)
    assert size == len(body) - start


def test_mcp_is_refused_by_an_error_of_json_rpc() -> None:
    told = orjson.loads(_refusal("/mcp", AuroraError(RATE_LIMITED)).body)
    error = {"code": -32016, "message": "Rate limit exceeded", "data": {"code": "AURORA-4290"}}
    assert told == {"jsonrpc": "2.0", "id": None, "error": error}
