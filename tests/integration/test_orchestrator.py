"""From an alert to a receipt: planned, handed over, recorded, merged; and what happens when a part dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from services.orchestrator.dispatch import store as dispatches
from services.orchestrator.dispatch.service import Dispatcher
from services.orchestrator.investigations import merging
from services.orchestrator.investigations.rounds import Round
from services.orchestrator.settings import OrchestratorSettings
from shared.clock import utc_now
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.common import Observable
from shared.contracts.investigations import (
    DispatchQuery,
    DispatchRequest,
    InvestigateRequest,
    InvestigationQuery,
)
from shared.errors import AGENT_NOT_FOUND, ALERT_NOT_FOUND, INTERNAL, UNAVAILABLE, VALIDATION, AuroraError
from shared.identity import Principal
from shared.rpc import CallContext, Fleet, PeerLimits
from tests.orchestrator import ANALYST, TEAM, Room, assessed, created, only, orchestrator
from tests.stack import Servers


@pytest_asyncio.fixture(loop_scope="session")
async def room(servers: Servers) -> AsyncIterator[Room]:
    """An orchestrator on a schema of its own."""
    async with orchestrator(servers) as room:
        yield room


async def test_an_alert_becomes_one_investigation_with_a_cited_verdict(room: Room) -> None:
    event, data = await created(room, "ALRT-2026-000001")
    await room.investigations.on_alert(event, data)  # delivered twice
    await created(room, "ALRT-2026-000001")  # told twice
    async with room.working():
        investigation = await room.ended((await only(room, "ALRT-2026-000001")).id)
    assert (investigation.status, investigation.verdict, investigation.severity) == ("completed", "malicious", "high")
    assert [(step.agent, step.status) for step in investigation.steps] == [(agent, "completed") for agent in TEAM]
    delivered = {citation.id for citation in investigation.citations}
    assert all(delivered.issuperset(finding.citations) for finding in investigation.findings)
    assert len(investigation.findings) == 3
    assert room.specialists.agents().count("triage") == 1


async def test_triage_goes_first_and_its_indicators_go_with_the_next(room: Room) -> None:
    await created(room, "ALRT-2026-000002")
    async with room.working():
        await room.ended((await only(room, "ALRT-2026-000002")).id)
    assert room.specialists.agents()[0] == "triage"
    later = [params for agent, _, params in room.specialists.asked if agent != "triage"]
    assert all(params.iocs == [Observable("ip", "192.0.2.7")] for params in later)


async def test_a_handoff_carries_its_metadata(room: Room) -> None:
    await created(room, "ALRT-2026-000003")
    async with room.working():
        investigation = await room.ended((await only(room, "ALRT-2026-000003")).id)
    _, context, params = room.specialists.asked[0]
    handoff = context.handoff
    assert handoff is not None
    assert (handoff.from_, handoff.to, handoff.handoff_id) == ("orchestrator", "triage", investigation.steps[0].id)
    assert handoff.investigation_id == investigation.id
    assert handoff.capabilities == ["alerts:read", "siem:read"]
    assert handoff.deadline > utc_now() - timedelta(seconds=30)
    assert params.alert_id == "ALRT-2026-000003"


async def test_a_specialist_that_fails_is_named_and_the_others_still_give_a_verdict(room: Room) -> None:
    async def broken(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        raise ZeroDivisionError("a secret of the inside")

    room.specialists.answers["threat_intel"] = broken
    await created(room, "ALRT-2026-000004")
    async with room.working():
        investigation = await room.ended((await only(room, "ALRT-2026-000004")).id)
    assert investigation.verdict == "malicious"
    [note] = [note for note in investigation.not_checked if note.startswith("threat_intel")]
    assert INTERNAL.code in note
    assert "secret" not in note


async def test_a_worker_that_dies_in_a_step_loses_and_repeats_nothing(room: Room) -> None:
    asked = asyncio.Event()

    async def slow(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        asked.set()
        await asyncio.sleep(0.5)
        return assessed("endpoint_analyst")

    room.specialists.answers["endpoint_analyst"] = slow
    await created(room, "ALRT-2026-000005")
    first = asyncio.create_task(room.workers().run())
    async with asyncio.timeout(10):
        await asked.wait()
    first.cancel()  # without giving its lease back, as kill -9 does
    await asyncio.wait([first])
    async with room.working():
        investigation = await room.ended((await only(room, "ALRT-2026-000005")).id)
    assert investigation.status == "completed"
    assert sorted(step.agent for step in investigation.steps) == sorted(TEAM)
    assert room.specialists.agents().count("triage") == 1
    handoffs = {c.handoff.handoff_id for agent, c, _ in room.specialists.asked if c.handoff and agent != "triage"}
    assert len(handoffs) == 2, "the same handoffs were sent again, not others"


async def test_an_investigation_dropped_while_the_store_was_away_is_taken_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = dispatches.finish
    away = [True]

    async def finish(*arguments: Any) -> Any:
        if arguments[2] == "completed" and away and away.pop():
            raise AuroraError(UNAVAILABLE)
        return await whole(*arguments)

    monkeypatch.setattr(dispatches, "finish", finish)
    await created(room, "ALRT-2026-000014")
    async with room.working():
        investigation = await room.ended((await only(room, "ALRT-2026-000014")).id)
    assert not away
    assert (investigation.status, len(investigation.steps)) == ("completed", 3)
    assert room.specialists.agents().count("triage") == 1, "its answer was kept by the agent"


async def test_an_investigation_under_way_is_the_answer_to_a_second_request(room: Room) -> None:
    request = InvestigateRequest(alert_id="ALRT-2026-000006")
    first = await room.investigations.investigate(request, ANALYST)
    assert first.status == "queued"
    assert (await room.investigations.investigate(request, ANALYST)).id == first.id
    async with room.working():
        await room.ended(first.id)
    assert (await room.investigations.investigate(request, ANALYST)).id != first.id


async def test_an_investigation_that_was_asked_for_takes_the_place_of_the_automatic_one(room: Room) -> None:
    asked = await room.investigations.investigate(InvestigateRequest(alert_id="ALRT-2026-000007"), ANALYST)
    await created(room, "ALRT-2026-000007")
    assert (await only(room, "ALRT-2026-000007")).id == asked.id


async def test_only_the_chosen_specialists_are_asked(room: Room) -> None:
    request = InvestigateRequest(alert_id="ALRT-2026-000008", agents=["threat_intel"])
    queued = await room.investigations.investigate(request, ANALYST)
    async with room.working():
        await room.ended(queued.id)
    assert room.specialists.agents() == ["threat_intel"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (InvestigateRequest(alert_id="ALRT-2026-000009"), ALERT_NOT_FOUND),
        (InvestigateRequest(alert_id="ALRT-2026-000001", agents=["nobody"]), AGENT_NOT_FOUND),
    ],
)
async def test_an_unknown_alert_or_specialist_is_told_by_its_own_code(
    room: Room, request_: InvestigateRequest, code: object
) -> None:
    with pytest.raises(AuroraError) as refusal:
        await room.investigations.investigate(request_, ANALYST)
    assert refusal.value.code is code


async def test_a_dispatch_is_answered_with_its_result_and_stays_in_the_history(room: Room) -> None:
    request = DispatchRequest(agent="triage", params={"iocs": [{"type": "ip", "value": "45.33.32.156"}]}, reason="why")
    record = await room.dispatcher.dispatch(request, ANALYST)
    assert (record.status, record.requested_by, record.reason) == ("completed", "user_ada", "why")
    assert {"severity", "confidence", "mitre_techniques", "iocs"} <= record.result.keys()
    [kept] = (await room.dispatcher.list_dispatches(DispatchQuery(agent="triage"))).items
    assert kept == record


async def test_a_dispatch_passes_no_more_rights_on_than_its_caller_has(room: Room) -> None:
    weak = Principal("user_eve", "user", "eve", "viewer", frozenset({"investigations:write", "alerts:read"}))
    await room.dispatcher.dispatch(DispatchRequest(agent="triage", params={}), weak)
    handoff = room.specialists.asked[0][1].handoff
    assert handoff is not None
    assert handoff.capabilities == ["alerts:read"]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (DispatchRequest(agent="nobody", params={}), AGENT_NOT_FOUND),
        (DispatchRequest(agent="triage", method="nothing", params={}), VALIDATION),
        (DispatchRequest(agent="triage", params={"iocs": 1}), VALIDATION),
        (DispatchRequest(agent="triage", params={"more": 2**70}), VALIDATION),
    ],
)
async def test_a_dispatch_that_can_not_be_made_is_refused_before_it_is_sent(
    room: Room, request_: DispatchRequest, code: object
) -> None:
    with pytest.raises(AuroraError) as refusal:
        await room.dispatcher.dispatch(request_, ANALYST)
    assert refusal.value.code is code
    assert room.specialists.asked == []
    assert (await room.dispatcher.list_dispatches(DispatchQuery())).items == []


async def test_a_dispatch_to_an_agent_that_is_down_says_so_and_is_recorded(room: Room) -> None:
    settings = OrchestratorSettings(unreachable_seconds=0.2)
    nobody = Fleet(lambda _agent: "any", {"triage": "ws://127.0.0.1:9/"}, PeerLimits(connect_seconds=0.2))
    dispatcher = Dispatcher(room.database, nobody, settings)
    with pytest.raises(AuroraError) as refusal:
        await dispatcher.dispatch(DispatchRequest(agent="triage", params={}), ANALYST)
    await nobody.close()
    assert refusal.value.code is UNAVAILABLE
    [record] = (await room.dispatcher.list_dispatches(DispatchQuery(status="failed"))).items
    assert record.error is not None
    assert record.error.startswith(UNAVAILABLE.code)
    assert refusal.value.detail["dispatch_id"] == record.id


async def test_lists_are_walked_by_their_cursors_newest_first(room: Room) -> None:
    made = []
    for number in range(1, 6):
        request = InvestigateRequest(alert_id=f"ALRT-2026-00010{number}")
        made.append((await room.investigations.investigate(request, ANALYST)).id)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await room.investigations.list_investigations(InvestigationQuery(limit=2, cursor=cursor))
        seen += [item.id for item in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == made[::-1]


async def test_an_answer_that_the_store_can_not_hold_fails_its_step_and_not_the_investigation(room: Room) -> None:
    async def hostile(_params: AnalyzeThreat, _context: CallContext) -> Assessment:
        answer = assessed("endpoint_analyst")
        answer.summary = "decoded \x00 text"
        return answer

    room.specialists.answers["endpoint_analyst"] = hostile
    await created(room, "ALRT-2026-000011")
    async with room.working():
        investigation = await room.ended((await only(room, "ALRT-2026-000011")).id)
    [step] = [step for step in investigation.steps if step.agent == "endpoint_analyst"]
    assert step.status == "failed"
    assert investigation.verdict == "malicious"


async def test_an_investigation_that_breaks_ends_as_failed_and_the_next_goes_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = merging.merge

    def breaking(_rounds: Sequence[Round]) -> merging.Outcome:
        monkeypatch.setattr(merging, "merge", whole)
        raise ZeroDivisionError

    monkeypatch.setattr(merging, "merge", breaking)
    await created(room, "ALRT-2026-000012")
    await created(room, "ALRT-2026-000013")
    async with room.working():
        first = await room.ended((await only(room, "ALRT-2026-000012")).id)
        second = await room.ended((await only(room, "ALRT-2026-000013")).id)
    assert (first.status, second.status) == ("failed", "completed")
    assert first.summary.startswith("AURORA-5000")
