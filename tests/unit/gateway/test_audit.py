"""What an audit record may hold, and which acts are kept once a minute."""

from __future__ import annotations

from services.gateway.audit import domain
from services.gateway.audit.domain import Minute


def test_text_from_outside_is_bounded_and_storable() -> None:
    assert domain.text("a\0b") == "a\ufffdb"
    assert domain.text("\ud800") == "?"
    assert domain.text("x" * 10_000) == "x" * domain.MAX_TEXT
    assert domain.text(None) is None


def test_a_detail_is_plain_data_of_bounded_size() -> None:
    deep: dict[str, object] = {}
    for _ in range(50):
        deep = {"in": deep}
    kept = domain.detail({"deep": deep, "many": list(range(1000)), "set": {"a"}, "odd": object, "n": 1.5, "no": None})
    assert len(str(kept["deep"])) < 1000
    assert len(kept["many"]) == 50
    assert (kept["set"], kept["n"], kept["no"]) == (["a"], 1.5, None)
    assert isinstance(kept["odd"], str)
    assert domain.detail(None) == {}


def test_of_what_strangers_repeat_the_first_a_minute_is_kept() -> None:
    minute = Minute(most=3)
    assert [minute.first("authentication.failed", "192.0.2.1", now) for now in (0, 1, 59, 60)] == [
        True,
        False,
        False,
        True,
    ]
    assert minute.first("authentication.failed", "192.0.2.2", 61)
    assert minute.first("session.throttled", "192.0.2.1", 61)
    assert not minute.first("authentication.failed", "192.0.2.3", 61), "no more than fit"
    assert minute.first("authentication.failed", "192.0.2.3", 120)
