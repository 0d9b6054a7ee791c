"""Whether a rule could match what was seen, by log source and fields."""

from __future__ import annotations

import pytest

from services.siem.attack_coverage.domain import missing, populated, source_of, sources_of
from services.siem.detections.engine import CompiledRule, compile_rule
from services.siem.event import View

PROCESS = ("windows", "process_creation", ("sysmon",))
FIELDS = {PROCESS: frozenset({"image", "commandline"}), ("linux", "", ("sshd", "auth")): frozenset({"message"})}


def rule(source: str, detection: str) -> CompiledRule:
    return compile_rule(
        f"""\
title: T
id: 5f1c86a0-0a4e-4a4c-8f6c-0d3c1f8f6e11
level: low
logsource: {source}
detection: {detection}
"""
    )


@pytest.mark.parametrize(
    ("source", "detection", "reasons"),
    [
        ("{product: windows}", "{a: {Image: x, CommandLine: y}, condition: a}", []),
        ("{product: windows}", "{a: {Image: x}, b: {Nothing: y}, condition: a and not b}", []),
        ("{product: windows}", "{a: {Image: x}, b: {Nothing: y}, condition: a or b}", []),
        ("{product: windows}", "{a: {Image: x, Nothing: y}, condition: a}", ["fields not populated: nothing"]),
        ("{product: windows}", "{a: [word, other], condition: a}", []),
        ("{service: sysmon}", "{a: {Image: x}, condition: a}", []),
        ("{service: sshd}", "{a: {Image: x}, condition: a}", ["fields not populated: image"]),
        ("{product: macos}", "{a: {Image: x}, condition: a}", ["log source not seen in the last 7 days"]),
        (
            "{product: windows, service: sshd}",
            "{a: {Image: x}, condition: a}",
            ["log source not seen in the last 7 days"],
        ),
    ],
)
def test_a_rule_counts_by_what_its_condition_needs(source: str, detection: str, reasons: list[str]) -> None:
    assert missing(rule(source, detection), FIELDS, FIELDS) == reasons


def test_a_source_reads_the_same_from_the_column_and_from_the_view() -> None:
    view = View("windows", None, ("PowerShell Classic", "powershell"), {"Image": "x", "Empty": "", "None": None})
    assert source_of(view) == ("windows", "", ("powershell_classic", "powershell"))
    assert list(sources_of("|windows||powershell_classic|powershell| |linux|process_creation|auditd|")) == [
        source_of(view),
        ("linux", "process_creation", ("auditd",)),
    ]
    assert list(populated(view)) == ["image"]
