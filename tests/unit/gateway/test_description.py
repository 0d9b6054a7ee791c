"""OpenAPI from the Endpoint table, and the policy of the page."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import msgspec

from services.gateway.description import examples
from services.gateway.description.domain import document
from services.gateway.description.responses import errors_of
from services.gateway.description.routes import content_security_policy
from services.gateway.system.domain import check_of, degraded, overall
from shared.clock import utc_now
from shared.contracts.alerts import CREATE_ALERT, LIST_ALERTS
from shared.contracts.audit import LIST_AUDIT
from shared.contracts.catalog import ENDPOINTS, MODULES
from shared.contracts.cloud import DISCONNECT_GCP
from shared.contracts.constants import Endpoint
from shared.contracts.detections import GET_RULE, UPDATE_RULE
from shared.contracts.doors_elasticsearch import ES_PING
from shared.contracts.doors_loki import LOKI_PUSH
from shared.contracts.doors_otlp import OTLP_LOGS
from shared.contracts.doors_splunk import HEC_EVENT
from shared.contracts.hunts import RUN_HUNT
from shared.contracts.investigations import INVESTIGATE
from shared.contracts.logs import INGEST_LOGS
from shared.contracts.suppressions import CREATE_SUPPRESSION
from shared.contracts.system import GET_HEALTH, WS_ALERTS, Health, HealthCheck
from shared.errors import VALIDATION
from shared.http_dialects import is_foreign

AnyEndpoint = Endpoint[Any, Any, Any]
SOC_PATHS = [path for _, path in ENDPOINTS if path.startswith("/api/v1/")]
NUMBERED = {f"operation_{number}": endpoint for number, endpoint in enumerate(ENDPOINTS.values())}
API = document(NUMBERED, "gateway", SOC_PATHS, "cookie")
NAMED_API = document(
    {name.lower(): one for module in MODULES for name, one in vars(module).items() if isinstance(one, Endpoint)},
    "gateway",
    SOC_PATHS,
    "cookie",
)


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


def _refusals(endpoint: AnyEndpoint) -> dict[int, Any]:
    told = _operation(endpoint)["responses"]
    return {
        int(status): API["components"]["responses"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        for status, one in told.items()
    }


def _operation(endpoint: AnyEndpoint) -> Any:
    method = "get" if endpoint.method == "WS" else endpoint.method.lower()
    return API["paths"][endpoint.path][method]


def test_every_error_code_of_an_endpoint_has_an_example() -> None:
    for endpoint in ENDPOINTS.values():
        if is_foreign(endpoint.path):
            continue
        refusals = _refusals(endpoint)
        for code in errors_of(endpoint, proxied=endpoint.service != "gateway"):
            if code.status in endpoint.also or (code is VALIDATION and endpoint.path not in SOC_PATHS):
                continue
            example = refusals[code.status]["content"]["application/json"]["examples"][code.code]["value"]
            told = example if isinstance(example["error"], str) else example["error"]
            assert told["code"] == code.code
            assert "application/problem+json" in refusals[code.status]["content"]


def test_a_door_refuses_as_its_product_does() -> None:
    splunk, otlp, loki = _refusals(HEC_EVENT), _refusals(OTLP_LOGS), _refusals(LOKI_PUSH)
    assert splunk[401]["content"]["application/json"]["example"] == {"text": "Token is required", "code": 2}
    assert 429 not in splunk, "Splunk's clients are told to come again with 503"
    assert set(otlp[400]["content"]) == {"application/x-protobuf", "application/json"}
    assert set(loki[400]["content"]) == {"text/plain"}
    assert "content" not in _refusals(ES_PING)[401], "the answer to HEAD has no body"
    for endpoint in (endpoint for endpoint in ENDPOINTS.values() if is_foreign(endpoint.path)):
        listed = ", ".join(one["description"] for one in _refusals(endpoint).values())
        assert all(code.code in listed for code in errors_of(endpoint, proxied=True))


def test_a_probe_answers_503_in_its_own_shape() -> None:
    told = _operation(GET_HEALTH)["responses"]
    assert told["503"]["content"] == told["200"]["content"]


def test_what_was_made_leads_to_what_is_done_with_it() -> None:
    assert _links(CREATE_ALERT)["get_alert"] == {
        "operationId": "get_alert",
        "parameters": {"alert_id": "$response.body#/id"},
    }
    assert {"update_alert", "acknowledge_alert"} <= set(_links(CREATE_ALERT))
    assert _links(CREATE_SUPPRESSION)["end_suppression"]["parameters"] == {
        "rule_id": "$request.path.rule_id",
        "suppression_id": "$response.body#/id",
    }
    assert {"get_hunt_run", "cancel_hunt_run"} == set(_links(RUN_HUNT))
    assert "get_investigation" in _links(INVESTIGATE)


def test_what_is_listed_leads_to_what_is_done_with_it() -> None:
    links = NAMED_API["paths"][LIST_ALERTS.path]["get"]["responses"]["200"]["links"]
    assert links["get_alert"]["parameters"] == {"alert_id": "$response.body#/items/0/id"}
    assert "create_alert" not in links


def _links(endpoint: AnyEndpoint) -> Any:
    return NAMED_API["paths"][endpoint.path]["post"]["responses"][str(endpoint.status)]["links"]


def test_every_link_leads_to_an_operation_and_fills_its_path() -> None:
    by_name = {one["operationId"]: one for path in NAMED_API["paths"].values() for one in path.values()}
    for operation in list(by_name.values()):
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                needed = {one["name"] for one in by_name[link["operationId"]]["parameters"] if one.get("in") == "path"}
                assert set(link["parameters"]) == needed


def test_an_example_is_of_the_shape_it_is_an_example_of() -> None:
    bodies = {kind.__name__: kind for kind in (one.body for one in ENDPOINTS.values()) if kind not in (None, bytes)}
    for name in examples.BODIES.keys() & bodies.keys():
        msgspec.convert(examples.BODIES[name], bodies[name])
    missing = sorted(bodies.keys() - examples.BODIES.keys())
    assert not missing, f"give them an example in services/gateway/description/examples.py: {missing}"
    media = {one.path: one.consumes for one in ENDPOINTS.values() if one.body is bytes}
    assert all(set(given) <= set(media[path]) for path, given in examples.RAW.items())


def test_every_write_of_somebody_known_takes_an_idempotency_key() -> None:
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    assert key in API["paths"]["/api/v1/alerts"]["post"]["parameters"]
    assert key in API["paths"]["/api/v1/users"]["post"]["parameters"]
    assert key in API["paths"]["/api/v1/users/{username}"]["delete"]["parameters"]
    assert key not in API["paths"]["/api/v1/alerts"]["get"]["parameters"]
    assert key not in API["paths"]["/api/v1/auth/token"]["post"]["parameters"]


def test_public_endpoints_need_no_token() -> None:
    assert API["paths"]["/health"]["get"]["security"] == []
    assert "security" not in API["paths"]["/api/v1/alerts"]["get"]


def test_which_credentials_do_is_told_for_each_operation() -> None:
    assert API["components"]["securitySchemes"]["session"]["name"] == "cookie"
    assert _operation(LIST_AUDIT)["security"] == [{"bearer": []}, {"session": []}]
    assert {"ticket": []} in _operation(WS_ALERTS)["security"]
    assert {"basic": []} in _operation(HEC_EVENT)["security"]
    assert {"userId": []} in _operation(DISCONNECT_GCP)["security"]


def test_what_has_revisions_says_so() -> None:
    assert {"$ref": "#/components/parameters/IfMatch"} in _operation(UPDATE_RULE)["parameters"]
    assert "ETag" in _operation(GET_RULE)["responses"]["200"]["headers"]
    assert "ETag" not in _operation(LIST_ALERTS)["responses"]["200"]["headers"]


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
