"""Small rules and events for the engine's tests, and one question: does this rule match that event?

Every question is put to an engine with the index and to one without, and must get the same answer.
"""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.siem.detections.engine import CompiledRule, Engine, compile_rule, decode, encode
from services.siem.event import Event, View

RULE_ID = "5f113a8f-8b61-41ca-b90f-d374fa7e4a39"


def rule_text(detection: str, logsource: str = "{product: windows, category: process_creation}") -> str:
    """A whole rule around a `detection` section given as YAML."""
    body = textwrap.indent(textwrap.dedent(detection).strip(), "  ")
    return f"title: A rule\nid: {RULE_ID}\nlogsource: {logsource}\ndetection:\n{body}\n"


def compiled(detection: str, logsource: str = "{product: windows, category: process_creation}") -> CompiledRule:
    """The rule, compiled and sent once through its serialised form; it must be one that is served."""
    rule = decode(encode(compile_rule(rule_text(detection, logsource))))
    assert rule.problem is None, rule.problem
    return rule


def numbered(rule: CompiledRule, number: int) -> CompiledRule:
    """The same rule under another id."""
    return msgspec.structs.replace(rule, id=f"{number:08d}-0000-4000-8000-000000000000")


def view(fields: dict[str, Any], category: str | None = "process_creation") -> View:
    return View("windows", category, ("sysmon",), fields)


def event(*views: View, message: str = "") -> Event:
    return Event(datetime(2026, 1, 2, tzinfo=UTC), "windows.sysmon", message, {}, list(views))


def matches(detection: str, fields: dict[str, Any], message: str = "") -> bool:
    """Whether a rule with this detection matches an event with these fields, index or no index."""
    rule = compiled(detection)
    happened = event(view(fields), message=message)
    indexed, plain = (Engine([rule], index=index).evaluate(happened) for index in (True, False))
    assert indexed == plain
    return indexed == [rule.id]
