"""Shapes that every resource shares: pages, severities, observables, the error envelope."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")

Severity = Literal["info", "low", "medium", "high", "critical"]
#: Ascending, so that `SEVERITIES.index` orders them.
SEVERITIES: tuple[Severity, ...] = ("info", "low", "medium", "high", "critical")

Verdict = Literal["malicious", "suspicious", "benign", "undetermined"]

Limit = Annotated[int, Meta(ge=1, le=200)]
Cursor = Annotated[str, Meta(max_length=512)]
ShortText = Annotated[str, Meta(min_length=1, max_length=512)]
LongText = Annotated[str, Meta(max_length=16384)]
Confidence = Annotated[float, Meta(ge=0.0, le=1.0)]
#: An ATT&CK technique id, `T1059` or `T1059.001`.
TechniqueId = Annotated[str, Meta(pattern=r"^T\d{4}(\.\d{3})?$")]


class Observable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One indicator: `type` is ip, domain, url, hash, email, file, user, host, process or other."""

    type: Annotated[str, Meta(min_length=1, max_length=64)]
    value: Annotated[str, Meta(min_length=1, max_length=4096)]


class Page(msgspec.Struct, Generic[T]):
    """A page of a list, newest first. `next_cursor` is null on the last page; `total` only where it is cheap."""

    items: list[T]
    next_cursor: str | None = None
    total: int | msgspec.UnsetType = msgspec.UNSET


class PageQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The paging parameters of every list."""

    limit: Limit = 50
    cursor: Cursor | None = None


class FieldProblem(msgspec.Struct, frozen=True):
    """One invalid field of a request, named by its path (`body.iocs[0].type`, `query.limit`)."""

    path: str
    message: str


class ErrorBody(msgspec.Struct):
    """The inside of the error envelope (SOC page, "Error response envelope")."""

    code: str
    message: str
    detail: Any
    timestamp: datetime
    request_id: str


class ErrorEnvelope(msgspec.Struct):
    """`{"error": {...}}`, the body of every refused request under /api/v1."""

    error: ErrorBody


class Message(msgspec.Struct):
    """A plain confirmation."""

    message: str
