"""The two building blocks whose mistakes would be silent: wildcard patterns and required literals."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.siem.detections.engine.glob import glob_test
from services.siem.detections.engine.regex_literals import required_literals
from services.siem.detections.engine.regexes import compile_regex

segments = st.lists(st.lists(st.text("ab", max_size=2), min_size=1, max_size=3).map(tuple), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(segments, st.text("ab\n", max_size=10))
def test_a_wildcard_pattern_matches_what_its_regular_expression_does(parts: list[tuple[str, ...]], text: str) -> None:
    expression = ".*".join(".".join(map(re.escape, part)) for part in parts)
    assert glob_test(tuple(parts))(text) == (re.fullmatch(expression, text, re.DOTALL) is not None)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("net\\s+user", ["net", "user"]),
        ("(?i)FooBar", ["foobar"]),
        ("a|b", []),
        ("x(a|b)y", ["x", "y"]),
        ("ab?c", ["a", "c"]),
        ("ab*?cd+e", ["a", "c", "e"]),
        ("ab{2,3}c", ["a", "c"]),
        ("a\\.exe\\\\b", ["a.exe\\b"]),
        ("a[bc]d[^]]e[]]f", ["a", "d", "e", "f"]),
        ("line\\nbreak", ["line\nbreak"]),
        ("a\\x41b\\x{42}c\\101d", ["a", "b", "c", "d"]),
        ("a\\pLb\\p{Greek}c", ["a", "b", "c"]),
        ("\\Qa|b\\E", []),
        ("[[:alpha:]]x", []),
        ("^start$", ["start"]),
        ("(?:abc)", []),
        ("éa", ["a"]),
        (".{1000,}", []),
    ],
)
def test_only_what_an_expression_cannot_do_without_is_required(pattern: str, expected: list[str]) -> None:
    assert required_literals(pattern) == expected


atoms = st.sampled_from(
    [
        "a",
        "B",
        "1",
        ".",
        "\\.",
        "\\d",
        "[ab]",
        "[^a]",
        "[]b]",
        "\\\\",
        "\\x41",
        "\\n",
        " ",
        "\\b",
        "^",
        "$",
        "é",
        "\\pL",
    ]
)
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})"),
        st.tuples(inner, inner).map("|".join),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "*?", "+?"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
        st.tuples(atoms.filter(lambda a: a not in "^$\\b"), st.sampled_from(["*", "+", "?", "{1,}"])).map("".join),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(expressions, st.sampled_from(["", "(?i)", "(?s)"]), st.text("aAbB1.\\ \nxéKſ", max_size=12))
def test_a_text_an_expression_is_found_in_has_all_its_required_literals(body: str, flags: str, text: str) -> None:
    pattern = flags + body
    if compile_regex(pattern).search(text) is not None:
        assert all(literal in text.casefold() for literal in required_literals(pattern))
