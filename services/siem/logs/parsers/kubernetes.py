"""Kubernetes audit events. Source: audit.k8s.io/v1; Sigma's kubernetes/audit has its names and three short ones."""

from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.documents import Column, event_of, fill, first_time, sentence
from services.siem.logs.parsers.interface import Context, Document
from services.siem.logs.parsers.values import flatten

_COLUMNS = (
    Column("verb", "event.action"),
    Column("auditID", "event.id"),
    Column("user.username", "user.name"),
    Column("user.uid", "user.id"),
    Column("user.groups", "user.roles", "list"),
    Column("impersonatedUser.username", "user.effective.name"),
    Column("sourceIPs", "source.ip", "address"),
    Column("userAgent", "user_agent.original"),
    Column("requestURI", "url.original"),
    Column("responseStatus.code", "http.response.status_code", "number"),
    Column("objectRef.namespace", "orchestrator.namespace"),
    Column("objectRef.resource", "orchestrator.resource.type"),
    Column("objectRef.name", "orchestrator.resource.name"),
    Column("objectRef.apiVersion", "orchestrator.api_version"),
)
_TYPES = {
    "create": "creation", "delete": "deletion", "deletecollection": "deletion", "update": "change", "patch": "change",
    "get": "access", "list": "access", "watch": "access",
}  # fmt: skip
#: Sigma's short name -> the ends of the names where it stands in the object that was sent.
_SHORT = {"hostPath": (".volumes.hostPath.path",), "capabilities": (".capabilities.add", ".capabilities.drop")}


def takes(document: Document) -> bool:
    """Whether an object is an event of the audit API."""
    version = document.get("apiVersion")
    return document.get("kind") == "Event" and isinstance(version, str) and version.startswith("audit.k8s.io/")


def parse(document: Document, raw: str, context: Context) -> Event:
    """One audit event."""
    flat = flatten(document)
    ecs: dict[str, Any] = {
        "event.dataset": "kubernetes.audit",
        "event.module": "kubernetes",
        "event.category": ["api"],
        "event.type": [_TYPES.get(str(flat.get("verb")), "info")],
        "orchestrator.type": "kubernetes",
    }
    fill(ecs, flat, _COLUMNS)
    if (status := ecs.get("http.response.status_code")) is not None:
        ecs["event.outcome"] = "failure" if status >= 400 else "success"
    fields = dict(flat)
    if "objectRef.apiGroup" in flat:
        fields.setdefault("apiGroup", flat["objectRef.apiGroup"])
    for short, ends in _SHORT.items():
        found = [value for name, value in flat.items() if name.startswith("requestObject.") and name.endswith(ends)]
        if found:
            fields.setdefault(short, found[0])
    thing = "/".join(str(flat[name]) for name in ("objectRef.namespace", "objectRef.resource", "objectRef.name")
                     if name in flat)  # fmt: skip
    shown = sentence(flat.get("verb"), thing or flat.get("requestURI"), "by", ecs.get("user.name"))
    views = [View("kubernetes", "application", ("audit",), fields)]
    when = first_time(flat, ("requestReceivedTimestamp", "stageTimestamp"), context)
    return event_of(when, shown, ("kubernetes.audit", flat), ecs, views, raw)
