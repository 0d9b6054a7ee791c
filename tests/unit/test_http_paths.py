"""Which path a request is for."""

from __future__ import annotations

from shared.http_paths import Nearer

NEARER = Nearer(
    [
        ("GET", "/users/me"),
        ("PATCH", "/users/me"),
        ("DELETE", "/users/{username}"),
        ("GET", "/users/{username}"),
        ("POST", "/rules/{rule_id}/suppressions/preview"),
        ("DELETE", "/rules/{rule_id}/suppressions/{suppression_id}"),
        ("GET", "/rules"),
    ]
)


def test_a_path_that_is_written_out_is_never_the_parameter_of_another() -> None:
    assert NEARER.methods("/users/{username}", "/users/me") == {"GET", "PATCH"}
    assert NEARER.methods("/users/{username}", "/users/ada") is None
    assert NEARER.methods("/users/me", "/users/me") is None


def test_parameters_before_it_make_no_difference() -> None:
    matched = "/rules/{rule_id}/suppressions/{suppression_id}"
    assert NEARER.methods(matched, "/rules/7/suppressions/preview") == {"POST"}
    assert NEARER.methods(matched, "/rules/7/suppressions/8") is None
    assert NEARER.methods(matched, "/rules/7/suppressions/previews") is None


def test_a_method_that_no_path_has_is_refused_with_those_of_the_nearest() -> None:
    assert NEARER.methods(None, "/users/me") == {"GET", "PATCH"}
    assert NEARER.methods(None, "/users/ada") is None
    assert NEARER.methods(None, "/rules") is None
