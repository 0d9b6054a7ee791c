"""Azure's activity log, and the Entra ID logs that share its envelope: audit, sign-in and risk events.

They come as the event hub writes them (`operationName`, `properties`), as the REST API gives them (`eventTimestamp`,
`{"value": .., "localizedValue": ..}`) or as Log Analytics exports them (`TimeGenerated`, `OperationNameValue`). Sigma's
rules use the names of all three, so a view has each known value under every one of its names.
Source: Microsoft's "Azure Activity Log event schema" and the reference of its tables.
"""

from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.documents import Column, event_of, fill, first_time, sentence, text_of
from services.siem.logs.parsers.interface import MAX_FIELDS, Context, Document
from services.siem.logs.parsers.values import dump, flatten

_COLUMNS = (
    Column("operationName", "event.action"),
    Column("correlationId", "event.correlation_id"),
    Column("caller", "user.name"),
    Column("userPrincipalName", "user.name"),
    Column("initiatedBy.user.userPrincipalName", "user.name"),
    Column("initiatedBy.app.displayName", "user.name"),
    Column("identity", "user.name"),
    Column("userId", "user.id"),
    Column("initiatedBy.user.id", "user.id"),
    Column("callerIpAddress", "source.ip", "address"),
    Column("ipAddress", "source.ip", "address"),
    Column("initiatedBy.user.ipAddress", "source.ip", "address"),
    Column("httpRequest.clientIpAddress", "source.ip", "address"),
    Column("userAgent", "user_agent.original"),
    Column("resourceId", "cloud.resource.id"),
    Column("subscriptionId", "cloud.account.id"),
    Column("tenantId", "cloud.account.id"),
    Column("level", "log.level"),
    Column("resultType", "event.code"),
    Column("resultDescription", "event.reason"),
)
#: One thing's names; the first that is there is copied to the others.
_SAME: tuple[tuple[str, ...], ...] = (
    ("operationName", "operationName.value", "OperationNameValue", "OperationName"),
    ("category", "category.value", "CategoryValue", "Category"),
    ("resourceProviderName.value", "ResourceProviderValue", "resourceProviderValue"),
    ("resourceId", "ResourceId", "_ResourceId"),
    ("callerIpAddress", "CallerIpAddress"),
    ("caller", "Caller", "identity.claims.http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn"),
    ("status.value", "status", "Status", "ActivityStatusValue", "result"),
    ("activityDisplayName", "ActivityDisplayName", "activityType", "ActivityType"),
    ("resultType", "ResultType", "status.errorCode"),
    ("resultDescription", "ResultDescription", "Resultdescription", "status.failureReason"),
    ("userPrincipalName", "Username", "UserPrincipalName"),
    ("clientAppUsed", "ClientApp", "ClientAppUsed"),
    ("deviceDetail.trustType", "DeviceDetail.trusttype", "DeviceDetail.trustType"),
    ("deviceDetail.deviceId", "DeviceDetail.deviceId"),
    ("deviceDetail.isCompliant", "DeviceDetail.isCompliant"),
)
_SERVICES = {
    "auditlogs": "auditlogs", "signinlogs": "signinlogs", "noninteractiveusersigninlogs": "signinlogs",
    "serviceprincipalsigninlogs": "signinlogs", "managedidentitysigninlogs": "signinlogs",
    "userriskevents": "riskdetection", "riskyusers": "riskdetection", "serviceprincipalriskevents": "riskdetection",
    "administrative": "activitylogs", "security": "activitylogs", "servicehealth": "activitylogs",
    "alert": "activitylogs", "recommendation": "activitylogs", "policy": "activitylogs", "autoscale": "activitylogs",
    "resourcehealth": "activitylogs",
}  # fmt: skip
_TIMES = ("time", "eventTimestamp", "TimeGenerated", "activityDateTime", "createdDateTime")
_KINDS = {
    "signinlogs": ("authentication", "start"),
    "auditlogs": ("iam", "change"),
    "riskdetection": ("threat", "indicator"),
    "activitylogs": ("configuration", "change"),
}


def service_of(document: Document) -> str | None:
    """Sigma's service for an object of Azure; None where it is none of its logs."""
    operation = document.get("operationName", document.get("OperationNameValue", document.get("OperationName")))
    if operation is None or not any(name in document for name in _TIMES):
        return None
    category = document.get("category", document.get("CategoryValue", document.get("Category")))
    if isinstance(category, dict):
        category = category.get("value")
    service = _SERVICES.get(str(category).lower())
    if service is None or service == "activitylogs":
        known = ("resourceId", "ResourceId", "_ResourceId", "subscriptionId", "SubscriptionId")
        return "activitylogs" if any(name in document for name in known) else None
    return service


def takes(document: Document) -> bool:
    """Whether an object is an entry of one of these logs."""
    return service_of(document) is not None


def parse(document: Document, raw: str, context: Context) -> Event:
    """One entry."""
    flat = flatten(document)
    service = service_of(document) or "activitylogs"
    fields = _fields(document, flat, service)
    category, kind = _KINDS[service]
    ecs: dict[str, Any] = {
        "event.dataset": f"azure.{service}",
        "event.module": "azure",
        "cloud.provider": "azure",
        "event.category": [category],
        "event.type": [kind],
    }
    fill(ecs, fields, _COLUMNS)
    ecs["event.outcome"] = _outcome(fields, service)
    shown = sentence(fields.get("operationName"), "by", ecs.get("user.name"), fields.get("Status"))
    when = first_time(flat, _TIMES, context)
    return event_of(when, shown, ("azure", flat), ecs, [View("azure", None, (service,), fields)], raw)


def _fields(document: Document, flat: dict[str, Any], service: str) -> dict[str, Any]:
    """The own names, those under `properties` also without it, and every name of what _SAME knows."""
    fields = dict(flat)
    fields.update(_whole_lists(document))
    for name, value in flat.items():
        short = name.removeprefix("properties.")
        fields.setdefault(short, value)
        # Log Analytics begins each part with a capital.
        fields.setdefault(".".join(part[:1].upper() + part[1:] for part in short.split(".")), value)
        if len(fields) >= MAX_FIELDS:
            break
    for names in _SAME:
        found = next((fields[name] for name in names if fields.get(name) not in (None, "")), None)
        if found is not None:
            for name in names:
                fields.setdefault(name, found)
    if service == "auditlogs" and "operationName" in fields:
        fields.setdefault("properties.message", fields["operationName"])
    if service == "signinlogs":
        fields.setdefault("Status", "Success" if str(fields.get("resultType")) == "0" else "Failure")
    return dict(list(fields.items())[:MAX_FIELDS])


def _whole_lists(document: Document) -> dict[str, Any]:
    """The lists that rules also look through as one text."""
    properties = document.get("properties")
    texts: dict[str, Any] = {}
    for section in (document, properties if isinstance(properties, dict) else {}):
        for name in ("targetResources", "networkLocationDetails"):
            if isinstance(section.get(name), list):
                whole = dump(section[name])
                texts[f"{name[0].upper()}{name[1:]}"] = texts[f"properties.{name}"] = whole
    return texts


def _outcome(fields: dict[str, Any], service: str) -> str:
    if service == "signinlogs" and "resultType" in fields:
        return "success" if str(fields["resultType"]) == "0" else "failure"
    for name in ("Status", "resultType", "resultSignature"):
        word = text_of(fields, name).lower()
        if word.startswith(("succe", "succeeded", "accept", "start")):
            return "success"
        if word.startswith(("fail", "error", "denied")):
            return "failure"
    return "unknown"
