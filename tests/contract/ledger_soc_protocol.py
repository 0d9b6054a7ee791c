"""The SOC page but for its endpoint tables: A2A protocol, chat, error codes, envelope, headers."""

from __future__ import annotations

from tests.contract.ledger_row import Requirement, rows

_PAGES = "tests/contract/test_pages.py::"
_HTTP = "tests/contract/test_http.py::"
TABLE = _PAGES + "test_the_error_table_is_the_pages"

ROWS: tuple[Requirement, ...] = (
    *rows(
        "SOC",
        "A2A protocol",
        (
            "transport",
            "Inter-agent communication uses JSON-RPC 2.0 over WebSocket",
            "tests/integration/test_rpc_errors.py::test_the_pages_request_gets_the_pages_answer",
        ),
        (
            "ports",
            "Each agent listens on a dedicated port",
            "tests/integration/test_registry.py::test_an_agent_that_starts_is_called_bears_any_frame_and_is_gone_when_it_stops",
            "tests/integration/test_agents_handoff.py::test_cancelling_the_first_call_cancels_the_last_handler",
        ),
        (
            "dispatch",
            "The orchestrator dispatches tasks to specialists via ACP HandoffTool",
            "tests/integration/test_orchestrator.py::test_a_handoff_carries_its_metadata",
        ),
        (
            "metadata",
            "HandoffTool wraps JSON-RPC 2.0 requests with routing metadata",
            "tests/integration/test_orchestrator.py::test_a_handoff_carries_its_metadata",
        ),
        (
            "request",
            "Request: jsonrpc, method analyze_threat, params with alert_id and iocs [{type, value}], id",
            "tests/contract/test_shapes.py::test_the_pages_request_to_an_agent_is_understood",
            "tests/integration/test_rpc_errors.py::test_the_pages_request_gets_the_pages_answer",
        ),
        (
            "response",
            "Response: jsonrpc, result with severity, confidence, mitre_techniques, iocs, and the id",
            "tests/contract/test_shapes.py::test_an_agents_answer_begins_as_the_page_has_it",
            "tests/integration/test_rpc_errors.py::test_the_pages_request_gets_the_pages_answer",
        ),
        (
            "error",
            'Error: {"code": -32601, "message": "Method not found"} with the id of the request',
            "tests/integration/test_rpc_specification.py::test_a_call_of_a_method_that_does_not_exist",
        ),
    ),
    *rows(
        "SOC",
        "Chat",
        ("limit", "Both chat endpoints are rate limited per user: HTTP 429, AURORA-4290, with Retry-After"),
        ("fence", "User input is neutralized; pasted or grounding data is fenced as untrusted before the model"),
        ("scrub", "Responses are scrubbed for secrets and system-prompt leakage"),
        ("report", "The stream emits report_generated when the model returns a %%REPORT_REQUEST%% marker"),
        ("report error", "The stream emits report_error on a malformed report request"),
    ),
    *rows(
        "SOC",
        "Error codes",
        ("AURORA-4010", "401 Authentication required", TABLE),
        ("AURORA-4011", "401 Token expired", TABLE),
        ("AURORA-4012", "401 Invalid credentials", TABLE),
        ("AURORA-4030", "403 Insufficient permissions", TABLE),
        ("AURORA-4031", "403 Action denied by guardrail policy", TABLE),
        ("AURORA-4040", "404 Resource not found", TABLE),
        ("AURORA-4041", "404 Case not found", TABLE),
        ("AURORA-4042", "404 Alert not found", TABLE),
        ("AURORA-4043", "404 Agent not found", TABLE),
        ("AURORA-4080", "408 Human approval timed out", TABLE),
        ("AURORA-4090", "409 Resource conflict", TABLE),
        ("AURORA-4091", "409 Duplicate alert", TABLE),
        ("AURORA-4220", "422 Validation error", TABLE),
        ("AURORA-4221", "422 Playbook validation failed", TABLE),
        ("AURORA-4222", "422 Sigma rule validation failed", TABLE),
        ("AURORA-4290", "429 Rate limit exceeded", TABLE),
        ("AURORA-5000", "500 Internal server error", TABLE),
        ("AURORA-5030", "503 Service temporarily unavailable", TABLE),
        ("AURORA-5031", "503 LLM inference service unavailable", TABLE),
        ("AURORA-5032", "503 ClickHouse service unavailable", TABLE),
        (
            "digits",
            "The first three digits of a code mirror the HTTP status",
            "tests/structure/test_endpoints.py::test_the_first_three_digits_of_a_code_are_its_status",
        ),
    ),
    *rows(
        "SOC",
        "Error response envelope",
        (
            "shape",
            '{"error": {code, message, detail, timestamp, request_id}}',
            _HTTP + "test_an_error_has_the_envelope_of_the_page",
        ),
        ("everywhere", "All errors follow the envelope", _HTTP + "test_every_refusal_is_the_envelope_and_never_html"),
        (
            "timestamp",
            "timestamp is UTC with milliseconds: 2026-06-14T12:00:00.000Z",
            _HTTP + "test_the_timestamp_of_an_error_is_utc_with_milliseconds",
        ),
        (
            "request id",
            "request_id is the X-Request-ID of the response",
            _HTTP + "test_the_request_id_of_an_error_is_that_of_its_response",
        ),
    ),
    *rows(
        "SOC",
        "API versioning headers",
        (
            "X-API-Version",
            "1.0 on every response",
            _HTTP + "test_an_answer_has_the_three_headers",
            _HTTP + "test_every_refusal_has_the_three_headers",
        ),
        (
            "X-Request-ID",
            "uuid, unique per request, on every response",
            _HTTP + "test_an_answer_has_the_three_headers",
            _HTTP + "test_every_refusal_has_the_three_headers",
        ),
        (
            "X-AuroraSOC-Mode",
            "dry_run | monitor | active on every response",
            _HTTP + "test_an_answer_has_the_three_headers",
            _HTTP + "test_every_refusal_has_the_three_headers",
        ),
        (
            "Deprecation",
            "true on deprecated routes",
            "tests/integration/test_gateway_system.py::test_a_deprecated_route_says_so_on_every_answer_and_is_counted",
        ),
        (
            "Sunset",
            "ISO 8601 date on deprecated routes: 2026-12-31T00:00:00Z",
            "tests/integration/test_gateway_system.py::test_a_deprecated_route_says_so_on_every_answer_and_is_counted",
        ),
    ),
)
