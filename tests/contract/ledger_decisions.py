"""What was decided where the two pages are silent or disagree. A heading is a section and the number of its bullet."""

from __future__ import annotations

from tests.contract.ledger_row import Requirement, rows

_HTTP = "tests/contract/test_http.py::"


def _bullet(section: str, number: int, *entries: tuple[str, ...]) -> tuple[Requirement, ...]:
    return rows("DECISIONS", f"{section} {number}", *entries)


_OPENING = (
    *_bullet(
        "Opening",
        1,
        ("one gateway", "Both APIs are served from one gateway, one account store and one port (default 5080)"),
    ),
)

_IDENTITY = (
    *_bullet(
        "Identity",
        1,
        (
            "principals",
            "Users, API keys and services; deny is the default",
            "tests/contract/test_shapes.py::test_deny_is_the_default",
        ),
        (
            "roles",
            "admin, analyst, operator, viewer and api_service have exactly the permissions decided",
            "tests/contract/test_shapes.py::test_roles_have_exactly_the_decided_permissions",
        ),
        ("api_service", "api_service has only the scopes of its key and no interactive login"),
        ("approvers", "Approvals are decided by admin, analyst and operator, never by whoever asked"),
        ("matrix", "The permission matrix in the docs is generated from the code"),
    ),
    *_bullet(
        "Identity",
        2,
        (
            "admin",
            "First start creates admin with a random password, kept in a 0600 file",
            "tests/integration/test_gateway_accounts.py::test_a_password_buys_a_bearer_token_for_fifteen_minutes",
            "tests/integration/test_gateway_accounts.py::test_a_restart_keeps_sessions_and_doesnt_reset_the_administrator",
            "tests/integration/test_embedded_stack.py::test_what_is_private_can_be_read_by_its_owner_only",
        ),
        ("admin's password", "The password is printed once"),
    ),
    *_bullet(
        "Identity",
        3,
        (
            "access token",
            "Access tokens: JWT, EdDSA, 15 min, kid, JWKS at /.well-known/jwks.json",
            "tests/integration/test_gateway_accounts.py::test_a_password_buys_a_bearer_token_for_fifteen_minutes",
            "tests/integration/test_gateway_accounts.py::test_access_tokens_verify_with_the_published_keys",
        ),
        (
            "refresh",
            "Refresh tokens rotate; reuse revokes the family",
            "tests/integration/test_gateway_accounts.py::test_a_refresh_token_works_once_and_its_second_use_ends_the_session",
        ),
        (
            "logout",
            "Logout revokes at once",
            "tests/integration/test_gateway_accounts.py::test_signing_out_ends_access_and_refresh_tokens_at_once_and_no_other_session",
        ),
        ("unchecked", "When revocation can't be checked the answer is 503, never a pass"),
    ),
    *_bullet(
        "Identity",
        4,
        ("api key", "aur_<id>_<secret>, shown once, stored hashed, scopes within the creator's, expiry, last used"),
        ("api key header", "Authorization: Bearer or X-API-Key"),
    ),
    *_bullet(
        "Identity",
        5,
        ("pre-hash", "bcrypt over a SHA-256 pre-hash, so that long passwords work; 8 characters at least"),
        (
            "same answer",
            "Unknown user and wrong password cost the same time and read the same",
            "tests/integration/test_gateway_accounts.py::test_a_wrong_password_and_an_unknown_user_read_the_same",
            "tests/integration/test_gateway_accounts.py::test_a_wrong_password_and_an_unknown_user_take_the_same_time",
        ),
        (
            "throttle",
            "Failures are logged and throttled per account and address",
            "tests/integration/test_gateway_accounts.py::test_a_failed_sign_in_is_logged_with_account_and_address",
            "tests/integration/test_gateway_accounts.py::test_sign_ins_are_throttled_per_account_and_address",
        ),
    ),
    *_bullet("Identity", 6, ("e-mail", "E-mail addresses compare case-insensitively")),
    *_bullet(
        "Identity",
        7,
        ("X-User-ID", "Honoured only from AURORA_TRUSTED_PROXIES, or beside a session or token of that user; else 401"),
        ("loopback", "The embedded stack trusts loopback by default; one setting turns it off"),
        ("cap", "By the header alone nobody is more than analyst; a foreign Origin is refused; each use is audited"),
        ("ids", "User ids are unguessable (128 random bits) and never listed to other users"),
    ),
    *_bullet(
        "Identity",
        8,
        ("cookie", "HttpOnly, SameSite=Lax, Secure off loopback"),
        ("csrf", "State-changing requests with the cookie need a same-origin Origin"),
    ),
    *_bullet(
        "Identity",
        9,
        ("oidc", "Discovery, PKCE S256, state, nonce, iss, JWKS rotation, algorithm allow-list"),
        ("saml", "Signed assertions only; Audience, Recipient, InResponseTo, NotOnOrAfter; replay cache"),
    ),
    *_bullet(
        "Identity", 10, ("oauth state", "OAuth state for cloud providers is signed, single use, bound to the user")
    ),
)

_REQUESTS = (
    *_bullet(
        "Requests and errors",
        1,
        (
            "envelopes",
            "SOC paths answer errors in the SOC envelope, RCA paths in {error, code}, with the same codes",
            _HTTP + "test_every_refusal_is_the_envelope_and_never_html",
            _HTTP + "test_paths_of_the_rca_page_answer_errors_in_its_format",
        ),
        (
            "never HTML",
            "Malformed JSON, 404, 405, 413 and 415 too",
            _HTTP + "test_every_refusal_is_the_envelope_and_never_html",
        ),
        ("detail", "detail lists each invalid field with its path"),
        (
            "codes",
            "The codes of the page are the whole set unless an ADR adds one",
            "tests/contract/test_pages.py::test_codes_beside_the_page_are_explained_in_a_record",
        ),
        (
            "problem+json",
            "Accept: application/problem+json gets RFC 9457",
            _HTTP + "test_problem_json_is_given_to_whoever_asks_for_it",
        ),
    ),
    *_bullet(
        "Requests and errors", 2, ("private", "404 where existence is private, 403 where the permission is missing")
    ),
    *_bullet(
        "Requests and errors",
        3,
        ("headers", "The three headers are on every response, errors and WebSocket handshakes too"),
        (
            "request id",
            "A valid incoming X-Request-ID is kept",
            _HTTP + "test_a_valid_request_id_is_kept_and_another_is_replaced",
        ),
    ),
    *_bullet(
        "Requests and errors",
        4,
        ("deprecated", "Deprecation and Sunset come with Link relations"),
        ("rfc", "AURORA_RFC_DEPRECATION=1 switches to RFC 9745 and 8594"),
    ),
    *_bullet(
        "Requests and errors",
        5,
        (
            "paging",
            "limit (1..200, default 50) and cursor; {items, next_cursor}; total only where cheap",
            "tests/contract/test_shapes.py::test_a_list_takes_one_to_two_hundred_and_fifty_by_default",
            "tests/contract/test_shapes.py::test_a_page_without_a_next_one_says_null_and_leaves_out_an_unknown_total",
        ),
        ("rca lists", "RCA lists keep the page's own names"),
        (
            "order",
            "Stable order, newest first",
            "tests/integration/test_alerts.py::test_a_list_is_walked_to_its_end_by_its_cursors_newest_first",
        ),
    ),
    *_bullet(
        "Requests and errors",
        6,
        (
            "times",
            "RFC 3339 UTC with Z and milliseconds",
            "tests/contract/test_shapes.py::test_times_are_sent_in_utc_with_milliseconds",
        ),
        ("ids", "UUIDv7, but ALRT-2026-000001, CASE-2026-000001 and user_<...>"),
    ),
    *_bullet(
        "Requests and errors",
        7,
        ("replay", "The same Idempotency-Key and body replays the answer for 24 h"),
        ("conflict", "The same key with another body is 409 AURORA-4090"),
    ),
    *_bullet(
        "Requests and errors",
        8,
        ("limits", "100/min on RCA paths, 20/min on chat, 1,200/min on other SOC paths; health exempt; configurable"),
        ("intake", "Intake is limited by back-pressure, not by count"),
        ("fields", "X-RateLimit-* and RateLimit fields; 429 AURORA-4290 with Retry-After"),
        ("key", "Keyed on the principal, else the address; X-Forwarded-For only from trusted proxies"),
    ),
    *_bullet("Requests and errors", 9, ("cors", "From FRONTEND_URL, credentials, PATCH included, exact origin match")),
    *_bullet(
        "Requests and errors",
        10,
        ("health", "GET /health answers directly; 503 when a needed part is down; what is degraded is named"),
    ),
)

_AGENTS = (
    *_bullet(
        "Agents",
        1,
        (
            "frame",
            "One text frame is one message or batch; a binary frame closes 1003",
            "tests/integration/test_rpc_limits.py::test_a_binary_frame_closes_with_1003",
        ),
        (
            "notification",
            "A notification is never answered, on error neither",
            "tests/integration/test_rpc_specification.py::test_a_notification_is_never_answered_also_not_on_error",
        ),
        (
            "null id",
            '"id": null is a request',
            "tests/integration/test_rpc_specification.py::test_a_null_id_is_a_request",
        ),
        (
            "batches",
            "An empty batch is one -32600; a batch of notifications sends nothing",
            "tests/integration/test_rpc_specification.py::test_a_call_with_an_empty_array",
            "tests/integration/test_rpc_specification.py::test_a_batch_of_notifications_sends_nothing",
        ),
        (
            "overtaking",
            "Replies may overtake one another",
            "tests/integration/test_rpc_errors.py::test_replies_overtake_one_another",
        ),
    ),
    *_bullet(
        "Agents",
        2,
        (
            "_meta",
            "A HandoffTool adds params._meta with the decided fields",
            "tests/contract/test_shapes.py::test_a_handoff_has_the_decided_metadata",
        ),
        ("capabilities", "capabilities are a subset of the caller's"),
        (
            "bare",
            "A bare request from an authenticated peer is served too",
            "tests/integration/test_rpc_errors.py::test_the_pages_request_gets_the_pages_answer",
        ),
    ),
    *_bullet(
        "Agents",
        3,
        (
            "codes",
            "JSON-RPC errors use -32010..-32019, with the AURORA code in error.data.code",
            "tests/integration/test_rpc_errors.py::test_a_refusal_carries_its_aurora_code",
            "tests/contract/test_shapes.py::test_json_rpc_codes_of_our_own_stay_in_their_range",
        ),
        (
            "no text",
            "error.message never carries exception text",
            "tests/integration/test_rpc_errors.py::test_an_unexpected_exception_says_nothing_of_itself",
        ),
    ),
    *_bullet(
        "Agents",
        4,
        (
            "handshake",
            "A handshake without a valid service token is 401",
            "tests/integration/test_rpc_limits.py::test_a_handshake_without_a_valid_token_is_401",
        ),
        (
            "idempotent",
            "Idempotent by (handoff id, request id): a reconnect never runs one twice",
            "tests/integration/test_rpc_calls.py::test_a_lost_connection_is_made_again_and_the_handoff_runs_once",
            "tests/integration/test_rpc_calls.py::test_a_handoff_asked_again_when_it_is_done_gets_the_kept_reply",
        ),
    ),
    *_bullet(
        "Agents",
        5,
        ("raise only", "Model output may raise a severity, never lower one; it closes and suppresses nothing"),
        ("no action", "Model output may propose an action, never carry one out"),
        (
            "citations",
            "Every claim in a verdict cites a stored tool result, or is dropped",
            "tests/unit/orchestrator/test_merge.py::test_a_claim_that_cites_nothing_that_was_delivered_is_dropped",
        ),
        ("no model", "Verdicts are the same with no model configured, but for the prose"),
    ),
)

_MODES = (
    *_bullet(
        "Modes",
        1,
        ("dry_run", "No side effect leaves Aurora; every action is recorded with what it would have done"),
        ("monitor", "Default: read-only actions run, changing actions wait for approval"),
        ("active", "Policy decides which run alone and which wait"),
        ("change", "Changing the mode voids pending approvals"),
    ),
)

_S = "Shapes that clients rely on"
_SHAPES = (
    *_bullet(
        _S,
        1,
        (
            "password grant",
            "POST /api/v1/auth/token takes username and password as JSON or form",
            "tests/integration/test_gateway_accounts.py::test_a_password_buys_a_bearer_token_for_fifteen_minutes",
            "tests/integration/test_gateway_accounts.py::test_the_token_endpoint_takes_a_form",
        ),
        (
            "refresh grant",
            "grant_type=refresh_token",
            "tests/integration/test_gateway_accounts.py::test_a_refresh_token_works_once_and_its_second_use_ends_the_session",
        ),
        (
            "token",
            "Answers access_token, token_type Bearer, expires_in, refresh_token",
            "tests/contract/test_shapes.py::test_a_token_answer_has_the_decided_fields",
            "tests/integration/test_gateway_accounts.py::test_a_password_buys_a_bearer_token_for_fifteen_minutes",
        ),
    ),
    *_bullet(
        _S,
        2,
        ("media types", "Ingest takes application/json (object or array), application/x-ndjson and text/plain"),
        ("gzip", "Content-Encoding: gzip too"),
        ("receipt", "202 {accepted, rejected, errors[{index, message}], receipt} once the accepted are durable"),
        ("all bad", "All bad is 422"),
    ),
    *_bullet(
        _S,
        3,
        ("yaml", "POST /api/v1/detections/rules takes a Sigma document as application/yaml"),
        ("json", 'or {"sigma": "..."}'),
        ("rule", "201 with id (the Sigma id), title, level, status, enabled, logsource, tags"),
        ("import", "aurora rules import PATH loads a folder or an archive, in one call, with a report"),
    ),
    *_bullet(
        _S,
        4,
        (
            "alert",
            "An alert has the decided fields and values",
            "tests/contract/test_shapes.py::test_an_alert_has_the_decided_fields",
        ),
        (
            "acknowledge",
            "Acknowledging moves new to triaged",
            "tests/integration/test_alerts.py::test_acknowledging_triages_a_new_alert_and_keeps_the_first_who_did",
        ),
        (
            "duplicate",
            "AURORA-4091 names the existing alert in detail",
            "tests/integration/test_alerts.py::test_a_duplicate_by_api_names_the_open_alert",
        ),
        (
            "filters",
            "GET /alerts filters by severity, status, source, rule_id, host, q, since, until",
            "tests/integration/test_alerts.py::test_filters_must_all_hold",
        ),
    ),
    *_bullet(
        _S,
        5,
        (
            "investigation",
            "An investigation has the decided fields and values",
            "tests/contract/test_shapes.py::test_an_investigation_has_the_decided_fields",
        ),
        ("end", "The receipt on /ws/investigation-receipts is the investigation at its end"),
    ),
    *_bullet(_S, 6, ("frame", "WebSocket frames: sequence, type, time, data")),
    *_bullet(
        _S,
        7,
        (
            "runtime",
            "D/runtime.json names gateway, admin, services, agents, nats, postgres, redis",
            "tests/integration/test_embedded_stack.py::test_a_stack_comes_up_says_where_everything_is_and_goes_down",
        ),
        (
            "secrets",
            "Secrets are in the files it names, never in itself",
            "tests/integration/test_embedded_stack.py::test_no_secret_is_in_runtime_json_nor_in_a_command_line",
        ),
    ),
)

ROWS: tuple[Requirement, ...] = (*_OPENING, *_IDENTITY, *_REQUESTS, *_AGENTS, *_MODES, *_SHAPES)
