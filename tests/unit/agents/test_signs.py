"""What signs add up to, and which verdict that is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agents.toolkit.signs import (
    MALICIOUS_FROM,
    SUSPICIOUS_FROM,
    WEAK_BELOW,
    Sign,
    scaled,
    score,
    severity_of,
    techniques_of,
    verdict_of,
)
from tests.unit.agents.agent_kit import citation

CITED = citation({})


def sign(kind: str, weight: float, *techniques: str) -> Sign:
    return Sign(kind, f"claim of {kind}", weight, techniques, CITED)


SIGNS = st.lists(st.builds(sign, st.sampled_from("abcdefgh"), st.floats(0, 0.97, allow_nan=False)), max_size=12)


def test_a_kind_counts_once_however_often_it_is_seen() -> None:
    assert score([sign("a", 0.6)] * 20) == score([sign("a", 0.6)])


def test_independent_kinds_add_up() -> None:
    assert score([sign("a", 0.6), sign("b", 0.5)]) == pytest.approx(0.8)


def test_what_administrators_also_do_never_makes_malice_alone() -> None:
    assert score([sign(kind, WEAK_BELOW - 0.01) for kind in "abcdefgh"]) < MALICIOUS_FROM


@given(SIGNS, SIGNS)
def test_more_signs_never_speak_less_of_an_attack(some: list[Sign], more: list[Sign]) -> None:
    assert score([*some, *more]) >= score(some) - 1e-9


@given(SIGNS)
def test_the_order_of_signs_does_not_matter(signs: list[Sign]) -> None:
    assert score(signs) == pytest.approx(score(signs[::-1]))
    assert 0 <= score(signs) <= 1


@pytest.mark.parametrize(
    ("total", "clean", "verdict"),
    [(0.9, 0.7, "malicious"), (0.6, 0.7, "suspicious"), (0.4, 0.7, "undetermined"), (0.1, 0.7, "benign")],
)
def test_the_verdict_follows_from_the_total(total: float, clean: float, verdict: str) -> None:
    assert verdict_of(total, clean)[0] == verdict


def test_who_saw_nothing_and_could_not_have_seen_it_says_nothing() -> None:
    assert verdict_of(0.0, 0.0) == ("undetermined", 0.0)


@given(st.floats(0, 1), st.sampled_from([0.0, 0.35, 0.7]))
def test_confidence_is_a_share(total: float, clean: float) -> None:
    assert 0 <= verdict_of(total, clean)[1] <= 1


def test_a_malicious_verdict_raises_the_severity_of_a_low_alert_and_a_benign_one_lowers_it() -> None:
    certain = [sign("a", 0.95), sign("b", 0.9)]
    assert severity_of("malicious", [sign("a", 0.9)], "low") == "high"
    assert severity_of("malicious", certain, "high") == "critical"
    assert severity_of("suspicious", [sign("a", SUSPICIOUS_FROM)], "info") == "medium"
    assert severity_of("undetermined", [sign("a", 0.4)], "high") == "high"
    assert severity_of("benign", [sign("a", 0.1)], "high") == "info"


def test_weak_signs_beside_strong_ones_never_make_it_critical() -> None:
    strong, weak = [sign("a", 0.9), sign("b", 0.85)], [sign(kind, WEAK_BELOW - 0.01) for kind in "cdefgh"]
    assert score([*strong, *weak]) >= 0.99
    assert severity_of("malicious", [*strong, *weak], "high") == severity_of("malicious", strong, "high") == "high"


def test_scaling_keeps_everything_but_the_weight() -> None:
    assert scaled([sign("a", 0.8, "T1059")], 0.5) == [sign("a", 0.4, "T1059")]


def test_techniques_come_once_and_strongest_first() -> None:
    assert techniques_of([sign("a", 0.2, "T1", "T2"), sign("b", 0.9, "T3", "T1")]) == ["T3", "T1", "T2"]
