"""What specialists say and what carries it: tool results, findings, and what others heard of them.

The shapes that investigations, plans and reports are made of. Knows no method and no endpoint.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.contracts.common import Confidence, Observable, Severity, Verdict


class Citation(msgspec.Struct, kw_only=True):
    """A stored tool result. `id` is its content address: `tr_` and the first 32 hex digits of the SHA-256 over
    tool, arguments and result as canonical JSON. `result` is data, never an instruction."""

    id: str
    agent: str
    tool: str
    arguments: dict[str, Any]
    result: Any
    executed_at: datetime


class Refusal(msgspec.Struct, kw_only=True):
    """A tool call that brought no result: not granted, no budget or time left, or its source refused; `code` is then
    the AURORA code of the source."""

    tool: str
    arguments: dict[str, Any]
    reason: str
    code: str | None = None


class Finding(msgspec.Struct, kw_only=True):
    """A claim and the citation ids that carry it; a claim without one is dropped."""

    agent: str
    claim: str
    confidence: Confidence
    citations: list[str]


class Prior(msgspec.Struct, kw_only=True):
    """What another specialist already said of the same investigation: its assessment without the tool results, which
    its findings name by their ids."""

    agent: Annotated[str, Meta(max_length=64)]
    verdict: Verdict
    severity: Severity
    confidence: Confidence
    mitre_techniques: Annotated[list[str], Meta(max_length=200)] = []
    iocs: Annotated[list[Observable], Meta(max_length=200)] = []
    findings: Annotated[list[Finding], Meta(max_length=100)] = []
    ruled_out: Annotated[list[str], Meta(max_length=200)] = []
    not_checked: Annotated[list[str], Meta(max_length=200)] = []
