"""Runtime settings: what administrators change while everything runs (SOC page, "System")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SYSTEM_READ, SYSTEM_WRITE, Endpoint
from shared.contracts.system import Mode
from shared.errors import CONFLICT, UNAVAILABLE, VALIDATION

LogLevel = Literal["debug", "info", "warning", "error"]
PerMinute = Annotated[int, Meta(ge=1, le=1_000_000)]
Days = Annotated[int, Meta(ge=1, le=3650)]
Reason = Annotated[str, Meta(min_length=1, max_length=512)]


class RuntimeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What holds. Requests and failed sign-ins are counted for each caller; the RCA API's paths and chat have limits of
    their own. `registration`: whether people may make themselves accounts; null: unless there is a provider of
    identities. `log_retention_days`: how long events of sources without a retention of their own are kept, from their
    arrival on; it holds for what arrives from now on."""

    mode: Mode
    log_level: LogLevel
    requests_per_minute: PerMinute
    rca_requests_per_minute: PerMinute
    chat_requests_per_minute: PerMinute
    registration: bool | None
    login_attempts_per_minute: PerMinute
    log_retention_days: Days


class RuntimeOverrides(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What administrators set; what is null is each process's own, from its environment."""

    mode: Mode | None = None
    log_level: LogLevel | None = None
    requests_per_minute: PerMinute | None = None
    rca_requests_per_minute: PerMinute | None = None
    chat_requests_per_minute: PerMinute | None = None
    registration: bool | None = None
    login_attempts_per_minute: PerMinute | None = None
    log_retention_days: Days | None = None


class HeldOverrides(msgspec.Struct, frozen=True):
    """What is told to every process: the overrides, and the number and the time of the change they came with, which
    together name it."""

    revision: int
    overrides: RuntimeOverrides
    changed_at: datetime | None = None


class RuntimeUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change, and why. A setting that isn't named stays; null gives it back to the environment."""

    reason: Reason
    mode: Mode | UnsetType | None = UNSET
    log_level: LogLevel | UnsetType | None = UNSET
    requests_per_minute: PerMinute | UnsetType | None = UNSET
    rca_requests_per_minute: PerMinute | UnsetType | None = UNSET
    chat_requests_per_minute: PerMinute | UnsetType | None = UNSET
    registration: bool | UnsetType | None = UNSET
    login_attempts_per_minute: PerMinute | UnsetType | None = UNSET
    log_retention_days: Days | UnsetType | None = UNSET


class RuntimeState(msgspec.Struct, kw_only=True):
    """`settings` are the gateway's own; `overridden` names those that administrators set, which hold everywhere.
    `revision` counts changes from 0 and is what `If-Match` names. The rest is of the latest change."""

    revision: int
    settings: RuntimeSettings
    overridden: list[str]
    changed_at: datetime | None = None
    changed_by: str | None = None
    changed_by_name: str | None = None
    reason: str | None = None


class RuntimeValue(msgspec.Struct):
    """One setting before and after a change; null: the environment's."""

    before: Any
    after: Any


class RuntimeChange(msgspec.Struct, kw_only=True):
    """Who changed what, when and why. `changed_by` is an id, `changed_by_name` the name it had then."""

    revision: int
    changed: dict[str, RuntimeValue]
    changed_at: datetime
    changed_by: str
    changed_by_name: str
    reason: str


GET_RUNTIME_SETTINGS = Endpoint(
    "GET",
    "/api/v1/settings/runtime",
    SYSTEM_READ,
    service="gateway",
    summary="Runtime configuration",
    returns=RuntimeState,
    versioned=True,
    errors=(UNAVAILABLE,),
    tag="System",
)
UPDATE_RUNTIME_SETTINGS = Endpoint(
    "PATCH",
    "/api/v1/settings/runtime",
    SYSTEM_WRITE,
    service="gateway",
    summary="Update runtime config",
    body=RuntimeUpdate,
    returns=RuntimeState,
    versioned=True,
    errors=(VALIDATION, CONFLICT, UNAVAILABLE),
    tag="System",
    max_body=16 * 1024,
)
LIST_RUNTIME_CHANGES = Endpoint(
    "GET",
    "/api/v1/settings/runtime/history",
    SYSTEM_READ,
    service="gateway",
    summary="List changes of the runtime configuration",
    query=PageQuery,
    returns=Page[RuntimeChange],
    errors=(UNAVAILABLE,),
    tag="System",
)
