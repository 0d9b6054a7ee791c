"""AWS CloudTrail records. Source: AWS's "CloudTrail record contents"; Sigma's aws/cloudtrail uses the same names."""

from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.documents import Column, event_of, fill, first_time, sentence, text_of
from services.siem.logs.parsers.interface import Context, Document
from services.siem.logs.parsers.values import dump, flatten

_COLUMNS = (
    Column("eventName", "event.action"),
    Column("eventSource", "event.provider"),
    Column("eventID", "event.id"),
    Column("sourceIPAddress", "source.ip", "address"),
    Column("sourceIPAddress", "source.address"),
    Column("userAgent", "user_agent.original"),
    Column("awsRegion", "cloud.region"),
    Column("recipientAccountId", "cloud.account.id"),
    Column("userIdentity.accountId", "cloud.account.id"),
    Column("userIdentity.userName", "user.name"),
    Column("userIdentity.sessionContext.sessionIssuer.userName", "user.name"),
    Column("userIdentity.arn", "user.name"),
    Column("userIdentity.principalId", "user.id"),
    Column("errorCode", "error.code"),
    Column("errorMessage", "error.message"),
    Column("tlsDetails.tlsVersion", "tls.version"),
)
#: Sections that rules also look through as one text.
_TEXTS = ("requestParameters", "responseElements", "additionalEventData")
_IDENTITY = ("iam.", "sts.", "sso.", "signin.", "cognito-idp.")


def takes(document: Document) -> bool:
    """Whether an object is a CloudTrail record."""
    return "eventName" in document and "awsRegion" in document and isinstance(document.get("eventSource"), str)


def parse(document: Document, raw: str, context: Context) -> Event:
    """One CloudTrail record."""
    flat = flatten(document)
    source = text_of(flat, "eventSource")
    failed = "errorCode" in flat or flat.get("responseElements.ConsoleLogin") == "Failure"
    login = flat.get("eventName") == "ConsoleLogin"
    ecs: dict[str, Any] = {
        "event.dataset": "aws.cloudtrail",
        "event.module": "aws",
        "cloud.provider": "aws",
        "event.outcome": "failure" if failed else "success",
        "event.category": ["authentication"] if login else ["iam"] if source.startswith(_IDENTITY) else ["api"],
        "event.type": ["start"] if login else ["info"] if flat.get("readOnly") is True else ["change"],
    }
    fill(ecs, flat, _COLUMNS)
    fields = dict(flat)
    for name in _TEXTS:
        if isinstance(document.get(name), dict):
            fields[name] = dump(document[name])
    fields.setdefault("status", ecs["event.outcome"])
    shown = sentence(source, flat.get("eventName"), "by", ecs.get("user.name"), flat.get("errorCode"))
    views = [View("aws", None, ("cloudtrail",), fields)]
    return event_of(first_time(flat, ("eventTime",), context), shown, ("aws.cloudtrail", flat), ecs, views, raw)
