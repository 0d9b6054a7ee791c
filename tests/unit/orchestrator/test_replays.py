"""A step is asked again with its own record; what differs is named by its path, what was altered by its address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from services.orchestrator.fleet.domain import delivered
from services.orchestrator.handoffs import KeptCall, Stored
from services.orchestrator.replays.domain import altered, first_difference, recorded_of, unrecorded
from services.orchestrator.replays.service import ReplaysService
from shared.content import content_address, is_true
from shared.contracts.agents import NOT_RECORDED, Assessment, Budget, Handoff
from shared.contracts.claims import Citation, Finding, Refusal
from shared.contracts.constants import Method
from shared.contracts.fleet import ToolCall
from shared.contracts.investigations import DispatchRecord, Investigation
from shared.contracts.wire import to_builtins
from shared.errors import CONFLICT, UNAVAILABLE, AuroraError
from tests.shapes import investigation

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HANDOFF = Handoff(
    handoff_id="step-1",
    from_="orchestrator",
    to="triage",
    deadline=NOON + timedelta(seconds=60),
    budget=Budget(40, 60.0),
    investigation_id="investigation-1",
)


def citation(tool: str = "get_alert", value: int = 1, result: Any = None) -> Citation:
    arguments = {"value": value}
    found = {"seen": value} if result is None else result
    return Citation(
        id=content_address(tool, arguments, found),
        agent="triage",
        tool=tool,
        arguments=arguments,
        result=found,
        executed_at=NOON,
    )


REFUSAL = Refusal(tool="logs", arguments={"value": 9}, reason="not granted (siem:read)")


def assessment(*citations: Citation, verdict: str = "benign", refused: tuple[Refusal, ...] = (REFUSAL,)) -> Assessment:
    return Assessment(
        severity="low",
        confidence=0.5,
        mitre_techniques=[],
        iocs=[],
        verdict=verdict,  # type: ignore[arg-type]
        findings=[
            Finding(agent="triage", claim="it is seen", confidence=0.5, citations=[item.id for item in citations])
        ],
        citations=list(citations),
        refused=list(refused),
    )


def step(answer: Assessment, status: str = "completed") -> Stored:
    record = DispatchRecord(
        id="step-1",
        agent="triage",
        method="analyze_threat",
        params={"alert_id": "ALRT-2026-000001"},
        reason="",
        status=status,  # type: ignore[arg-type]
        requested_by="user_ada",
        investigation_id="investigation-1",
        started_at=NOON,
        finished_at=NOON + timedelta(seconds=1),
        result=to_builtins(answer) if status == "completed" else None,
        error=None if status == "completed" else "AURORA-5030 Service unavailable",
    )
    return Stored(record, HANDOFF, [])


def kept(answer: Assessment, *, told: tuple[Citation, ...] = ()) -> list[KeptCall]:
    """What is kept of a step: what its answer rests on, and what another run of the same handoff was told."""
    calls = [KeptCall(call, delivered=True) for call in delivered(step(answer), "service:orchestrator")]
    others = delivered(step(assessment(*told, refused=())), "service:orchestrator")
    return [KeptCall(call, delivered=False) for call in others] + calls


def test_what_an_answer_rests_on_is_kept_with_its_handoff_and_its_times() -> None:
    one, two = delivered(step(assessment(citation())), "service:orchestrator")
    assert (one.id, one.status, one.handoff_id, one.finished_at) == (citation().id, "completed", "step-1", NOON)
    assert (two.tool, two.status, two.error, two.result) == ("logs", "refused", REFUSAL.reason, None)
    assert is_true(one)
    assert is_true(two)


@pytest.mark.parametrize(
    "result",
    [None, "text", {"citations": "none"}, {"citations": [{"id": 1}]}, {"markdown": "a report"}],
    ids=["nothing", "text", "no list", "no citation", "without citations"],
)
def test_an_answer_of_another_shape_has_no_calls(result: Any) -> None:
    stored = step(assessment())
    changed = replace(stored, record=msgspec.structs.replace(stored.record, result=result))
    assert delivered(changed, "service:orchestrator") == []


def test_a_citation_that_is_not_what_its_address_says_is_not_kept() -> None:
    false = msgspec.structs.replace(citation(), result={"seen": "something else"})
    assert delivered(step(assessment(false, refused=())), "service:orchestrator") == []


def test_the_record_of_a_step_is_what_its_answer_rests_on() -> None:
    answer = assessment(citation(), citation(value=2))
    earlier = citation(result={"seen": "before the agent started again"})
    recorded = recorded_of(step(answer), HANDOFF, kept(answer, told=(earlier,)))
    assert recorded.citations == answer.citations
    assert recorded.refusals == [REFUSAL]
    assert recorded.asked_at == NOON


def test_what_is_no_longer_kept_comes_from_the_answer() -> None:
    answer = assessment(citation(), citation(value=2))
    assert recorded_of(step(answer), HANDOFF, []).citations == answer.citations


def test_an_altered_call_is_named_by_its_address() -> None:
    answer = assessment(citation(), citation(value=2))
    calls = kept(answer)
    assert altered(calls) == []
    changed = replace(calls[0], call=msgspec.structs.replace(calls[0].call, result={"seen": 7}))
    assert altered([changed, *calls[1:]]) == [answer.citations[0].id]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": 1, "b": [1, {"c": 2}]}, {"b": [1, {"c": 2}], "a": 1}, None),
        ({"b": [1, {"c": 2}]}, {"b": [1, {"c": 3}]}, ("b[1].c", 2, 3)),
        ({"b": [1]}, {"b": [1, 2]}, ("b[1]", None, 2)),
        ({"a": 1}, {}, ("a", 1, None)),
        ({"a": 1}, {"a": 1.0}, ("a", 1, 1.0)),
        ({"a": None}, {}, ("a", None, None)),
        ({"a": {"b": 1}}, {"a": [1]}, ("a", {"b": 1}, [1])),
        ({"a": "x" * 600}, {"a": "y"}, ("a", "x" * 500 + "…", "y")),
        ({"a": "x" * 600 + "1"}, {"a": "x" * 600 + "22"}, ("a", "…" + "x" * 80 + "1", "…" + "x" * 80 + "22")),
    ],
    ids=["order of keys", "deep", "longer", "missing", "kind of number", "null or nothing", "kind", "long", "far"],
)
def test_the_first_difference_is_named_by_its_path(one: Any, other: Any, expected: Any) -> None:
    found = first_difference(one, other)
    assert (None if found is None else (found.path, found.recorded, found.replayed)) == expected


def test_calls_that_are_not_recorded_are_listed() -> None:
    missing = Refusal(tool="logs", arguments={"value": 3}, reason=NOT_RECORDED)
    [call] = unrecorded(assessment(refused=(REFUSAL, missing)))
    assert (call.tool, call.arguments) == ("logs", {"value": 3})


class Room:
    """Everything that a replay asks, answered from here."""

    def __init__(self, steps: list[Stored], answer: Callable[[Handoff], Assessment], ended: Investigation) -> None:
        self._steps = steps
        self._answer = answer
        self._ended = ended
        self.kept: list[KeptCall] = []
        self.asked: list[tuple[str, Any, Handoff]] = []

    async def call(
        self, agent: str, _method: Method[Any, Any], params: Any, *, handoff: Handoff, timeout: float
    ) -> Any:
        assert timeout == 60.0
        self.asked.append((agent, params, handoff))
        return self._answer(handoff)

    async def of_handoff(self, _handoff_id: str) -> list[KeptCall]:
        return self.kept

    async def version_then(self, _handoff_id: str) -> str:
        return "then"

    async def version_of(self, _agent: str) -> str:
        return "now"

    async def get(self, _identifier: str) -> Investigation:
        return self._ended

    async def steps(self, _investigation_id: str) -> list[Stored]:
        return self._steps

    def service(self) -> ReplaysService:
        return ReplaysService(self, self, self, self, _merge, 60.0)


def _merge(steps: list[Stored] | Any) -> dict[str, Any]:
    answers = [step.record.result for step in steps if step.record.result is not None]
    return {"verdict": answers[0]["verdict"] if answers else None, "summary": "", "contradicted": False}


def ended(verdict: str = "benign") -> Investigation:
    return msgspec.structs.replace(investigation(), status="completed", verdict=verdict, summary="")


async def test_a_replay_asks_again_with_the_record_in_place_of_the_tools() -> None:
    answer = assessment(citation())
    room = Room([step(answer)], lambda _handoff: answer, ended())
    room.kept = kept(answer)
    again = await room.service().replay("investigation-1")
    assert (again.identical, again.difference, again.replayed_verdict) == (True, None, "benign")
    [(agent, params, handoff)] = room.asked
    assert (agent, params.alert_id, handoff.capabilities) == ("triage", "ALRT-2026-000001", [])
    assert handoff.handoff_id != HANDOFF.handoff_id, "the agent must not answer from what it did then"
    assert handoff.recorded is not None
    assert handoff.recorded.citations == answer.citations


async def test_another_answer_is_shown_with_its_place_and_both_versions() -> None:
    answer = assessment(citation())
    room = Room([step(answer)], lambda _handoff: assessment(citation(), verdict="malicious"), ended())
    again = await room.service().replay("investigation-1")
    [shown] = again.steps
    assert (shown.status, shown.version_then, shown.version_now) == ("different", "then", "now")
    assert shown.difference is not None
    assert (shown.difference.path, shown.difference.recorded) == ("verdict", "benign")
    assert again.difference is not None
    assert (again.difference.path, again.replayed_verdict, again.identical) == ("verdict", "malicious", False)


async def test_a_record_that_was_altered_is_never_identical() -> None:
    answer = assessment(citation())
    room = Room([step(answer)], lambda _handoff: answer, ended())
    first, *rest = kept(answer)
    room.kept = [replace(first, call=msgspec.structs.replace(first.call, result={"seen": 2})), *rest]
    again = await room.service().replay("investigation-1")
    assert (again.steps[0].altered, again.identical) == ([answer.citations[0].id], False)


async def test_a_step_that_failed_then_is_left_out_and_one_that_fails_now_is_told() -> None:
    def away(_handoff: Handoff) -> Assessment:
        raise AuroraError(UNAVAILABLE)

    answer = assessment(citation())
    failed = step(answer, "failed")
    room = Room([failed, step(answer)], away, ended())
    again = await room.service().replay("investigation-1")
    assert [shown.status for shown in again.steps] == ["skipped", "failed"]
    assert again.steps[1].error == "AURORA-5030 Service temporarily unavailable"
    assert not again.identical


@pytest.mark.parametrize("status", ["queued", "running", "cancelled"])
async def test_only_what_came_to_an_end_is_replayed(status: Any) -> None:
    room = Room([], lambda _handoff: assessment(), msgspec.structs.replace(investigation(), status=status))
    with pytest.raises(AuroraError) as refusal:
        await room.service().replay("investigation-1")
    assert refusal.value.code is CONFLICT


def test_a_call_is_true_to_its_address_only_unaltered() -> None:
    [call, *_] = delivered(step(assessment(citation())), "service:orchestrator")
    assert isinstance(call, ToolCall)
    assert not is_true(msgspec.structs.replace(call, arguments={"value": 2}))
    assert not is_true(msgspec.structs.replace(call, tool="other"))


def test_what_another_agent_brought_stands_beside_the_own_call_of_the_same_question() -> None:
    own = citation()
    brought = msgspec.structs.replace(citation(result={"seen": 2}), agent="threat_intel")
    answered = step(assessment(own, brought))
    recorded = recorded_of(answered, HANDOFF, [])
    assert {item.id for item in recorded.citations} == {own.id, brought.id}
    # The other one's call is kept with the handoff that it was made in.
    assert [call.id for call in delivered(answered, "service:orchestrator") if call.status == "completed"] == [own.id]
