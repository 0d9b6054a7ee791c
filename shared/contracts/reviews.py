"""What the identity and the cloud analyst are asked beside `analyze_threat`: reviews of accounts and principals."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Finding, Refusal
from shared.contracts.common import Confidence, Verdict
from shared.contracts.constants import Method

_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Time = Annotated[datetime, Meta(tz=True)]


class ReviewAccount(msgspec.Struct, kw_only=True):
    """Params of `review_account`: an account's logins and changes; `since` included, `until` not."""

    user: _Name
    since: _Time
    until: _Time


class ReviewLogins(msgspec.Struct, kw_only=True):
    """Params of `review_logins`: the logins of an account, from an address, or on a host: what `field` names."""

    field: Literal["user.name", "source.ip", "host.name"]
    value: _Name
    since: _Time
    until: _Time


class Review(msgspec.Struct, kw_only=True):
    """What a review found. Every finding cites results; `verdict` is undetermined where there was nothing to look at or
    nothing that speaks of an attack."""

    verdict: Verdict
    confidence: Confidence
    mitre_techniques: list[str]
    findings: list[Finding]
    citations: list[Citation]
    ruled_out: list[str] = []
    not_checked: list[str] = []
    refused: list[Refusal] = []


class LoginReview(Review, kw_only=True):
    """Result of `review_account` and `review_logins`, with how many attempts failed and how many got in."""

    failed: int
    entered: int


class ReviewPrincipal(msgspec.Struct, kw_only=True):
    """Params of `review_principal`: a principal by its name or id, an address, or an access key (`field`)."""

    value: _Name
    field: Literal["user.name", "user.id", "source.ip", "aws.cloudtrail.userIdentity.accessKeyId"] = "user.name"
    since: _Time
    until: _Time


class PrincipalStep(msgspec.Struct, kw_only=True):
    """One step, or `count` like ones in a row from `at` to `until`. Texts are data of the cloud's log."""

    at: datetime
    until: datetime
    count: int
    action: str
    provider: str
    outcome: Literal["success", "failure", "refused"]
    target: str
    source_ip: str
    region: str
    log_id: str


class PrincipalReview(Review, kw_only=True):
    """Result of `review_principal`: the steps in their order, which the result named `timeline` carries (null when it
    could not be read)."""

    steps: list[PrincipalStep]
    timeline: str | None


REVIEW_ACCOUNT = Method("review_account", ReviewAccount, LoginReview, "Review an account's logins and changes")
REVIEW_LOGINS = Method("review_logins", ReviewLogins, LoginReview, "Review logins by account, source or host")
REVIEW_PRINCIPAL = Method(
    "review_principal", ReviewPrincipal, PrincipalReview, "Review what a principal did in a cloud"
)
