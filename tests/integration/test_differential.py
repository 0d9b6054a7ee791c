"""All of SigmaHQ's rules over what others recorded: streaming, rule by rule and over the past match the same."""

from __future__ import annotations

from tests.differential import compare

#: Every how many-th event of a recording; `python -m benchmarks differential` takes all of them, and every rule alone.
STEP = 25
ALONE = 300


def test_streaming_one_by_one_and_the_past_match_the_same_events_under_all_rules() -> None:
    compared = compare(STEP, ALONE)
    assert compared.differences == []
    assert compared.events > 2_500
    assert compared.matches > 200
    assert compared.rules_that_matched > 120
