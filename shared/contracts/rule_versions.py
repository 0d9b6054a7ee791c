"""The texts a detection rule had: listed, compared, and put in force again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.contracts.detections import DetectionRule
from shared.errors import CONFLICT, NOT_FOUND, SIGMA_INVALID, VALIDATION


class RuleVersion(msgspec.Struct, kw_only=True):
    """One text of a rule: who brought it, when, and why. `version` counts from 1."""

    rule_id: str
    version: int
    sigma: str
    origin: str
    created_by: str
    created_at: datetime
    reason: str


class RuleDiffQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`against` is the version to compare with; without it, the one before."""

    against: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None


class RuleDiff(msgspec.Struct, kw_only=True):
    """How the text changed from version `against` to `version`: a unified diff, empty when they are equal."""

    rule_id: str
    version: int
    against: int
    diff: str


class RuleRollback(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why the text goes back."""

    reason: Annotated[str, Meta(max_length=1024)] = ""


LIST_RULE_VERSIONS = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}/versions",
    SIEM_READ,
    service="siem",
    summary="List the versions of a detection rule",
    query=PageQuery,
    returns=Page[RuleVersion],
    errors=(NOT_FOUND, VALIDATION),
    tag="SIEM / Detection",
)
DIFF_RULE_VERSIONS = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}/versions/{version}/diff",
    SIEM_READ,
    service="siem",
    summary="Compare two versions of a detection rule",
    query=RuleDiffQuery,
    returns=RuleDiff,
    errors=(NOT_FOUND, VALIDATION),
    tag="SIEM / Detection",
)
ROLLBACK_RULE = Endpoint(
    "POST",
    "/api/v1/detections/rules/{rule_id}/versions/{version}/rollback",
    SIEM_WRITE,
    service="siem",
    summary="Put a former version of a detection rule in force, as a new version",
    body=RuleRollback,
    returns=DetectionRule,
    errors=(NOT_FOUND, VALIDATION, SIGMA_INVALID, CONFLICT),
    tag="SIEM / Detection",
)
