"""OpenAPI from the Endpoint table, and the policy of the page."""

from __future__ import annotations

import base64
import hashlib

from services.gateway.description.domain import document, errors_of
from services.gateway.description.routes import content_security_policy
from services.gateway.system.domain import check_of, degraded, overall
from shared.clock import utc_now
from shared.contracts.alerts import CREATE_ALERT, LIST_ALERTS
from shared.contracts.catalog import ENDPOINTS
from shared.contracts.logs import INGEST_LOGS
from shared.contracts.system import GET_HEALTH, WS_ALERTS, Health, HealthCheck

NAMED = {f"operation_{number}": endpoint for number, endpoint in enumerate(ENDPOINTS.values())}
API = document(NAMED, "gateway", [path for _, path in ENDPOINTS if path.startswith("/api/v1/")])


def test_parameters_come_from_path_and_query() -> None:
    listed = API["paths"]["/api/v1/alerts"]["get"]["parameters"]
    severity = next(one for one in listed if one.get("name") == "severity")
    assert severity["in"] == "query"
    assert not severity["required"]
    assert set(severity["schema"]["enum"]) == {"info", "low", "medium", "high", "critical"}
    (alert_id, *_) = API["paths"]["/api/v1/alerts/{alert_id}"]["get"]["parameters"]
    assert (alert_id["name"], alert_id["in"], alert_id["required"]) == ("alert_id", "path", True)


def test_times_are_named_as_times() -> None:
    fields = API["components"]["schemas"]["Alert"]["properties"]
    assert fields["created_at"] == {"type": "string", "format": "date-time"}
    assert fields["acknowledged_at"]["anyOf"][0] == {"type": "string", "format": "date-time"}
    assert "format" not in fields["title"]


def test_every_error_code_of_an_endpoint_has_an_example() -> None:
    for endpoint in ENDPOINTS.values():
        method = "get" if endpoint.method == "WS" else endpoint.method.lower()
        responses = API["paths"][endpoint.path][method]["responses"]
        for code in errors_of(endpoint, proxied=endpoint.service != "gateway"):
            example = responses[str(code.status)]["content"]["application/json"]["examples"][code.code]["value"]
            told = example if isinstance(example["error"], str) else example["error"]
            assert told["code"] == code.code


def test_writes_of_other_services_take_an_idempotency_key() -> None:
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    assert key in API["paths"]["/api/v1/alerts"]["post"]["parameters"]
    assert key not in API["paths"]["/api/v1/alerts"]["get"]["parameters"]
    assert key not in API["paths"]["/api/v1/auth/token"]["post"]["parameters"]


def test_public_endpoints_need_no_token() -> None:
    assert API["paths"]["/health"]["get"]["security"] == []
    assert "security" not in API["paths"]["/api/v1/alerts"]["get"]


def test_general_errors_follow_from_what_an_endpoint_is() -> None:
    def codes(endpoint: object) -> set[str]:
        return {code.code for code in errors_of(endpoint, proxied=True)}  # type: ignore[arg-type]

    assert {"AURORA-4010", "AURORA-4030", "AURORA-4220", "AURORA-5040"} <= codes(LIST_ALERTS)
    assert {"AURORA-4130", "AURORA-4150", "AURORA-4091"} <= codes(CREATE_ALERT)
    assert "AURORA-4150" not in codes(LIST_ALERTS)
    assert {"AURORA-4030", "AURORA-4000"} <= codes(WS_ALERTS)
    assert "AURORA-4290" in codes(INGEST_LOGS)
    assert not {"AURORA-4290", "AURORA-4010"} & codes(GET_HEALTH)


def test_the_policy_allows_exactly_the_pages_own_script() -> None:
    digest = base64.b64encode(hashlib.sha256(b"a()").digest()).decode()
    policy = content_security_policy("<p><script>a()</script>")
    assert f"script-src 'sha256-{digest}'; style-src 'none'" in policy
    assert "script-src 'none'; style-src 'none'" in content_security_policy("<p>")


def test_what_is_down_is_named_by_what_it_takes_away() -> None:
    reduced = Health("degraded", utc_now(), 1.0, {}, ["live streams"])
    checks = {"nats": HealthCheck("degraded", ""), "siem": check_of("siem", reduced), "other": check_of("other", None)}
    assert checks["siem"].message == "siem is degraded: live streams"
    assert degraded(checks) == ["live streams", "log intake", "log search", "detection", "alerts", "other"]
    assert overall("healthy", checks) == "degraded"
    assert overall("unhealthy", {}) == "unhealthy"
    assert overall("healthy", {"siem": HealthCheck("healthy", "")}) == "healthy"
