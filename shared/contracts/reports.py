"""Reports of investigations: Markdown and the same as data, every sentence with what it rests on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Finding, Refusal
from shared.contracts.common import Confidence, Observable, Severity, Verdict
from shared.contracts.constants import Method
from shared.contracts.responses import ResponsePlan

_Lines = Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(max_length=400)]


class CitedResult(msgspec.Struct, kw_only=True):
    """A stored tool result by its id, without its body."""

    id: str
    agent: str
    tool: str
    executed_at: datetime


class ReportedAlert(msgspec.Struct, kw_only=True):
    """What a report says of an alert."""

    id: Annotated[str, Meta(max_length=64)]
    title: Annotated[str, Meta(max_length=512)]
    severity: Severity
    entities: dict[str, str]
    count: int
    first_seen: datetime
    last_seen: datetime


class ReportedStep(msgspec.Struct, kw_only=True):
    """One call to one specialist, and what it said beside its findings, so that a report can name who said it.
    `verdict` is null where it gave none."""

    id: str
    agent: str
    method: str
    status: Literal["pending", "running", "completed", "failed", "skipped"]
    error: str | None = None
    verdict: Verdict | None = None
    confidence: Confidence | None = None
    mitre_techniques: Annotated[list[str], Meta(max_length=200)] = []
    iocs: Annotated[list[Observable], Meta(max_length=200)] = []
    ruled_out: _Lines = []
    not_checked: _Lines = []


class ReportedContradiction(msgspec.Struct, kw_only=True):
    """Specialists that disagree, and what each said."""

    agents: list[str]
    claims: list[str]


class ReportRequest(msgspec.Struct, kw_only=True):
    """Params of `write_report`: an investigation at its end. `citations` name every stored result that findings and
    plan rest on; a sentence whose citations aren't among them, or among the steps' ids, isn't written."""

    investigation_id: Annotated[str, Meta(max_length=64)]
    alert_ids: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=100)]
    verdict: Verdict
    severity: Severity
    confidence: Confidence
    mitre_techniques: Annotated[list[str], Meta(max_length=200)] = []
    iocs: Annotated[list[Observable], Meta(max_length=200)] = []
    findings: Annotated[list[Finding], Meta(max_length=400)] = []
    citations: Annotated[list[CitedResult], Meta(max_length=1000)] = []
    alerts: Annotated[list[ReportedAlert], Meta(max_length=50)] = []
    steps: Annotated[list[ReportedStep], Meta(max_length=200)] = []
    ruled_out: _Lines = []
    not_checked: _Lines = []
    contradictions: Annotated[list[ReportedContradiction], Meta(max_length=50)] = []
    plan: ResponsePlan | None = None


class Sentence(msgspec.Struct, kw_only=True):
    """One sentence, plain text that may quote untrusted data, and the ids it rests on: of stored tool results
    (`tr_...`), or of the investigation's steps for what is said of the process."""

    text: str
    citations: list[str]


class Section(msgspec.Struct, kw_only=True):
    """A heading, which is ours, and its sentences."""

    title: str
    sentences: list[Sentence]


class Report(msgspec.Struct, kw_only=True):
    """Result of `write_report`. The same investigation gives the same report, byte for byte: it holds no time of its
    own. `markdown` is safe to render: nothing in it that came from data is markup. `citations` are the results that the
    writer read itself."""

    title: str
    markdown: str
    sections: list[Section]
    citations: list[Citation] = []
    refused: list[Refusal] = []


WRITE_REPORT = Method(
    "write_report", ReportRequest, Report, "Write the report of an investigation, every sentence cited"
)
