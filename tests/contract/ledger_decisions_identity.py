"""Decided about identity: principals, tokens, keys, passwords, cookies, OIDC and SAML."""

from __future__ import annotations

from tests.contract.ledger_row import Requirement, bullet

_USERS = "tests/integration/test_gateway_users.py::"
_RCA = "tests/integration/test_gateway_rca_accounts.py::"
_SAFE = "tests/security/test_accounts.py::"

_OPENING = (
    *bullet(
        "Opening",
        1,
        (
            "one gateway",
            "Both APIs are served from one gateway, one account store and one port (default 5080)",
            _RCA + "test_the_account_is_the_one_of_the_other_api",
        ),
    ),
)

_IDENTITY = (
    *bullet(
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
        (
            "api_service",
            "api_service has only the scopes of its key and no interactive login",
            _USERS + "test_a_user_of_the_role_api_service_never_signs_in",
        ),
        ("approvers", "Approvals are decided by admin, analyst and operator, never by whoever asked"),
        (
            "matrix",
            "The permission matrix in the docs is generated from the code",
            "tests/structure/test_permissions_page.py::test_the_page_of_permissions_is_current",
            "tests/security/test_gateway.py::test_a_role_may_what_the_matrix_says_and_nothing_else",
            "tests/security/test_gateway.py::test_a_key_may_what_its_scopes_say_and_nothing_else",
        ),
    ),
    *bullet(
        "Identity",
        2,
        (
            "admin",
            "First start creates admin with a random password, kept in a 0600 file",
            "tests/integration/test_gateway_accounts.py::test_a_password_buys_a_bearer_token_for_fifteen_minutes",
            "tests/integration/test_gateway_accounts.py::test_a_restart_keeps_sessions_and_doesnt_reset_the_administrator",
            "tests/integration/test_embedded_stack.py::test_what_is_private_can_be_read_by_its_owner_only",
        ),
        (
            "admin's password",
            "The password is printed once",
            "tests/integration/test_embedded_stack.py::test_the_first_password_is_printed_at_the_first_start_only",
        ),
    ),
    *bullet(
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
        (
            "unchecked",
            "When revocation can't be checked the answer is 503, never a pass",
            "tests/integration/test_gateway_system.py::test_without_redis_nobody_passes_and_everything_comes_back",
            "tests/integration/test_gateway_replicas.py::"
            "test_without_redis_each_process_counts_alone_and_nobody_signed_in_passes",
        ),
    ),
    *bullet(
        "Identity",
        4,
        (
            "api key",
            "aur_<id>_<secret>, shown once, stored hashed, scopes within the creator's, expiry, last used",
            "tests/integration/test_gateway_keys.py::test_a_key_is_shown_once_and_listed_without_its_secret",
            "tests/integration/test_gateway_keys.py::test_the_last_use_of_a_key_is_written_down",
            "tests/security/test_api_keys.py::test_keys_are_kept_as_hashes_only",
            "tests/security/test_api_keys.py::test_nobody_gives_a_key_more_than_they_have",
            "tests/security/test_api_keys.py::test_an_expired_key_is_refused",
            "tests/integration/test_gateway_replicas.py::"
            "test_what_a_keys_owner_may_no_longer_do_the_key_may_nowhere_soon",
        ),
        (
            "api key header",
            "Authorization: Bearer or X-API-Key",
            "tests/integration/test_gateway_keys.py::test_a_key_works_in_the_style_of_each_product",
        ),
    ),
    *bullet(
        "Identity",
        5,
        (
            "pre-hash",
            "bcrypt over a SHA-256 pre-hash, so that long passwords work; 8 characters at least",
            _USERS + "test_a_password_longer_than_bcrypt_reads_counts_whole",
            _USERS + "test_what_cant_be_a_user_is_refused_by_field",
        ),
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
    *bullet(
        "Identity",
        6,
        (
            "e-mail",
            "E-mail addresses compare case-insensitively",
            _USERS + "test_names_and_addresses_are_taken_whatever_their_case",
            _RCA + "test_an_address_registers_once_whatever_its_case",
        ),
    ),
    *bullet(
        "Identity",
        7,
        (
            "X-User-ID",
            "Honoured only from AURORA_TRUSTED_PROXIES, or beside a session or token of that user; else 401",
            _SAFE + "test_a_header_that_names_somebody_else_than_the_token_is_refused",
            _RCA + "test_registration_can_be_closed",
        ),
        (
            "loopback",
            "The embedded stack trusts loopback by default; one setting turns it off",
            "tests/peers/test_rca_samples.py::test_the_header_of_the_samples_is_believed_on_loopback",
            "tests/unit/test_local_stack.py::test_loopback_may_name_users_until_the_operator_says_otherwise",
        ),
        (
            "cap",
            "By the header alone nobody is more than analyst; a foreign Origin is refused; each use is audited",
            "tests/unit/gateway/test_rca.py::test_by_the_header_alone_nobody_is_more_than_an_analyst",
            _SAFE + "test_a_header_from_a_page_of_somebody_else_is_refused",
            _RCA + "test_each_use_of_the_header_is_audited",
        ),
        (
            "ids",
            "User ids are unguessable (128 random bits) and never listed to other users",
            _SAFE + "test_ids_of_users_are_told_to_administrators_and_their_owner_only",
        ),
    ),
    *bullet(
        "Identity",
        8,
        (
            "cookie",
            "HttpOnly, SameSite=Lax, Secure off loopback",
            _RCA + "test_login_answers_with_the_user_and_sets_a_cookie_no_script_reads",
            _RCA + "test_off_loopback_the_cookie_needs_tls",
        ),
        (
            "csrf",
            "State-changing requests with the cookie need a same-origin Origin",
            _SAFE + "test_a_cookie_changes_nothing_for_a_page_of_somebody_else",
            _SAFE + "test_a_cookie_works_for_a_page_of_ours",
        ),
    ),
    *bullet(
        "Identity",
        9,
        (
            "oidc",
            "Discovery, PKCE S256, state, nonce, iss, JWKS rotation, algorithm allow-list",
            "tests/integration/test_gateway_federation.py::test_the_browser_is_sent_away_with_pkce_state_and_nonce",
            "tests/integration/test_gateway_federation.py::test_keys_may_be_replaced_while_everything_runs",
            "tests/security/test_oidc_tokens.py::test_a_signed_token_that_says_something_else_is_refused",
            "tests/security/test_oidc_tokens.py::test_a_token_that_the_provider_did_not_sign_is_refused",
            "tests/security/test_oidc_tokens.py::test_an_answer_counts_only_in_the_browser_that_asked",
        ),
        (
            "saml",
            "Signed assertions only; Audience, Recipient, InResponseTo, NotOnOrAfter; replay cache",
            "tests/security/test_saml_responses.py::test_a_signed_response_that_says_something_else_is_refused",
            "tests/security/test_saml_responses.py::test_a_response_of_another_form_is_refused",
            "tests/security/test_saml_responses.py::test_signature_wrapping_is_refused",
            "tests/security/test_saml_responses.py::test_an_assertion_is_used_once",
        ),
    ),
    *bullet(
        "Identity",
        10,
        (
            "oauth state",
            "OAuth state for cloud providers is signed, single use, bound to the user",
            "tests/security/test_cloud.py::test_no_forged_or_foreign_state_is_taken",
            "tests/security/test_cloud.py::test_a_state_serves_once",
            "tests/security/test_cloud.py::test_a_sign_in_ends_in_the_browser_that_began_it",
        ),
    ),
)

ROWS: tuple[Requirement, ...] = (*_OPENING, *_IDENTITY)
