"""Detection rules and their matches (SOC page, "SIEM / Detection"; Sigma specification 2.1)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint, Topic
from shared.errors import (
    CONFLICT,
    MALFORMED_REQUEST,
    NOT_FOUND,
    SIGMA_INVALID,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION,
)

Level = Literal["informational", "low", "medium", "high", "critical"]


class LogSource(msgspec.Struct, frozen=True):
    """A Sigma logsource; null where the rule leaves a part open."""

    product: str | None = None
    category: str | None = None
    service: str | None = None


class DetectionRule(msgspec.Struct, kw_only=True):
    """A stored Sigma rule. `id` is the Sigma id; `problem` says why the engine can't run it, null when it runs.

    `version` counts the texts it had; `revision` grows with every change, and is what `If-Match` names.
    """

    id: str
    title: str
    description: str
    level: Level
    status: str
    enabled: bool
    logsource: LogSource
    tags: list[str]
    mitre_techniques: list[str]
    author: str
    origin: str
    problem: str | None
    sigma: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    revision: int = 0


class RuleQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """`q` searches titles; `enabled` and `level` filter."""

    q: Annotated[str, Meta(max_length=256)] | None = None
    level: Level | None = None
    enabled: bool | None = None


class RuleDocument(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON form of a rule: `{"sigma": "<yaml text>"}`."""

    sigma: Annotated[str, Meta(min_length=1, max_length=16 * 1024 * 1024)]


class RuleUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Only the fields sent are changed. A new `sigma` text becomes a version, `reason` is noted with it."""

    enabled: bool | UnsetType = UNSET
    sigma: Annotated[str, Meta(min_length=1, max_length=1024 * 1024)] | UnsetType = UNSET
    reason: Annotated[str, Meta(max_length=1024)] = ""


class RuleProblem(msgspec.Struct, frozen=True):
    """Why document number `index` (from 0) was refused; `line` counts from 1 within the body, null when unknown."""

    index: int
    message: str
    line: int | None = None
    rule_id: str | None = None
    title: str | None = None


class ImportReport(msgspec.Struct):
    """What a bulk import did. `unserved` rules are stored but can't run, each with its reason."""

    created: int
    updated: int
    unchanged: int
    unserved: list[RuleProblem]
    errors: list[RuleProblem]


class DetectionMatched(msgspec.Struct):
    """A rule matched `count` events of one host in one batch; `alert_id` is the alert that counts them.

    `log_ids` names the first 20 of them; `timestamp` is that of the last.
    """

    rule_id: str
    rule_title: str
    level: Level
    alert_id: str
    count: int
    log_ids: list[str]
    timestamp: datetime


class DetectionFailed(msgspec.Struct):
    """Rules could not be evaluated over a stored event; a person must look. `reason` names the kind of failure."""

    log_id: str
    reason: str


class RuleChanged(msgspec.Struct, kw_only=True):
    """A rule is new, or has another text, is switched on or off, or was compiled anew: what it is now, by whom and why.

    `version` counts its texts, `revision` its changes; `problem` says why it can't run.
    """

    rule_id: str
    title: str
    level: Level
    created: bool
    enabled: bool
    version: int
    revision: int
    problem: str | None
    changed_by: str
    reason: str


LIST_RULES = Endpoint(
    "GET",
    "/api/v1/detections/rules",
    SIEM_READ,
    service="siem",
    summary="List detection rules",
    query=RuleQuery,
    returns=Page[DetectionRule],
    errors=(VALIDATION,),
    tag="SIEM / Detection",
)
CREATE_RULE = Endpoint(
    "POST",
    "/api/v1/detections/rules",
    SIEM_WRITE,
    service="siem",
    summary="Create detection rule",
    body=bytes,
    returns=DetectionRule,
    status=201,
    errors=(MALFORMED_REQUEST, SIGMA_INVALID, VALIDATION, CONFLICT, UNSUPPORTED_MEDIA_TYPE),
    tag="SIEM / Detection",
    consumes=("application/yaml", "application/json", "application/x-yaml", "text/yaml"),
)
GET_RULE = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}",
    SIEM_READ,
    service="siem",
    summary="Get detection rule",
    returns=DetectionRule,
    versioned=True,
    errors=(NOT_FOUND,),
    tag="SIEM / Detection",
)
UPDATE_RULE = Endpoint(
    "PATCH",
    "/api/v1/detections/rules/{rule_id}",
    SIEM_WRITE,
    service="siem",
    summary="Update detection rule",
    body=RuleUpdate,
    returns=DetectionRule,
    versioned=True,
    errors=(NOT_FOUND, VALIDATION, SIGMA_INVALID, CONFLICT),
    tag="SIEM / Detection",
    max_body=4 * 1024 * 1024,
)
IMPORT_RULES = Endpoint(
    "POST",
    "/api/v1/detections/rules/import",
    SIEM_WRITE,
    service="siem",
    summary="Import detection rules: a stream of YAML documents, each stored or refused on its own",
    body=bytes,
    returns=ImportReport,
    errors=(MALFORMED_REQUEST, VALIDATION, UNSUPPORTED_MEDIA_TYPE),
    tag="SIEM / Detection",
    consumes=("application/yaml", "application/x-yaml", "text/yaml"),
    max_body=64 * 1024 * 1024,
    # Thousands of rules are parsed and compiled before the answer.
    timeout_seconds=300.0,
)

DETECTION_MATCHED = Topic("aurora.detections.matched", DetectionMatched, "A rule matched events of a batch")
DETECTION_FAILED = Topic("aurora.detections.failed", DetectionFailed, "An event that no rule could be evaluated over")
RULE_CHANGED = Topic("aurora.rules.changed", RuleChanged, "A detection rule is new or was changed")
