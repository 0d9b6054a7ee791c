"""Decided about agents on the wire and about the modes."""

from __future__ import annotations

from tests.contract.ledger_row import Requirement, bullet

_AGENTS = (
    *bullet(
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
    *bullet(
        "Agents",
        2,
        (
            "_meta",
            "A HandoffTool adds params._meta with the decided fields",
            "tests/contract/test_shapes.py::test_a_handoff_has_the_decided_metadata",
        ),
        (
            "capabilities",
            "capabilities are a subset of the caller's",
            "tests/integration/test_orchestrator.py::test_a_dispatch_passes_no_more_rights_on_than_its_caller_has",
            "tests/integration/test_agents_handoff.py::test_nobody_is_granted_what_the_caller_was_not_granted",
        ),
        (
            "bare",
            "A bare request from an authenticated peer is served too",
            "tests/integration/test_rpc_errors.py::test_the_pages_request_gets_the_pages_answer",
        ),
    ),
    *bullet(
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
    *bullet(
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
            "tests/integration/test_rpc_fleet.py::test_a_handoff_asked_again_goes_to_the_instance_that_did_it",
        ),
    ),
    *bullet(
        "Agents",
        5,
        (
            "raise only",
            "Model output may raise a severity, never lower one; it closes and suppresses nothing",
            "tests/unit/orchestrator/test_merge.py::test_a_second_opinion_may_raise_the_severity_and_nothing_else",
        ),
        ("no action", "Model output may propose an action, never carry one out"),
        (
            "citations",
            "Every claim in a verdict cites a stored tool result, or is dropped",
            "tests/unit/orchestrator/test_merge.py::test_a_claim_that_cites_nothing_that_was_delivered_is_dropped",
            "tests/system/test_path.py::test_the_verdict_rests_on_stored_tool_results_of_every_specialist",
            "tests/integration/test_fleet.py::test_every_citation_of_a_verdict_can_be_looked_up",
        ),
        ("no model", "Verdicts are the same with no model configured, but for the prose"),
    ),
)

_MODES = (
    *bullet(
        "Modes",
        1,
        ("dry_run", "No side effect leaves Aurora; every action is recorded with what it would have done"),
        ("monitor", "Default: read-only actions run, changing actions wait for approval"),
        ("active", "Policy decides which run alone and which wait"),
        ("change", "Changing the mode voids pending approvals"),
    ),
)

ROWS: tuple[Requirement, ...] = (*_AGENTS, *_MODES)
