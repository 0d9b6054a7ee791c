"""Suppressions: matches of a rule that are counted and listed but raise no alert (SOC page, "SIEM / Detection")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint, Topic
from shared.errors import CLICKHOUSE_UNAVAILABLE, CONFLICT, NOT_FOUND, VALIDATION

FieldName = Annotated[str, Meta(min_length=1, max_length=256)]
Pattern = Annotated[str, Meta(min_length=1, max_length=4096)]
Patterns = Annotated[list[Pattern], Meta(min_length=1, max_length=100)]
SuppressionState = Literal["active", "expired", "ended"]


class SuppressionCreate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to hide, and why.

    `fields` has ECS names or names as Sigma rules use them, each with values of which one must match; every field must.
    For a correlation they are fields that it groups by.
    A value is compared without regard to case; `*` stands for any text, a backslash before it makes it a star.
    `active_from` (included) and `active_to` (excluded) bound the time of the event; after `expires_at` nothing is
    hidden any more.
    """

    fields: Annotated[dict[FieldName, Patterns], Meta(min_length=1, max_length=20)]
    reason: Annotated[str, Meta(min_length=1, max_length=1024)]
    active_from: datetime | None = None
    active_to: datetime | None = None
    expires_at: datetime | None = None


class Suppression(msgspec.Struct, kw_only=True):
    """One suppression. `hidden` counts the matches it has hidden, `last_hidden` is the time of the last event."""

    id: str
    rule_id: str
    fields: dict[str, list[str]]
    reason: str
    active_from: datetime | None
    active_to: datetime | None
    expires_at: datetime | None
    state: SuppressionState
    hidden: int
    last_hidden: datetime | None
    created_by: str
    created_at: datetime
    ended_by: str | None
    ended_at: datetime | None


class SuppressionChanged(msgspec.Struct):
    """The suppression as it is after it was created or ended, and who did so."""

    suppression: Suppression
    changed_by: str


class SuppressedMatch(msgspec.Struct, kw_only=True):
    """A match that raised nothing. `log_id` is the id of its LogEvent.

    That of a correlation is the last event of the window, and `group` has the fields it groups by; else it is null.
    """

    rule_id: str
    log_id: str
    timestamp: datetime
    found_at: datetime
    group: dict[str, str] | None = None


class LabelledMatch(msgspec.Struct, frozen=True):
    """A match that somebody called a true positive, by its event or by its alert."""

    log_id: str
    alert_id: str | None


class SuppressionPreview(msgspec.Struct, kw_only=True):
    """Of the rule's `matches` since `since`, how many of the `examined` ones it would hide, and up to 20 of them.

    `complete` is false when there are more matches than are examined; the newest and all labelled ones always are.
    """

    since: datetime
    matches: int
    examined: int
    would_hide: int
    complete: bool
    samples: list[str]


LIST_SUPPRESSIONS = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}/suppressions",
    SIEM_READ,
    service="siem",
    summary="List suppressions",
    query=PageQuery,
    returns=Page[Suppression],
    errors=(NOT_FOUND, VALIDATION),
    tag="SIEM / Detection",
)
CREATE_SUPPRESSION = Endpoint(
    "POST",
    "/api/v1/detections/rules/{rule_id}/suppressions",
    SIEM_WRITE,
    service="siem",
    summary="Create suppression",
    body=SuppressionCreate,
    returns=Suppression,
    status=201,
    errors=(NOT_FOUND, VALIDATION, CONFLICT, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
PREVIEW_SUPPRESSION = Endpoint(
    "POST",
    "/api/v1/detections/rules/{rule_id}/suppressions/preview",
    SIEM_WRITE,
    service="siem",
    summary="What a suppression would have hidden in the last 30 days",
    body=SuppressionCreate,
    returns=SuppressionPreview,
    errors=(NOT_FOUND, VALIDATION, CONFLICT, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
END_SUPPRESSION = Endpoint(
    "DELETE",
    "/api/v1/detections/rules/{rule_id}/suppressions/{suppression_id}",
    SIEM_WRITE,
    service="siem",
    summary="End suppression; what it hid stays listed",
    returns=Suppression,
    errors=(NOT_FOUND,),
    tag="SIEM / Detection",
)
LIST_SUPPRESSED = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}/suppressions/{suppression_id}/matches",
    SIEM_READ,
    service="siem",
    summary="List what a suppression hid, newest event first",
    query=PageQuery,
    returns=Page[SuppressedMatch],
    errors=(NOT_FOUND, VALIDATION),
    tag="SIEM / Detection",
)

SUPPRESSION_CHANGED = Topic("aurora.suppressions.changed", SuppressionChanged, "A suppression was created or ended")
