"""How `aurora hunts` reads parameters and shows runs."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from cli import hunts
from cli.failure import Failure
from shared.contracts.hunts import HuntDiff, HuntHit, HuntRunDetail, HuntUpdate

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(**values: object) -> HuntRunDetail:
    given = {
        "id": "r2", "hunt_id": "h", "created_by": "ann", "created_at": AT, "started_at": AT, "finished_at": AT,
        "duration_ms": 5, "parameters": {}, "since": AT, "until": AT, "status": "completed", "progress": 1.0,
        "hits": 1, "complete": True, "error": None, "diff": None, "query": "x", "sigma": None, "found": [], **values,
    }  # fmt: skip
    return HuntRunDetail(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("host", {"name": "host", "type": "string"}),
        ("host:ip", {"name": "host", "type": "ip"}),
        ("host=a:b=c", {"name": "host", "type": "string", "default": "a:b=c"}),
        ("port:number=22", {"name": "port", "type": "number", "default": "22"}),
    ],
)
def test_a_parameter_is_declared_in_one_word(text: str, declared: dict[str, str]) -> None:
    assert hunts._parameter(text) == declared


def test_a_value_needs_its_name() -> None:
    assert hunts._value("host=a=b") == ("host", "a=b")
    with pytest.raises(click.BadParameter, match="NAME=VALUE"):
        hunts._value("host")


def test_hits_are_shown_escaped_and_new_ones_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    hit = HuntHit(log_id="l1", timestamp=AT, source="s", message="[red]\x1b[2J")
    diff = HuntDiff(compared_to="r1", new_count=1, new_ids=["l1"], gone_count=3)
    hunts.show_run(run(found=[hit], diff=diff))
    hunts.show_runs([run(diff=diff, error="\x07")])
    told = capsys.readouterr()
    for text in ("new", "[red]\\u001b[2J", "l1", "ann"):
        assert text in told.out
    assert "completed: 1 hits, 1 new and 3 gone since the last run" in told.err
    assert "\x07" not in told.out


def test_what_is_slow_is_told_beside_the_hits(capsys: pytest.CaptureFixture[str]) -> None:
    hunts.show_run(run(slow=["*half\x1b*"]))
    assert "slow: *half\\u001b*" in capsys.readouterr().err


def test_a_change_has_what_was_given_and_an_empty_schedule_ends_it() -> None:
    assert hunts._changes({"name": "x", "query": None}, None) == HuntUpdate(name="x")
    assert hunts._changes({"range_hours": 2}, "") == HuntUpdate(range_hours=2, schedule=None)
    with pytest.raises(Failure, match="schedule"):
        hunts._changes({}, "0 4")
