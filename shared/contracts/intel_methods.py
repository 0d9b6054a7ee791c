"""What the specialists of intelligence and of vulnerabilities serve beside `analyze_threat`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Refusal
from shared.contracts.common import Confidence, Observable, TechniqueId
from shared.contracts.constants import Method

_Time = Annotated[datetime, Meta(tz=True)]
#: malicious: a current, sufficiently sure match; noted: expired, revoked, context or a weak match; benign: on a list of
#: values that prove nothing; unknown: nothing is known of it.
Standing = Literal["malicious", "noted", "benign", "unknown"]


class IndicatorRequest(msgspec.Struct, kw_only=True):
    """Params of `lookup_indicators`. `at` is the time at which an indicator must be in force, now when left out."""

    observables: Annotated[list[Observable], Meta(min_length=1, max_length=200)]
    at: _Time | None = None


class IndicatorStanding(msgspec.Struct, kw_only=True):
    """What is known of one observable. `weight` is that of a sign (ADR 7); `claims` may quote untrusted text;
    `citation` is the result that carries them."""

    observable: Observable
    standing: Standing
    weight: Confidence
    names: list[str]
    claims: list[str]
    citation: str | None


class IndicatorReport(msgspec.Struct, kw_only=True):
    """Result of `lookup_indicators`, in the order asked. `stored` counts the imported values: with none, unknown means
    nothing."""

    indicators: list[IndicatorStanding]
    stored: int
    not_checked: list[str] = []
    citations: list[Citation] = []
    refused: list[Refusal] = []


class AttributionRequest(msgspec.Struct, kw_only=True):
    """Params of `attribute_techniques`."""

    techniques: Annotated[list[TechniqueId], Meta(min_length=1, max_length=20)]


class Overlap(msgspec.Struct, kw_only=True):
    """A group or a piece of software that is known to use `share` of the techniques."""

    id: str
    name: str
    kind: Literal["group", "software"]
    techniques: list[str]
    share: Confidence
    citation: str


class TechniqueName(msgspec.Struct, kw_only=True):
    """A technique as ATT&CK names it."""

    id: str
    name: str
    tactics: list[str]


class Attribution(msgspec.Struct, kw_only=True):
    """Result of `attribute_techniques`: a resemblance, never a proof of who it was. Empty for fewer than three
    techniques in force."""

    techniques: list[TechniqueName]
    overlaps: list[Overlap]
    not_checked: list[str] = []
    citations: list[Citation] = []
    refused: list[Refusal] = []


class ExposureRequest(msgspec.Struct, kw_only=True):
    """Params of `assess_exposure`: vulnerabilities, a host, or both, within a time that ends at `until` (now when left
    out)."""

    cves: Annotated[list[Annotated[str, Meta(max_length=32)]], Meta(max_length=20)] = []
    host: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    until: _Time | None = None
    days: Annotated[int, Meta(ge=1, le=30)] = 7


class SoftwareSeen(msgspec.Struct, kw_only=True):
    """Software that the logs of a host show. `version` is empty where they don't say."""

    host: str
    product: str
    version: str
    how: str
    citation: str


class Exposure(msgspec.Struct, kw_only=True):
    """One vulnerability here. `outcome`: what the logs show of attempts; `present`: the products of it that were seen.
    `text` may quote untrusted data."""

    cve: str
    product: str
    known_exploited: bool
    ransomware: bool
    outcome: Literal["none seen", "attempted", "succeeded"]
    present: list[SoftwareSeen]
    text: str
    citations: list[str]


class ExposureReport(msgspec.Struct, kw_only=True):
    """Result of `assess_exposure`, the worst first; `inventory` is what was seen at all."""

    exposures: list[Exposure]
    inventory: list[SoftwareSeen]
    not_checked: list[str] = []
    citations: list[Citation] = []
    refused: list[Refusal] = []


LOOKUP_INDICATORS = Method(
    "lookup_indicators", IndicatorRequest, IndicatorReport, "Say what imported intelligence knows of observables"
)
ATTRIBUTE_TECHNIQUES = Method(
    "attribute_techniques", AttributionRequest, Attribution, "Name groups and software that techniques resemble"
)
ASSESS_EXPOSURE = Method(
    "assess_exposure", ExposureRequest, ExposureReport, "Say which vulnerabilities matter here, and what shows it"
)
