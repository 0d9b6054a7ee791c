"""The audit log: who did what, when, from where. It is written by the gateway and told as an event too."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import ADMIN, Endpoint, Topic
from shared.errors import UNAVAILABLE

#: `failure`: it was tried and did not work, as a wrong password; `denied`: it was forbidden.
AuditOutcome = Literal["success", "failure", "denied"]
Filter = Annotated[str, Meta(min_length=1, max_length=512)]


class AuditRecord(msgspec.Struct, kw_only=True):
    """One act. `action` is dotted (`session.created`). `actor` is who did it, a user's or an API key's id, null where
    nobody signed in; `actor_name` is the name it had then. `target` is what it was done to. `address` is the client's,
    seen through trusted proxies; `request_id` the X-Request-ID. `detail` never holds a secret."""

    id: str
    at: datetime
    action: str
    outcome: AuditOutcome
    actor: str | None = None
    actor_name: str | None = None
    target: str | None = None
    address: str | None = None
    request_id: str | None = None
    detail: dict[str, Any] = {}


class AuditQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters that must all hold. `actor` is an id or a name; `action` one action (`session.created`) or all that begin
    so (`session`); `since` is inclusive, `until` exclusive."""

    actor: Filter | None = None
    action: Filter | None = None
    outcome: AuditOutcome | None = None
    target: Filter | None = None
    address: Filter | None = None
    since: datetime | None = None
    until: datetime | None = None


AUDIT_RECORDED = Topic("aurora.audit.recorded", AuditRecord, "Somebody did something that is kept in the audit log")

LIST_AUDIT = Endpoint(
    "GET",
    "/api/v1/audit",
    ADMIN,
    service="gateway",
    summary="List audit records",
    query=AuditQuery,
    returns=Page[AuditRecord],
    errors=(UNAVAILABLE,),
    tag="System",
)
