"""From text to compiled rule: what is kept, what is refused and where, what is stored but not served."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.siem.detections.engine import CompiledRule, compile_rule, decode, encode
from shared.errors import SIGMA_INVALID, AuroraError
from tests.unit.engine.rule_kit import RULE_ID, compiled, rule_text

WHOLE = f"""
title: Suspicious thing
id: {RULE_ID.upper()}
status: test
description: It happens.
author: Somebody
level: high
tags: [attack.execution, attack.t1059.001, attack.T1059.001, attack.t1003, attack.g0007, cve.2020-1234]
logsource: {{product: Windows, category: Process_Creation, service: Sysmon}}
detection:
  sel: {{Image|endswith: '\\A.exe'}}
  condition: sel
"""


def refusal(text: str) -> list[dict[str, object]]:
    """The detail of the refusal of a document."""
    with pytest.raises(AuroraError) as caught:
        compile_rule(text)
    assert caught.value.code is SIGMA_INVALID
    detail: list[dict[str, object]] = caught.value.detail
    return detail


def test_a_rule_keeps_what_an_alert_needs() -> None:
    rule = compile_rule(WHOLE)
    assert (rule.id, rule.title, rule.level, rule.status) == (RULE_ID, "Suspicious thing", "high", "test")
    assert (rule.description, rule.author, rule.problem) == ("It happens.", "Somebody", None)
    assert (rule.product, rule.category, rule.service) == ("windows", "process_creation", "sysmon")
    assert rule.mitre_techniques == ("T1059.001", "T1003")
    assert "cve.2020-1234" in rule.tags


def test_a_compiled_rule_survives_its_bytes() -> None:
    rule = compile_rule(WHOLE)
    assert decode(encode(rule)) == rule
    assert isinstance(decode(encode(rule)), CompiledRule)


def test_what_sigma_leaves_optional_gets_defaults() -> None:
    text = "title: t\nlogsource: {product: x}\ndetection: {a: {b: c}, condition: a}\n"
    rule = compile_rule(text)
    assert (rule.level, rule.status, rule.description, rule.author, rule.tags) == ("medium", "experimental", "", "", ())
    assert rule.id == compile_rule(text).id, "an id made up for a rule must be the same each time"
    assert rule.id != compile_rule(text + "# other\n").id


@pytest.mark.parametrize(
    ("detection", "path", "line"),
    [
        ("sel: {A: a}\nother:\n  CommandLine|foo: x\ncondition: sel", "detection.other.CommandLine|foo", 7),
        ("sel:\n  - A: a\n  - B|re: '('\ncondition: sel", "detection.sel.1.B|re", 7),
        ("sel:\n  A|cidr: 10.0.0.1/8\ncondition: sel", "detection.sel.A|cidr", 6),
        ("sel:\n  A|lt: many\ncondition: sel", "detection.sel.A|lt", 6),
        ("sel:\n  A: 2020-01-01\ncondition: sel", "detection.sel.A", 6),
        ("sel:\n  1: a\ncondition: sel", "detection.sel.1", 6),
        ("sel: {A: a}\ncondition: sel and other", "detection.condition", 6),
        ("sel: {A: a}\ncondition: sel and", "detection.condition", 6),
        ("sel: {A: a}\ncondition: (sel", "detection.condition", 6),
        ("sel: {A: a}\ncondition: 1 of none*", "detection.condition", 6),
        ("sel: {A: a}\ncondition: sel | count() > 5", "detection.condition", 6),
        ("sel: {A: a}\ncondition: 7", "detection.condition", 6),
        ("sel: {A: a}", "detection.condition", 4),
        ("sel: {}\ncondition: sel", "detection", 4),
    ],
)
def test_a_mistake_in_the_detection_is_named_with_its_place(detection: str, path: str, line: int) -> None:
    (problem,) = refusal(rule_text(detection))
    assert (problem["path"], problem["line"]) == (path, line)
    assert problem["message"]


@pytest.mark.parametrize(
    ("line", "path", "number"),
    [("id: abc", "id", 1), ("id: 12", "id", 1), ("level: huge", "level", 1), ("tags: [x]", "tags", 1)],
)
def test_a_mistake_in_the_header_is_named_with_its_place(line: str, path: str, number: int) -> None:
    text = f"{line}\ntitle: t\nlogsource: {{product: x}}\ndetection: {{a: {{b: c}}, condition: a}}\n"
    assert (refusal(text)[0]["path"], refusal(text)[0]["line"]) == (path, number)


def test_every_mistake_of_a_header_is_told_at_once() -> None:
    paths = [problem["path"] for problem in refusal("id: abc\nlevel: huge\nlogsource: {}\n")]
    assert paths == ["id", "level", "title", "logsource", "detection"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title: t\n\tlogsource: x\n", 2),
        ("title: t\nid: x\ntitle: u\n", 3),
        ("- a\n- b\n", 1),
        ("", 1),
        ("title: t\n---\ntitle: u\n", 2),
        ("title: !!python/object:os.system x\n", 1),
        ("[" * 100_000, 1),
        ("a:\n" + "".join(" " * i + "- \n" for i in range(1, 200)), 33),
        ("title: !!int ''\n", None),
        ("title: \0\n", None),
        ("date: 2024-13-45\n", None),
        ("a: &a [*a]\n", None),
        ("a" * (1024 * 1024 + 1), None),
        (
            "a: &a [x,x,x,x,x]\n"
            + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)),
            None,
        ),
    ],
)
def test_what_is_not_one_yaml_mapping_is_refused(text: str, line: int | None) -> None:
    assert refusal(text)[0]["line"] == line


@pytest.mark.parametrize(
    "detection",
    [
        "sel:\n  A|windash|contains:\n" + "".join(f"    - ' -a{i} -b -c'\n" for i in range(101)) + "condition: sel",
        "sel:\n  A:\n" + "".join(f"    - v{i}\n" for i in range(20_001)) + "condition: sel",
        "sel:\n  A:\n" + "".join(f"    - v{i}\n" for i in range(2_000)) + "condition: " + "sel or " * 60 + "sel",
        "sel: {A: a}\ncondition: " + "not " * 1000 + "sel",
        "sel: {A: a}\ncondition: " + "(" * 3000 + "sel" + ")" * 3000,
    ],
    ids=["expansions", "values", "references", "negations", "parentheses"],
)
def test_a_rule_that_would_cost_too_much_is_refused(detection: str) -> None:
    assert len(refusal(rule_text(detection))) == 1


@pytest.mark.parametrize(
    ("detection", "reason"),
    [
        ("sel:\n  A|re: 'a(?=b)'\ncondition: sel", "linear time"),
        ("sel:\n  A|re: '((a{1000}){1000}){1000}'\ncondition: sel", "linear time"),
        ("sel:\n  A|expand: '%x%'\ncondition: sel", "placeholder"),
        ("sel:\n  A|re|expand: 'a%x%'\ncondition: sel", "placeholder"),
        ("sel:\n  A|re: 5\ncondition: sel", "text"),
        ("sel: null\ncondition: sel", "field"),
    ],
)
def test_valid_rules_that_cannot_be_served_say_why(detection: str, reason: str) -> None:
    rule = compile_rule(rule_text(detection))
    assert rule.problem is not None
    assert reason in rule.problem
    assert rule.condition is None


def test_documents_of_other_kinds_that_are_no_sigma_are_refused_with_their_place() -> None:
    assert refusal("title: c\ncorrelation: {type: unheard}\n")[0]["path"] == "correlation"
    assert refusal("action: global\ntitle: t\n")[0]["path"] == "action"


def test_equal_meanings_compile_to_equal_conditions() -> None:
    one = compiled("sel: {A: [x, y]}\ncondition: sel")
    other = compiled("a: {A: X}\nb: {a: Y}\ncondition: a or b")
    assert one.condition == other.condition


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["A", "A|re", "A|contains", "A|cidr", "A|lt", "A|exists", "A|windash", "|all", "A|base64offset", "A|fieldref"]
detections = st.dictionaries(
    st.sampled_from(["sel", "condition", "x y"]),
    json_like | st.dictionaries(st.sampled_from(KEYS), json_like, max_size=2) | st.just("sel"),
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from(["title", "id", "logsource", "tags", "level", "date"]), json_like), detections)
def test_any_document_is_compiled_or_refused_as_invalid(header: dict[str, object], detection: object) -> None:
    base = {"title": "t", "logsource": {"product": "windows"}}
    text = yaml.safe_dump({**base, **header, "detection": detection})
    try:
        rule = compile_rule(text)
    except AuroraError:
        assert refusal(text)
    else:
        assert decode(encode(rule)) == rule


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab:-[]{}'\"|>&*!? \n\t#%\0\ud800é", max_size=60))
def test_any_text_is_compiled_or_refused_as_invalid(text: str) -> None:
    with pytest.raises(AuroraError) as caught:
        compile_rule(text)
    assert caught.value.code is SIGMA_INVALID
