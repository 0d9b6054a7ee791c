"""The RCA page: its endpoints, their fields and rules, limits, errors, CORS and samples."""

from __future__ import annotations

from tests.contract.ledger_row import Requirement, endpoints, rows

_HTTP = "tests/contract/test_http.py::"
_CLOUD = "tests/integration/test_cloud.py::"
_CLOUD_SECURITY = "tests/security/test_cloud.py::"
_ACCOUNTS = "tests/integration/test_gateway_rca_accounts.py::"
_GUESSING = "tests/security/test_accounts.py::"
_KEPT = "tests/security/test_gateway.py::test_passwords_and_refresh_tokens_are_kept_as_hashes_only"
_REFUSALS = _HTTP + "test_every_refusal_is_the_envelope_and_never_html"
_PREFLIGHT = "tests/integration/test_gateway_headers.py::test_a_preflight_of_the_frontend_allows_what_the_page_allows"

ROWS: tuple[Requirement, ...] = (
    *rows(
        "RCA",
        "Base URL",
        (
            "port",
            "All endpoints are accessible via the main server running on port 5080",
            "tests/unit/test_ids.py::test_the_gateway_listens_on_5080",
        ),
    ),
    *rows(
        "RCA",
        "Authentication",
        (
            "required",
            "All API requests require authentication",
            "tests/security/test_gateway.py::test_without_a_token_nothing_is_answered",
        ),
        (
            "header",
            "Header-based authentication: X-User-ID: user_abc123",
            _ACCOUNTS + "test_the_password_changes_with_the_header_and_every_session_ends",
        ),
        (
            "session",
            "Session-based authentication by a session cookie",
            _ACCOUNTS + "test_a_cookie_is_a_session_until_it_is_signed_out",
        ),
    ),
    *endpoints(
        "RCA",
        "Authentication",
        (
            "POST",
            "/api/auth/register",
            "Register a new user with email and password",
            "",
            _ACCOUNTS + "test_registering_answers_with_id_address_and_name",
        ),
        (
            "POST",
            "/api/auth/login",
            "Authenticate with email and password",
            "",
            _ACCOUNTS + "test_login_answers_with_the_user_and_sets_a_cookie_no_script_reads",
        ),
        (
            "POST",
            "/api/auth/change-password",
            "Change user password (requires authentication)",
            "",
            _ACCOUNTS + "test_the_password_changes_with_the_header_and_every_session_ends",
        ),
    ),
    *rows(
        "RCA",
        "POST /api/auth/register",
        ("request", "email, password, name", _ACCOUNTS + "test_registering_answers_with_id_address_and_name"),
        ("response", "201 with id, email, name", _ACCOUNTS + "test_registering_answers_with_id_address_and_name"),
        (
            "password length",
            "Password must be at least 8 characters",
            _ACCOUNTS + "test_what_cant_be_registered_is_a_bad_request_that_names_the_field",
        ),
        ("unique", "Email must be unique", _ACCOUNTS + "test_an_address_registers_once_whatever_its_case"),
        ("hash", "Password is hashed using bcrypt", _KEPT),
    ),
    *rows(
        "RCA",
        "POST /api/auth/login",
        (
            "request",
            "email, password",
            _ACCOUNTS + "test_login_answers_with_the_user_and_sets_a_cookie_no_script_reads",
        ),
        (
            "response",
            "200 with id, email, name",
            _ACCOUNTS + "test_login_answers_with_the_user_and_sets_a_cookie_no_script_reads",
        ),
        (
            "constant time",
            "Constant-time password comparison to prevent timing attacks",
            _GUESSING + "test_an_unknown_address_costs_what_a_wrong_password_costs",
        ),
        (
            "bcrypt",
            "bcrypt password hashing with salt",
            "tests/unit/gateway/test_accounts.py::test_the_same_password_never_has_the_same_hash",
        ),
        (
            "log",
            "Failed login attempts logged",
            _ACCOUNTS + "test_a_wrong_password_and_an_unknown_address_read_the_same_and_are_logged",
        ),
    ),
    *rows(
        "RCA",
        "POST /api/auth/change-password",
        (
            "request",
            "currentPassword, newPassword, with X-User-ID",
            _ACCOUNTS + "test_the_password_changes_with_the_header_and_every_session_ends",
        ),
        (
            "response",
            '200 {"message": "Password changed successfully"}',
            _ACCOUNTS + "test_the_password_changes_with_the_header_and_every_session_ends",
        ),
    ),
    *endpoints(
        "RCA",
        "Chat Sessions",
        ("GET", "/chat_api/sessions", "Retrieve all chat sessions for the authenticated user", ""),
        ("POST", "/chat_api/sessions", "Create a new chat session", ""),
        ("GET", "/chat_api/sessions/{session_id}", "Get a chat session with full message history", ""),
        ("PUT", "/chat_api/sessions/{session_id}", "Update a chat session", ""),
        ("DELETE", "/chat_api/sessions/{session_id}", "Soft delete a chat session", ""),
    ),
    *rows(
        "RCA",
        "Chat Sessions",
        ("list", "200 sessions[]: id, title, created_at, updated_at, message_count, status, ui_state"),
        ("ui_state", "ui_state: selectedModel, selectedMode, selectedProviders[]"),
        ("create request", "title, messages[], ui_state"),
        ("create response", "201 id, title, messages, created_at, status"),
        ("detail", "200 id, title, messages[] with sender, text, timestamp, and status"),
        ("update request", "title, messages, ui_state"),
        ("delete response", '200 {"message": "Chat session deleted successfully"}'),
        ("soft delete", "A deleted session is kept, and never shown"),
    ),
    *endpoints(
        "RCA",
        "Incidents (RCA)",
        ("GET", "/api/incidents", "Get all incidents for the current user", ""),
        ("GET", "/api/incidents/{incident_id}", "Get detailed information about a specific incident", ""),
        ("PATCH", "/api/incidents/{incident_id}", "Update incident status or properties", ""),
        ("POST", "/api/incidents/{incident_id}/chat", "Ask a question about an incident", ""),
    ),
    *rows(
        "RCA",
        "Incidents (RCA)",
        (
            "list",
            "200 incidents[]: id, sourceType, sourceAlertId, status, severity, alert, auroraStatus, summary, startedAt,"
            " correlatedAlertCount, affectedServices[]",
        ),
        ("list alert", "alert: title, service, source, sourceUrl"),
        ("detail", "200 incident: id, sourceType, status, alert, suggestions, streamingThoughts, citations"),
        ("detail lists", "correlatedAlerts[] and chatSessions[] in the detail"),
        ("detail alert", "alert: title, rawPayload, triggeredAt"),
        ("suggestions", "suggestions[]: id, title, description, type, risk, command"),
        ("thoughts", "streamingThoughts[]: id, content, timestamp, type"),
        ("citations", "citations[]: id, key, toolName, command, output, executedAt"),
        ("update", "PATCH takes status, auroraStatus, summary, activeTab"),
        ("status", "status is investigating, analyzed, merged or resolved"),
        ("auroraStatus", "auroraStatus is idle, running, complete or error"),
        ("activeTab", "activeTab is thoughts or chat"),
        ("chat query", "session_id (optional) continues an existing chat session"),
        ("chat request", "question, mode"),
        ("chat response", "202 session_id, status processing, is_new_session"),
        ("chat background", "The question creates a background chat task"),
    ),
    *endpoints(
        "RCA",
        "Health Checks",
        (
            "GET",
            "/health",
            "Comprehensive health check for all services",
            "",
            "tests/integration/test_gateway_system.py::test_health_names_every_part",
        ),
        (
            "GET",
            "/health/liveness",
            "Kubernetes liveness probe",
            "",
            "tests/integration/test_gateway_system.py::test_probes_answer_without_a_token",
        ),
        (
            "GET",
            "/health/readiness",
            "Kubernetes readiness probe",
            "",
            "tests/integration/test_gateway_system.py::test_probes_answer_without_a_token",
        ),
    ),
    *rows(
        "RCA",
        "Health Checks",
        (
            "fields",
            "overall_status, timestamp, response_time_ms, checks{part: {status, message}}",
            "tests/contract/test_shapes.py::test_health_has_the_fields_of_the_page",
        ),
        (
            "statuses",
            "/health and /health/readiness answer 200 or 503",
            "tests/integration/test_gateway_system.py::test_without_redis_nobody_passes_and_everything_comes_back",
        ),
        (
            "alive",
            '/health/liveness answers {"status": "alive"}',
            "tests/integration/test_gateway_system.py::test_probes_answer_without_a_token",
        ),
        (
            "ready",
            '/health/readiness answers {"status": "ready"}',
            "tests/integration/test_gateway_system.py::test_probes_answer_without_a_token",
        ),
    ),
    *endpoints(
        "RCA",
        "Cloud Provider Endpoints",
        (
            "POST",
            "/login",
            "Initiate GCP OAuth flow",
            "",
            _CLOUD + "test_login_answers_the_page_of_consent_with_pkce_and_a_state",
            _CLOUD + "test_login_is_for_the_caller_alone",
        ),
        (
            "GET",
            "/callback",
            "Handle OAuth callback from Google",
            "",
            _CLOUD + "test_google_is_connected_and_shown_without_its_credentials",
            _CLOUD + "test_no_access_granted_is_told",
            _CLOUD_SECURITY + "test_a_sign_in_ends_in_the_browser_that_began_it",
        ),
        (
            "POST",
            "/api/gcp/force-disconnect",
            "Disconnect GCP account and clear credentials",
            "",
            _CLOUD + "test_disconnecting_google_revokes_at_google_and_clears_the_credentials",
            _CLOUD + "test_a_revocation_waits_for_a_provider_that_is_away",
        ),
    ),
    *rows(
        "RCA",
        "Cloud Provider Endpoints",
        (
            "login",
            "POST /login takes userId and answers login_url",
            _CLOUD + "test_login_answers_the_page_of_consent_with_pkce_and_a_state",
        ),
        (
            "others",
            "Similar patterns apply for AWS, Azure and others with provider-specific authentication flows",
            _CLOUD + "test_aws_is_connected_by_a_role_that_asks_for_the_external_id",
            _CLOUD + "test_azure_is_connected_by_client_credentials_that_its_tenant_accepts",
        ),
    ),
    *rows(
        "RCA",
        "Rate Limiting",
        (
            "default",
            "100 requests per minute per user",
            "tests/unit/gateway/test_admission.py::test_a_path_counts_for_the_limit_of_its_api",
            "tests/integration/test_gateway_replicas.py::test_paths_of_the_rca_api_have_a_limit_of_their_own",
        ),
        ("chat", "Chat endpoints: 20 requests per minute"),
        (
            "health",
            "Health endpoints: exempt from rate limiting",
            "tests/integration/test_gateway_proxy.py::test_requests_are_limited_per_caller_but_never_intake_and_health",
        ),
        (
            "X-RateLimit-Limit",
            "Requests per window",
            "tests/integration/test_gateway_proxy.py::test_requests_are_limited_per_caller_but_never_intake_and_health",
        ),
        (
            "X-RateLimit-Remaining",
            "Requests left in the window",
            "tests/integration/test_gateway_proxy.py::test_requests_are_limited_per_caller_but_never_intake_and_health",
        ),
        (
            "X-RateLimit-Reset",
            "End of the window, seconds since 1970",
            "tests/integration/test_gateway_proxy.py::test_requests_are_limited_per_caller_but_never_intake_and_health",
        ),
    ),
    *rows(
        "RCA",
        "Error Responses",
        (
            "format",
            '{"error": description, "code": code}',
            _HTTP + "test_paths_of_the_rca_page_answer_errors_in_its_format",
        ),
        (
            "200",
            "OK: successful request",
            "tests/integration/test_gateway_headers.py::test_every_answer_has_its_headers_and_none_is_html_but_the_page",
        ),
        (
            "201",
            "Created: resource created successfully",
            _ACCOUNTS + "test_registering_answers_with_id_address_and_name",
        ),
        ("202", "Accepted: request accepted for async processing"),
        ("400", "Bad Request: invalid request format or parameters", _REFUSALS),
        ("401", "Unauthorized: authentication required", _REFUSALS),
        ("403", "Forbidden: insufficient permissions", _REFUSALS),
        ("404", "Not Found: resource not found", _REFUSALS),
        ("409", "Conflict: resource already exists", _ACCOUNTS + "test_an_address_registers_once_whatever_its_case"),
        ("429", "Too Many Requests: rate limit exceeded", _REFUSALS),
        ("500", "Internal Server Error: server error", _REFUSALS),
        (
            "503",
            "Service Unavailable: service temporarily unavailable",
            "tests/integration/test_gateway_system.py::test_without_redis_nobody_passes_and_everything_comes_back",
        ),
    ),
    *rows(
        "RCA",
        "CORS Configuration",
        (
            "origins",
            "Allowed origins are configured via FRONTEND_URL",
            _PREFLIGHT,
            "tests/integration/test_gateway_headers.py::test_no_other_origin_is_let_in",
            "tests/unit/test_config.py::test_the_frontend_is_named_as_the_page_names_it_or_with_the_prefix",
        ),
        ("credentials", "Credentials supported: true", _PREFLIGHT),
        ("methods", "Allowed methods: GET, POST, PUT, DELETE, OPTIONS, PATCH", _PREFLIGHT),
        (
            "headers",
            "Allowed headers: Content-Type, X-Provider, X-Requested-With, X-User-ID, Authorization,"
            " X-Provider-Preference",
            _PREFLIGHT,
        ),
    ),
    *rows(
        "RCA",
        "API Versioning",
        (
            "additive",
            "Breaking changes are avoided; new features are backward compatible",
            "tests/contract/test_released_api.py::test_nothing_that_was_released_is_gone_retyped_or_newly_required",
            "tests/contract/test_released_api.py::test_a_break_is_told",
        ),
    ),
    *rows(
        "RCA",
        "Code Examples",
        ("Python", "requests: log in, then POST /chat_api/sessions with X-User-ID"),
        ("JavaScript/TypeScript", "fetch: log in, then GET /chat_api/sessions with X-User-ID"),
        ("cURL", "curl: log in, GET /api/incidents, PATCH /api/incidents/{incident_id} with X-User-ID"),
    ),
)
