"""How long guessing is held back."""

from __future__ import annotations

from services.gateway.admission.sign_ins import window_seconds


def test_each_window_that_is_passed_doubles_the_next_up_to_fifteen_minutes() -> None:
    assert [window_seconds(passed) for passed in range(6)] == [60, 120, 240, 480, 900, 900]
    assert window_seconds(10**9) == 900
