"""Kubernetes audit events."""

from typing import Any

import orjson

from services.siem.logs.parsers import read_items
from tests.unit.parsers.parsing import event, view

ENTRY: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "RequestResponse",
    "auditID": "7a1e",
    "stage": "ResponseComplete",
    "requestURI": "/api/v1/namespaces/kube-system/pods",
    "verb": "create",
    "user": {"username": "system:serviceaccount:dev:builder", "groups": ["system:authenticated"]},
    "sourceIPs": ["192.0.2.21"],
    "userAgent": "kubectl/v1.31",
    "objectRef": {"resource": "pods", "namespace": "kube-system", "name": "x", "apiGroup": "apps"},
    "responseStatus": {"code": 201},
    "requestReceivedTimestamp": "2026-11-22T11:10:00.123456Z",
    "requestObject": {
        "spec": {
            "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
            "containers": [{"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}],
        }
    },
}


def test_an_event_has_ecs_names() -> None:
    found = event(ENTRY)
    assert found.dataset == "kubernetes.audit"
    assert found.ecs["event.type"] == ["creation"]
    assert found.ecs["user.name"] == "system:serviceaccount:dev:builder"
    assert found.ecs["source.ip"] == "192.0.2.21"
    assert found.ecs["orchestrator.resource.type"] == "pods"
    assert found.ecs["event.outcome"] == "success"
    assert found.message == "create kube-system/pods/x by system:serviceaccount:dev:builder"


def test_sigma_sees_the_audit_service_of_the_application() -> None:
    seen = view(event(ENTRY), "application")
    assert (seen.product, seen.services) == ("kubernetes", ("audit",))
    assert seen.fields["objectRef.resource"] == "pods"
    assert seen.fields["hostPath"] == "/"
    assert seen.fields["capabilities"] == ["SYS_ADMIN"]
    assert seen.fields["apiGroup"] == "apps"


def test_a_refused_request_is_a_failure() -> None:
    assert event({**ENTRY, "responseStatus": {"code": 403}}).ecs["event.outcome"] == "failure"


def test_an_event_list_is_one_event_each() -> None:
    body = orjson.dumps({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [ENTRY, ENTRY]})
    assert read_items(body, "application/json") == [ENTRY, ENTRY]


def test_an_event_of_the_cluster_is_not_an_audit_event() -> None:
    assert event({"kind": "Event", "apiVersion": "v1", "reason": "Pulled"}).dataset == "generic.json"
