"""What may reach a terminal, and how refusals read."""

from __future__ import annotations

import json

import pytest

from cli.failure import line_of
from cli.tail import summary_of
from cli.terminal import output, plain, safe
from shared.errors import AGENT_NOT_FOUND, INTERNAL, SIGMA_INVALID, UNAVAILABLE, AuroraError, field_error


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x9b31m", "\u202egpj.exe", "\x07", "\x7f", "\ud800", "\u2028"])
def test_what_a_terminal_would_act_on_is_written_out(text: str) -> None:
    shown = plain(text)
    assert all(character.isprintable() for character in shown)
    assert "\\u" in shown


def test_ordinary_text_of_any_language_stays_as_it_is() -> None:
    text = 'Übergröße naïve 日本語 𝔘𝔫𝔦 "quoted" \\path [bold]'
    assert plain(text) == text
    assert safe(text).plain == text


def test_markup_in_somebody_elses_text_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    output().print(safe("[red]x[/red] [link=http://x]y[/link]"))
    assert capsys.readouterr().out == "[red]x[/red] [link=http://x]y[/link]\n"


def test_json_stays_the_same_json() -> None:
    value = {"text": 'a\x1b[0m\x9b\u202e\x7f"\\'}
    assert json.loads(plain(json.dumps(value, ensure_ascii=False))) == value


def test_a_refusal_is_one_line_with_its_code_and_its_fields() -> None:
    assert line_of(field_error("body.limit", "is too large")) == "AURORA-4220 Validation error: body.limit is too large"
    assert line_of(AuroraError(AGENT_NOT_FOUND, {"agent": "x"})) == "AURORA-4043 Agent not found: agent x"
    assert line_of(AuroraError(INTERNAL)) == "AURORA-5000 Internal server error"
    rule = AuroraError(SIGMA_INVALID, [{"message": "no condition", "line": 3, "path": "detection"}])
    assert line_of(rule) == "AURORA-4222 Sigma rule validation failed: detection, line 3 no condition"
    assert line_of(AuroraError(UNAVAILABLE, [{"path": f"p{n}", "message": "m"} for n in range(7)])).endswith(
        "(and 2 more)"
    )


def test_events_are_summed_up_in_one_line() -> None:
    alert = {"id": "ALRT-2026-000001", "severity": "high", "status": "new", "count": 2, "title": "A title"}
    assert summary_of({"alert": alert, "changed": ["count"]}) == "ALRT-2026-000001 high new x2 A title (count)"
    investigation = {"id": "i", "alert_ids": ["ALRT-2026-000001"], "status": "completed", "verdict": "benign"}
    assert summary_of({"investigation": investigation}) == "i ALRT-2026-000001 completed benign"
    assert summary_of({"rule_title": "R", "count": 3, "alert_id": "A"}) == "R matched 3, A"
    assert summary_of({"agent": "triage", "handoff_id": "h", "kind": "tool", "text": "t"}) == "triage tool: t"
    assert summary_of({"of": "a later version"}) == '{"of":"a later version"}'
    assert len(summary_of({"of": "x" * 1000})) == 160
