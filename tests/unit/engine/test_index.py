"""What the index leaves out, and that what it remembers or leaves to the rule changes no answer."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.siem.detections.engine.engine import Engine
from services.siem.detections.engine.facts import Facts, encodable, folded
from services.siem.detections.engine.index import REMEMBERED_CHARACTERS
from services.siem.detections.engine.literals import Trigger, groups
from services.siem.detections.engine.matcher import Matchers
from services.siem.detections.engine.routing import build_index
from tests.unit.engine.rule_kit import compiled, event, matches, view


def candidates(detection: str, fields: dict[str, object]) -> list[int]:
    condition = compiled(detection).condition
    assert condition is not None
    matchers = Matchers()
    index = build_index([condition], matchers.matcher)
    facts = [Facts(fields, ""), Facts(fields, "")]
    first, again = (list(index.candidates(fact)) for fact in facts)
    assert first == again, "what is remembered answers as it did"
    return first


BOTH = "sel: {Image|endswith: '\\rundll32.exe', CommandLine|contains: comsvcs}\ncondition: sel"
DIGITS = "sel: {CommandLine|re: '^[0-9]+$'}\ncondition: sel"
QUESTION = "sel: {CommandLine: 'a?b*'}\ncondition: sel"


@pytest.mark.parametrize(
    ("detection", "fields", "tried"),
    [
        (BOTH, {"Image": "C:\\x\\RUNDLL32.exe", "CommandLine": "ComSvcs MiniDump"}, True),
        (BOTH, {"Image": "C:\\x\\RUNDLL32.exe", "CommandLine": "shell32"}, False),
        (BOTH, {"Image": "C:\\x\\cmd.exe", "CommandLine": "comsvcs"}, False),
        (BOTH, {"Image": "C:\\x\\rundll32.exe"}, False),
        (DIGITS, {"CommandLine": "123"}, True),
        (DIGITS, {"CommandLine": ["x", 123]}, True),
        (DIGITS, {"CommandLine": "12a"}, False),
        (DIGITS, {"CommandLine": "a" * (REMEMBERED_CHARACTERS + 1)}, True),
        (QUESTION, {"CommandLine": "AxB..."}, True),
        (QUESTION, {"CommandLine": "ab a"}, False),
    ],
)
def test_a_rule_is_tried_where_all_it_needs_is_there(detection: str, fields: dict[str, object], tried: bool) -> None:
    assert candidates(detection, fields) == ([0] if tried else [])


def test_of_names_that_differ_by_case_the_last_is_the_field() -> None:
    assert matches("sel: {A: x}\ncondition: sel", {"A": "y", "a": "x"})
    assert not matches("sel: {A: x}\ncondition: sel", {"a": "x", "A": "y"})


def test_a_keyword_is_the_last_resort() -> None:
    condition = compiled("words: [mimikatz]\nsel: {A|contains: ab}\ncondition: words and sel").condition
    assert condition is not None
    found = groups(condition, Counter[Trigger]())
    assert [group[0].field for group in found] == ["a", None]


@pytest.mark.parametrize(("word", "expected"), [("ru", [False, True, False]), ("1", [True, False, True])])
def test_a_keyword_tells_true_from_one_whatever_came_before(word: str, expected: list[bool]) -> None:
    engine = Engine([compiled(f"words: ['{word}']\ncondition: words")])
    for _ in range(3):
        values: list[object] = [1, True, 1.0]
        assert [bool(engine.evaluate(event(view({"A": value})))) for value in values] == expected
        assert engine.evaluate(event(view({"A": values, "B": ["x"]})))


@given(st.text())
def test_folding_is_that_of_unicode(text: str) -> None:
    assert folded(text) == encodable(text).casefold()


def test_every_latin_letter_folds_as_unicode_says() -> None:
    letters = "".join(map(chr, range(256)))
    assert folded(letters) == letters.casefold()
