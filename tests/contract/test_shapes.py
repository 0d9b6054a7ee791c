"""The shapes that clients rely on, against the pages' examples and the decisions about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import msgspec
import pytest

from shared.contracts import agents, alerts, common, identity, investigations, logs, system
from shared.contracts.catalog import ERROR_CODES
from shared.contracts.constants import SCOPES
from shared.contracts.wire import encode
from shared.identity import ROLE_PERMISSIONS, Principal

READS = {scope for scope in SCOPES if scope.endswith(":read")}

# Word for word from the SOC page, "A2A protocol".
PAGE_PARAMS = b'{"alert_id": "ALRT-2026-05821", "iocs": [{"type": "ip", "value": "45.33.32.156"}]}'
PAGE_RESULT: dict[str, Any] = {
    "severity": "high",
    "confidence": 0.89,
    "mitre_techniques": ["T1566.001"],
    "iocs": [{"type": "domain", "value": "evil.example.com"}],
}


def _fields(kind: type) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def test_the_pages_request_to_an_agent_is_understood() -> None:
    params = msgspec.json.decode(PAGE_PARAMS, type=agents.ANALYZE_THREAT.params)
    assert params.alert_id == "ALRT-2026-05821"
    assert params.iocs == [common.Observable("ip", "45.33.32.156")]


def test_an_agents_answer_begins_as_the_page_has_it() -> None:
    answer = msgspec.json.decode(encode(msgspec.convert(PAGE_RESULT, agents.Assessment)))
    assert {name: answer[name] for name in list(answer)[:4]} == PAGE_RESULT


def test_a_handoff_has_the_decided_metadata() -> None:
    decided = "handoff_id from to deadline hops budget capabilities evidence reason traceparent"
    assert set(decided.split()) <= set(_fields(agents.Handoff))
    assert _fields(agents.Budget) == ["tool_calls", "seconds"]


def test_an_alert_has_the_decided_fields() -> None:
    decided = (
        "id title description severity status source type source_ref rule_id mitre_techniques observables entities"
        " evidence count first_seen last_seen created_at updated_at acknowledged_by acknowledged_at case_id"
        " investigation_id"
    )
    assert _fields(alerts.Alert) == decided.split()
    assert get_args(common.Severity) == ("info", "low", "medium", "high", "critical")
    statuses = ("new", "triaged", "investigating", "escalated", "resolved", "false_positive")
    assert get_args(alerts.AlertStatus) == statuses


def test_an_investigation_has_the_decided_fields() -> None:
    decided = (
        "id alert_ids status severity confidence verdict mitre_techniques iocs summary findings citations ruled_out"
        " not_checked steps created_at completed_at"
    )
    assert set(decided.split()) <= set(_fields(investigations.Investigation))
    assert set(_fields(investigations.Finding)) == {"agent", "claim", "confidence", "citations"}
    assert set(_fields(investigations.Citation)) == {"id", "agent", "tool", "arguments", "result", "executed_at"}
    steps = {"id", "agent", "method", "status", "started_at", "finished_at", "error"}
    assert steps <= set(_fields(investigations.Step))
    statuses = {"queued", "running", "review_required", "completed", "failed", "cancelled"}
    assert set(get_args(investigations.InvestigationStatus)) == statuses
    assert set(get_args(common.Verdict)) == {"malicious", "suspicious", "benign", "undetermined"}


def test_a_stream_frame_has_the_decided_fields() -> None:
    assert _fields(system.StreamFrame) == ["sequence", "type", "time", "data"]


def test_a_token_answer_has_the_decided_fields() -> None:
    assert _fields(identity.TokenResponse) == ["access_token", "token_type", "expires_in", "refresh_token"]


def test_an_intake_receipt_has_the_decided_fields() -> None:
    assert _fields(logs.IngestReceipt) == ["accepted", "rejected", "errors", "receipt"]
    assert _fields(logs.IngestProblem) == ["index", "message"]


def test_health_has_the_fields_of_the_page() -> None:
    assert {"overall_status", "timestamp", "response_time_ms", "checks"} <= set(_fields(system.Health))
    assert _fields(system.HealthCheck) == ["status", "message"]
    assert encode(system.Alive()) == b'{"status":"alive"}'
    assert encode(system.Ready()) == b'{"status":"ready"}'


def test_a_list_takes_one_to_two_hundred_and_fifty_by_default() -> None:
    assert common.PageQuery().limit == 50
    for limit in (1, 200):
        assert msgspec.convert({"limit": limit}, common.PageQuery).limit == limit
    for limit in (0, 201):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"limit": limit}, common.PageQuery)


def test_a_page_without_a_next_one_says_null_and_leaves_out_an_unknown_total() -> None:
    assert encode(common.Page[int]([1])) == b'{"items":[1],"next_cursor":null}'


def test_times_are_sent_in_utc_with_milliseconds() -> None:
    noon = datetime(2026, 6, 14, 14, 0, 0, 1999, tzinfo=timezone(timedelta(hours=2)))
    assert encode({"at": noon, "on": datetime(2026, 6, 14, tzinfo=UTC)}) == (
        b'{"at":"2026-06-14T12:00:00.001Z","on":"2026-06-14T00:00:00.000Z"}'
    )


def test_a_time_without_a_zone_is_never_sent() -> None:
    with pytest.raises((TypeError, ValueError)):
        encode({"at": datetime(2026, 6, 14)})  # noqa: DTZ001 - the very mistake


def test_roles_have_exactly_the_decided_permissions() -> None:
    writes = {f"{domain}:write" for domain in ("alerts", "edr", "soar", "network")}
    assert ROLE_PERMISSIONS["admin"] == set(SCOPES)
    assert ROLE_PERMISSIONS["analyst"] == set(SCOPES) - {"system:write"}
    assert ROLE_PERMISSIONS["operator"] == READS | writes
    assert ROLE_PERMISSIONS["viewer"] == READS
    assert ROLE_PERMISSIONS["api_service"] == frozenset()


def test_deny_is_the_default() -> None:
    nobody = Principal("user_1", "user", "nobody", "api_service", frozenset())
    assert nobody.may("Public")
    assert nobody.may("Authenticated")
    assert not any(nobody.may(permission) for permission in ("Admin", *SCOPES, "", "invented:read"))


def test_json_rpc_codes_of_our_own_stay_in_their_range() -> None:
    standard = {-32700, -32600, -32601, -32602, -32603}
    ours = {row.rpc_code for row in ERROR_CODES.values()} - standard
    assert ours
    assert all(-32019 <= code <= -32010 for code in ours)
