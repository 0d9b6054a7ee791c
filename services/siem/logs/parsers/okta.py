"""Okta's System Log. Source: Okta's System Log API, LogEvent; Sigma's okta/okta uses the same names."""

from typing import Any

from services.siem.event import Event, View
from services.siem.logs.parsers.documents import Column, event_of, fill, first_time, sentence, text_of
from services.siem.logs.parsers.interface import Context, Document
from services.siem.logs.parsers.values import flatten

_COLUMNS = (
    Column("eventType", "event.action"),
    Column("uuid", "event.id"),
    Column("severity", "log.level"),
    Column("outcome.reason", "event.reason"),
    Column("actor.alternateId", "user.name"),
    Column("actor.displayName", "user.full_name"),
    Column("actor.id", "user.id"),
    Column("client.ipAddress", "source.ip", "address"),
    Column("client.ipAddress", "source.address"),
    Column("client.userAgent.rawUserAgent", "user_agent.original"),
    Column("client.geographicalContext.country", "source.geo.country_name"),
    Column("client.geographicalContext.city", "source.geo.city_name"),
    Column("securityContext.domain", "source.domain"),
    Column("target.alternateId", "user.target.name"),
    Column("authenticationContext.externalSessionId", "session.id"),
)
_OUTCOMES = {"SUCCESS": "success", "ALLOW": "success", "FAILURE": "failure", "DENY": "failure"}
#: Beginning of the event type -> ECS category and type.
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("user.session.", "authentication", "start"),
    ("user.authentication.", "authentication", "start"),
    ("user.mfa.", "iam", "change"),
    ("user.", "iam", "change"),
    ("group.", "iam", "group"),
    ("iam.", "iam", "admin"),
    ("policy.", "configuration", "change"),
    ("application.", "iam", "change"),
    ("system.", "configuration", "change"),
    ("zone.", "configuration", "change"),
)


def takes(document: Document) -> bool:
    """Whether an object is an entry of Okta's System Log."""
    return "eventType" in document and "published" in document and isinstance(document.get("actor"), dict)


def parse(document: Document, raw: str, context: Context) -> Event:
    """One entry of the System Log."""
    flat = flatten(document)
    action = text_of(flat, "eventType")
    ecs: dict[str, Any] = {"event.dataset": "okta.system", "event.module": "okta"}
    for start, category, kind in _KINDS:
        if action.startswith(start):
            ecs["event.category"], ecs["event.type"] = [category], [kind]
            break
    ecs["event.outcome"] = _OUTCOMES.get(text_of(flat, "outcome.result").upper(), "unknown")
    fill(ecs, flat, _COLUMNS)
    if "log.level" in ecs:
        ecs["log.level"] = ecs["log.level"].lower()
    shown = sentence(flat.get("displayMessage") or action, "by", ecs.get("user.name"), flat.get("outcome.result"))
    views = [View("okta", None, ("okta",), flat)]
    return event_of(first_time(flat, ("published",), context), shown, ("okta", flat), ecs, views, raw)
