"""Azure's activity log and the Entra ID logs, in the three forms they are exported in."""

from typing import Any

from tests.unit.parsers.parsing import event

HUB: dict[str, Any] = {
    "time": "2026-11-22T10:00:00.5000000Z",
    "resourceId": "/SUBSCRIPTIONS/S1/RESOURCEGROUPS/NET/PROVIDERS/MICROSOFT.NETWORK/FIREWALLPOLICIES/EDGE",
    "operationName": "MICROSOFT.NETWORK/FIREWALLPOLICIES/DELETE",
    "category": "Administrative",
    "resultType": "Success",
    "callerIpAddress": "192.0.2.10",
    "identity": {"claims": {"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "ops@example.org"}},
}
REST: dict[str, Any] = {
    "eventTimestamp": "2026-11-22T10:00:00Z",
    "caller": "ops@example.org",
    "subscriptionId": "s1",
    "operationName": {"value": "Microsoft.Authorization/roleAssignments/write", "localizedValue": "Create role"},
    "category": {"value": "Administrative"},
    "status": {"value": "Succeeded"},
    "httpRequest": {"clientIpAddress": "192.0.2.11"},
}
TABLE: dict[str, Any] = {
    "TimeGenerated": "2026-11-22T10:00:00Z",
    "OperationNameValue": "MICROSOFT.COMPUTE/SNAPSHOTS/DELETE",
    "CategoryValue": "Administrative",
    "ActivityStatusValue": "Failure",
    "ResourceId": "/subscriptions/s1",
    "Caller": "ops@example.org",
    "CallerIpAddress": "192.0.2.12",
}
AUDIT: dict[str, Any] = {
    "time": "2026-11-22T10:00:00Z",
    "operationName": "Add member to role",
    "category": "AuditLogs",
    "properties": {
        "loggedByService": "Core Directory",
        "category": "RoleManagement",
        "result": "success",
        "initiatedBy": {"user": {"userPrincipalName": "admin@example.org", "ipAddress": "192.0.2.13"}},
        "targetResources": [{"displayName": "Global Administrators", "modifiedProperties": [{"newValue": "x"}]}],
    },
}
SIGN_IN: dict[str, Any] = {
    "time": "2026-11-22T10:00:00Z",
    "operationName": "Sign-in activity",
    "category": "SignInLogs",
    "resultType": "50057",
    "resultDescription": "User account is disabled.",
    "callerIpAddress": "192.0.2.14",
    "properties": {"userPrincipalName": "old@example.org", "userAgent": "axios/1.6", "riskState": "atRisk"},
}


def test_the_event_hubs_form_is_the_activity_log() -> None:
    found = event(HUB)
    assert (found.dataset, found.views[0].product, found.views[0].services) == (
        "azure.activitylogs",
        "azure",
        ("activitylogs",),
    )
    assert found.ecs["user.name"] == "ops@example.org"
    assert found.ecs["source.ip"] == "192.0.2.10"
    assert found.ecs["event.outcome"] == "success"
    assert found.timestamp.microsecond == 500_000


def test_every_form_has_the_operation_under_every_name_rules_use() -> None:
    for document in (HUB, REST, TABLE):
        fields = event(document).views[0].fields
        assert fields["operationName"] == fields["OperationNameValue"]
        assert fields["CategoryValue"] == "Administrative"
    assert event(REST).ecs["source.ip"] == "192.0.2.11"
    assert event(TABLE).ecs["event.outcome"] == "failure"
    assert event(TABLE).ecs["user.name"] == "ops@example.org"


def test_an_audit_entry_is_seen_under_both_spellings() -> None:
    found = event(AUDIT)
    fields = found.views[0].fields
    assert found.views[0].services == ("auditlogs",)
    assert fields["LoggedByService"] == "Core Directory"
    assert fields["properties.message"] == "Add member to role"
    assert fields["TargetResources.ModifiedProperties.NewValue"] == "x"
    assert "Administrators" in fields["properties.targetResources"]
    assert found.ecs["user.name"] == "admin@example.org"
    assert found.ecs["source.ip"] == "192.0.2.13"


def test_a_sign_in_has_its_result_and_client() -> None:
    found = event(SIGN_IN)
    fields = found.views[0].fields
    assert found.dataset == "azure.signinlogs"
    assert (fields["ResultType"], fields["Status"], fields["userAgent"]) == ("50057", "Failure", "axios/1.6")
    assert fields["RiskState"] == "atRisk"
    assert found.ecs["event.outcome"] == "failure"
    assert found.ecs["event.category"] == ["authentication"]


def test_an_object_with_an_operation_and_a_time_alone_is_not_azures() -> None:
    assert event({"time": "2026-11-22T10:00:00Z", "operationName": "save", "category": "x"}).dataset == "generic.json"
