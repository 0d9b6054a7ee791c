"""How investigations, replays and thoughts read; and that following hears nothing but its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import click
import msgspec
import pytest

from cli import verdict
from cli.investigate import Progress, _investigate
from cli.main import COMMANDS, main
from cli.replay_investigation import lines_of
from cli.session import Session
from shared.clock import utc_now
from shared.contracts.agents import Thought
from shared.contracts.claims import Citation, Finding
from shared.contracts.investigations import Step
from shared.contracts.replays import Difference, InvestigationReplay, StepReplay, UnrecordedCall
from shared.errors import ALERT_NOT_FOUND, UNAVAILABLE, AuroraError
from tests.shapes import investigation

HOSTILE = "\x1b[2J\u202e[red]"


def thought(text: str, investigation_id: str | None = "i-1") -> Thought:
    return Thought(
        agent="triage",
        handoff_id="h",
        investigation_id=investigation_id,
        kind="finding",
        text=text,
        tool_result_id=None,
        timestamp=utc_now(),
    )


def replay(**changes: Any) -> InvestigationReplay:
    step = StepReplay(
        step_id="s", agent="triage", method="analyze_threat", status="identical", version_then="v1", version_now="v1"
    )
    whole = InvestigationReplay(
        investigation_id="i-1",
        identical=True,
        verdict="malicious",
        replayed_verdict="malicious",
        steps=[msgspec.structs.replace(step, **changes)],
        difference=None,
    )
    return msgspec.structs.replace(whole, identical=not changes)


def test_every_command_can_be_loaded() -> None:
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name


def test_an_identical_replay_is_told_in_a_line_a_step() -> None:
    assert list(lines_of(replay())) == ["triage analyze_threat: identical", "i-1: identical, malicious"]


def test_what_differs_is_told_below_its_step() -> None:
    told = list(
        lines_of(
            replay(
                status="different",
                version_now="v2",
                difference=Difference(path="verdict", recorded="malicious", replayed="benign"),
                unrecorded=[UnrecordedCall(tool="get_event", arguments={"log_id": "x"})],
                altered=["tr_1"],
            )
        )
    )
    assert told == [
        "triage analyze_threat: different (version v1 then, v2 now)",
        "  altered record tr_1",
        '  not in the record: get_event {"log_id":"x"}',
        "  at verdict",
        '    then "malicious"',
        '    now  "benign"',
        "i-1: different, malicious then, malicious now",
    ]


def test_a_verdict_is_shown_with_what_it_cites_and_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    cited = Citation(
        id="tr_1", agent="triage", tool="get_event", arguments={"q": HOSTILE}, result={}, executed_at=utc_now()
    )
    shown = msgspec.structs.replace(
        investigation(),
        verdict="malicious",
        findings=[Finding(agent="triage", claim=f"it runs {HOSTILE}", confidence=0.9, citations=["tr_1", "tr_gone"])],
        citations=[cited],
        not_checked=[HOSTILE],
    )
    verdict.show(shown)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "    tr_1 get_event(q=" in out
    assert "not checked:" in out


def test_what_specialists_quote_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().thought(thought(HOSTILE))
    err = capsys.readouterr().err
    assert "triage finding \\u001b[2J\\u202e[red]" in err


def test_steps_say_their_round_once_there_is_more_than_one(capsys: pytest.CaptureFixture[str]) -> None:
    step = Step(
        id="s-1",
        agent="triage",
        method="analyze_threat",
        status="running",
        started_at=None,
        finished_at=None,
        error=None,
    )
    told = Progress()
    told.steps(msgspec.structs.replace(investigation(), round=1, steps=[step]))
    again = msgspec.structs.replace(step, id="s-2", round=2)
    told.steps(msgspec.structs.replace(investigation(), round=2, steps=[step, again]))
    assert capsys.readouterr().err.splitlines() == [
        "triage analyze_threat running",
        "round 2: triage analyze_threat running",
    ]


class Follower(Session):
    """A session whose gateway tells thoughts before and after it says which investigation is meant."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    async def stream(self, *_arguments: Any, **options: Any) -> AsyncGenerator[Any, None]:
        options["opened"].set()
        for text, of in (("early", "i-1"), ("another", "i-2"), ("late", "i-1")):
            yield _Frame(msgspec.to_builtins(thought(text, of)))
        self._told.set()
        await asyncio.Event().wait()

    async def call(self, *_arguments: Any, **_options: Any) -> Any:
        await self._told.wait()
        return msgspec.structs.replace(investigation(), id="i-1", status="completed")

    async def close(self) -> None:
        """Nothing is open."""


class _Frame(msgspec.Struct):
    data: Any


class _Heard:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def steps(self, _investigation: Any) -> None:
        """Not looked at."""

    def thought(self, thought: Thought) -> None:
        self.texts.append(thought.text)


async def test_following_tells_the_thoughts_of_its_own_investigation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.session.Session", lambda _target: Follower())
    heard = _Heard()
    async with asyncio.timeout(10):
        last = await _investigate(None, None, True, heard)  # type: ignore[arg-type]
    assert (last.id, heard.texts) == ("i-1", ["early", "late"])


async def test_a_refusal_while_following_is_the_refusal_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused(Follower):
        async def call(self, *_arguments: Any, **_options: Any) -> Any:
            raise AuroraError(ALERT_NOT_FOUND)

    monkeypatch.setattr("cli.session.Session", lambda _target: Refused())
    with pytest.raises(AuroraError) as refusal:
        await _investigate(None, None, True, _Heard())  # type: ignore[arg-type]
    assert refusal.value.code is ALERT_NOT_FOUND


async def test_without_the_stream_of_thoughts_the_verdict_still_comes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Deaf(Follower):
        async def stream(self, *_arguments: Any, **_options: Any) -> AsyncGenerator[Any, None]:
            self._told.set()
            for frame in await self._refused():
                yield frame

        async def _refused(self) -> list[Any]:
            raise AuroraError(UNAVAILABLE)

    monkeypatch.setattr("cli.session.Session", lambda _target: Deaf())
    async with asyncio.timeout(10):
        assert (await _investigate(None, None, True, _Heard())).status == "completed"  # type: ignore[arg-type]
    assert "can't be shown" in capsys.readouterr().err
