"""When a client has been too slow."""

from __future__ import annotations

from shared.patience import Patience, PatienceSettings, Seen

SETTINGS = PatienceSettings(head_seconds=10, body_seconds=30, body_least_bytes=4096, reader_seconds=60)


def _seen(
    *,
    head_since: float | None = None,
    owes_body: bool = False,
    received: int = 0,
    holds_answer: bool = False,
    taken: int = 0,
    left: int = 0,
) -> Seen:
    return Seen(head_since, owes_body, received, holds_answer, taken, left)


def test_a_head_has_its_time_from_its_beginning_however_its_bytes_come() -> None:
    patience = Patience(SETTINGS)
    assert patience.lost(_seen(head_since=5.0), 14.9) is None
    assert patience.lost(_seen(head_since=5.0, received=900), 15.1) == "head"
    assert patience.lost(_seen(), 1000.0) is None, "between two requests nothing is owed"


def test_a_body_may_be_slow_but_not_a_trickle() -> None:
    patience = Patience(SETTINGS)
    for second in range(0, 121, 5):
        assert patience.lost(_seen(owes_body=True, received=200 * second), second) is None
    trickle = Patience(SETTINGS)
    assert trickle.lost(_seen(owes_body=True, received=500), 0.0) is None
    assert trickle.lost(_seen(owes_body=True, received=520), 29.0) is None
    assert trickle.lost(_seen(owes_body=True, received=521), 30.0) == "body"


def test_a_body_that_waits_for_its_reader_is_not_the_clients_fault() -> None:
    patience = Patience(SETTINGS)
    assert patience.lost(_seen(owes_body=True, received=500), 0.0) is None
    assert patience.lost(_seen(received=500), 40.0) is None
    assert patience.lost(_seen(owes_body=True, received=500), 41.0) is None


def test_an_answer_that_is_taken_in_small_sips_goes_on_and_one_that_is_not_taken_ends() -> None:
    patience = Patience(SETTINGS)
    for number in range(10):
        assert patience.lost(_seen(holds_answer=True, taken=number), 59.0 * number) is None
    assert patience.lost(_seen(holds_answer=True, taken=9), 59.0 * 9 + 61) == "answer"
    slow = Patience(SETTINGS)
    for number in range(10):
        assert slow.lost(_seen(holds_answer=True, left=9000 - number), 59.0 * number) is None
    assert slow.lost(_seen(holds_answer=True, left=9500), 59.0 * 9 + 61) == "answer", "more to take is not more taken"


def test_limits_are_looked_at_four_times_as_often_as_the_shortest() -> None:
    assert SETTINGS.look_seconds == 2.5
