"""Untrusted text in a claim stays a quotation."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from services.agents.toolkit.fencing import quote


def test_quotes_newlines_and_direction_marks_cannot_leave_the_quotation() -> None:
    assert quote('x"\n\u202eevil\\') == '"x\\"\\u000a\\u202eevil\\\\"'


def test_a_long_text_is_cut_and_says_so() -> None:
    assert quote("a" * 500, 10) == '"' + "a" * 10 + '…"'


@given(st.text(max_size=400))
def test_a_quotation_is_one_visible_line(text: str) -> None:
    quoted = quote(text)
    assert quoted[0] == quoted[-1] == '"'
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} for character in quoted)
    inside = quoted[1:-1].replace("\\\\", "").replace('\\"', "")
    assert '"' not in inside
