"""Okta's System Log."""

from typing import Any

from tests.unit.parsers.parsing import event

ENTRY: dict[str, Any] = {
    "uuid": "0b1c7f6e-1111-4222-8333-944445555666",
    "published": "2026-11-22T11:00:00.250Z",
    "eventType": "user.session.start",
    "severity": "WARN",
    "displayMessage": "User login to Okta",
    "actor": {"id": "00u1", "type": "User", "alternateId": "eve@example.org", "displayName": "Eve"},
    "client": {"ipAddress": "192.0.2.77", "userAgent": {"rawUserAgent": "curl/8.0"}},
    "outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"},
    "target": [{"displayName": "Okta Admin Console"}, {"displayName": "App"}],
    "debugContext": {"debugData": {"requestUri": "/api/v1/authn"}},
}


def test_an_entry_has_ecs_names() -> None:
    found = event(ENTRY)
    assert found.dataset == "okta.system"
    assert found.ecs["event.action"] == "user.session.start"
    assert found.ecs["event.category"] == ["authentication"]
    assert found.ecs["event.outcome"] == "failure"
    assert found.ecs["user.name"] == "eve@example.org"
    assert found.ecs["source.ip"] == "192.0.2.77"
    assert found.ecs["log.level"] == "warn"
    assert found.message == "User login to Okta by eve@example.org FAILURE"


def test_sigma_sees_oktas_own_names() -> None:
    (view,) = event(ENTRY).views
    assert (view.product, view.services) == ("okta", ("okta",))
    assert view.fields["target.displayName"] == ["Okta Admin Console", "App"]
    assert view.fields["debugContext.debugData.requestUri"] == "/api/v1/authn"
