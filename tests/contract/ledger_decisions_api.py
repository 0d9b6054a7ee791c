"""Decided about requests, errors, and the shapes that clients rely on."""

from __future__ import annotations

from tests.contract.ledger_row import Requirement, bullet

_HTTP = "tests/contract/test_http.py::"

_S = "Shapes that clients rely on"

_REQUESTS = (
    *bullet(
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
            "tests/integration/test_gateway_headers.py::test_every_answer_has_its_headers_and_none_is_html_but_the_page",
        ),
        (
            "detail",
            "detail lists each invalid field with its path",
            _HTTP + "test_detail_lists_each_invalid_field_with_its_path",
            "tests/unit/test_invalid.py::test_each_invalid_field_is_named_at_every_depth",
        ),
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
    *bullet(
        "Requests and errors",
        2,
        (
            "private",
            "404 where existence is private, 403 where the permission is missing",
            "tests/security/test_api_keys.py::test_another_users_key_is_not_there",
            "tests/security/test_gateway.py::test_a_role_may_what_the_matrix_says_and_nothing_else",
        ),
    ),
    *bullet(
        "Requests and errors",
        3,
        (
            "headers",
            "The three headers are on every response, errors and WebSocket handshakes too",
            "tests/contract/test_http.py::test_every_refusal_has_the_three_headers",
            "tests/integration/test_gateway_streams.py::test_the_handshake_carries_the_three_headers",
        ),
        (
            "request id",
            "A valid incoming X-Request-ID is kept",
            _HTTP + "test_a_valid_request_id_is_kept_and_another_is_replaced",
        ),
    ),
    *bullet(
        "Requests and errors",
        4,
        (
            "deprecated",
            "Deprecation and Sunset come with Link relations",
            "tests/integration/test_gateway_system.py::test_a_deprecated_route_says_so_on_every_answer_and_is_counted",
        ),
        (
            "rfc",
            "AURORA_RFC_DEPRECATION=1 switches to RFC 9745 and 8594",
            "tests/integration/test_gateway_system.py::test_deprecation_can_be_told_as_the_rfcs_have_it",
        ),
    ),
    *bullet(
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
    *bullet(
        "Requests and errors",
        6,
        (
            "times",
            "RFC 3339 UTC with Z and milliseconds",
            "tests/contract/test_shapes.py::test_times_are_sent_in_utc_with_milliseconds",
        ),
        # Cases come with their issue, and then their form.
        ("ids", "UUIDv7, but ALRT-2026-000001, CASE-2026-000001 and user_<...>"),
    ),
    *bullet(
        "Requests and errors",
        7,
        (
            "replay",
            "The same Idempotency-Key and body replays the answer for 24 h",
            "tests/integration/test_gateway_proxy.py::test_a_write_that_is_sent_again_under_its_key_is_done_once",
            "tests/integration/test_gateway_idempotency.py::test_a_user_is_made_once_under_a_key",
        ),
        (
            "conflict",
            "The same key with another body is 409 AURORA-4090",
            "tests/integration/test_gateway_proxy.py::test_a_key_that_was_used_for_another_request_is_a_conflict",
            "tests/integration/test_gateway_idempotency.py::test_a_key_of_an_own_write_serves_no_other_write",
        ),
    ),
    *bullet(
        "Requests and errors",
        8,
        (
            "limits",
            "100/min on RCA paths, 20/min on chat, 1,200/min on other SOC paths; health exempt; configurable",
            "tests/unit/gateway/test_admission.py::test_a_path_counts_for_the_limit_of_its_api",
            "tests/unit/gateway/test_admission.py::test_probes_and_intake_arent_counted_and_everything_else_is",
            "tests/unit/test_config.py::test_limits_are_those_of_the_pages_unless_they_are_set",
            "tests/integration/test_gateway_replicas.py::test_paths_of_the_rca_api_have_a_limit_of_their_own",
        ),
        (
            "intake",
            "Intake is limited by back-pressure, not by count",
            "tests/integration/test_gateway_proxy.py::test_requests_are_limited_per_caller_but_never_intake_and_health",
            "tests/integration/test_logs.py::test_a_full_intake_refuses_and_says_when_to_come_again",
        ),
        (
            "fields",
            "X-RateLimit-* and RateLimit fields; 429 AURORA-4290 with Retry-After",
            "tests/integration/test_gateway_proxy.py::test_requests_are_limited_per_caller_but_never_intake_and_health",
        ),
        (
            "key",
            "Keyed on the principal, else the address; X-Forwarded-For only from trusted proxies",
            "tests/unit/gateway/test_admission.py::test_only_a_trusted_proxy_says_who_was_before_it",
            "tests/integration/test_gateway_replicas.py::test_addresses_behind_a_trusted_proxy_are_counted_apart",
            "tests/integration/test_gateway_replicas.py::test_requests_are_counted_together_and_none_is_lost",
        ),
    ),
    *bullet(
        "Requests and errors",
        9,
        (
            "cors",
            "From FRONTEND_URL, credentials, PATCH included, exact origin match",
            "tests/integration/test_gateway_headers.py::test_a_preflight_of_the_frontend_allows_what_the_page_allows",
            "tests/integration/test_gateway_headers.py::test_no_other_origin_is_let_in",
        ),
    ),
    *bullet(
        "Requests and errors",
        10,
        (
            "health",
            "GET /health answers directly; 503 when a needed part is down; what is degraded is named",
            "tests/integration/test_gateway_system.py::test_health_names_every_part",
            "tests/integration/test_gateway_system.py::test_without_redis_nobody_passes_and_everything_comes_back",
        ),
    ),
)

_SHAPES = (
    *bullet(
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
    *bullet(
        _S,
        2,
        (
            "media types",
            "Ingest takes application/json (object or array), application/x-ndjson and text/plain",
            "tests/integration/test_logs.py::test_lines_objects_arrays_and_their_compressed_forms_are_taken",
        ),
        (
            "gzip",
            "Content-Encoding: gzip too",
            "tests/integration/test_logs.py::test_lines_objects_arrays_and_their_compressed_forms_are_taken",
        ),
        (
            "receipt",
            "202 {accepted, rejected, errors[{index, message}], receipt} once the accepted are durable",
            "tests/integration/test_logs.py::test_an_acknowledged_event_is_searchable",
            "tests/integration/test_logs.py::test_a_bad_item_is_reported_at_its_place_and_stops_no_other",
            "tests/contract/test_shapes.py::test_an_intake_receipt_has_the_decided_fields",
        ),
        (
            "all bad",
            "All bad is 422",
            "tests/integration/test_logs.py::test_when_every_item_is_bad_each_is_named",
        ),
    ),
    *bullet(
        _S,
        3,
        (
            "yaml",
            "POST /api/v1/detections/rules takes a Sigma document as application/yaml",
            "tests/integration/test_rules.py::test_a_rule_matches_the_events_that_come_after_it_was_accepted",
        ),
        (
            "json",
            'or {"sigma": "..."}',
            "tests/integration/test_rules.py::test_a_rule_may_come_as_json_around_its_text",
        ),
        (
            "rule",
            "201 with id (the Sigma id), title, level, status, enabled, logsource, tags",
            "tests/integration/test_rules.py::test_a_rule_matches_the_events_that_come_after_it_was_accepted",
        ),
        (
            "import",
            "aurora rules import PATH loads a folder or an archive, in one call, with a report",
            "tests/system/test_path.py::test_an_imported_rule_matches_and_its_matches_are_counted_on_one_alert",
            "tests/unit/cli/test_rulefiles.py::test_a_tar_archive_is_read_in_memory",
        ),
    ),
    *bullet(
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
    *bullet(
        _S,
        5,
        (
            "investigation",
            "An investigation has the decided fields and values",
            "tests/contract/test_shapes.py::test_an_investigation_has_the_decided_fields",
        ),
        (
            "end",
            "The receipt on /ws/investigation-receipts is the investigation at its end",
            "tests/system/test_path.py::test_sockets_show_alert_and_receipt_and_resume_where_a_client_left_off",
        ),
    ),
    *bullet(
        _S,
        6,
        (
            "frame",
            "WebSocket frames: sequence, type, time, data",
            "tests/contract/test_shapes.py::test_a_stream_frame_has_the_decided_fields",
            "tests/integration/test_gateway_streams.py::test_each_stream_shows_its_own_events_as_they_happen",
        ),
    ),
    *bullet(
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

ROWS: tuple[Requirement, ...] = (*_REQUESTS, *_SHAPES)
