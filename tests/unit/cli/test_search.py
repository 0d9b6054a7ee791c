"""How `aurora search` reads times and shows what was found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from cli.search import command, moment, show
from shared.clock import utc_now
from shared.contracts.logs import LogEvent, LogPage, TimeCount, ValueCount

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def read(text: str | None) -> datetime | None:
    return moment(click.Context(command), command.params[1], text)


def test_a_time_is_iso_or_so_long_ago() -> None:
    assert read(None) is None
    assert read("2026-03-01T12:00:00Z") == AT
    assert read("2026-03-01T12:00") == AT
    ago = read("2h")
    assert ago is not None
    assert abs(utc_now() - ago - timedelta(hours=2)) < timedelta(minutes=1)


@pytest.mark.parametrize("text", ["", "h", "yesterday", "99999999999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="2026-03-01"):
        read(text)


def test_somebody_elses_text_is_shown_escaped_and_slow_forms_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    event = LogEvent(
        id="1", timestamp=AT, ingested_at=AT, source="s", dataset="d", message="[red]\x1b[2J", receipt="r", raw="",
        ecs={"host.name": "web\x0701", "user.name": ["a", "b"]},
    )  # fmt: skip
    page = LogPage(
        items=[event],
        next_cursor="x",
        histogram=[TimeCount(AT, 7)],
        top=[ValueCount("\u202evalue", 5)],
        slow=["*\x1b*"],
    )
    show(page, "host.name")
    told = capsys.readouterr()
    for text in ("[red]\\u001b[2J", "web\\u000701", "a, b", "\\u202evalue", "2026-03-01T12:00:00.000Z", "7"):
        assert text in told.out, text
    assert "slow, as no index helps: *\\u001b*" in told.err
    assert "--limit" in told.err
