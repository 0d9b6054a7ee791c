"""Alerts on a real Postgres with a real JetStream behind the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.siem.alerts.service import AlertsService
from services.siem.draft import Draft
from shared.bus import Bus, Delivered
from shared.clock import new_id, utc_now
from shared.contracts.alerts import AlertChanged, AlertCreate, AlertEvidence, AlertQuery, AlertUpdate
from shared.contracts.common import Observable
from shared.contracts.events import CloudEvent
from shared.contracts.investigations import INVESTIGATION_UPDATED, InvestigationChanged
from shared.contracts.wire import decode
from shared.errors import ALERT_NOT_FOUND, CONFLICT, DUPLICATE_ALERT, VALIDATION, AuroraError
from shared.outbox import Outbox, event_bytes
from shared.postgres import Database
from tests.roles import migrated
from tests.shapes import investigation
from tests.stack import Servers

MIGRATIONS = Path(__file__).parents[2] / "services" / "siem" / "migrations"


@pytest_asyncio.fixture(loop_scope="session")
async def database(servers: Servers) -> AsyncIterator[Database]:
    """A siem schema of its own, seen with the rights of its own role."""
    async with migrated(servers, "siem", MIGRATIONS) as database:
        yield database


@pytest.fixture
def alerts(database: Database, bus: Bus) -> AlertsService:
    """The alerts of that schema."""
    return AlertsService(database, Outbox(database, bus, "siem"))


def draft(ref: str = "rule:web01", **changes: object) -> Draft:
    now = utc_now()
    values: dict[str, object] = {
        "title": "A title",
        "description": "",
        "severity": "high",
        "source": "detection",
        "type": "sigma",
        "source_ref": ref,
        "rule_id": "rule",
        "first_seen": now,
        "last_seen": now,
        "observables": [Observable("ip", "192.0.2.1")],
        "entities": {"host": "web01"},
        "evidence": [AlertEvidence(log_id=new_id())],
    }
    return Draft(**{**values, **changes})  # type: ignore[arg-type]


async def raise_one(database: Database, alerts: AlertsService, item: Draft) -> str:
    async with database.transaction() as connection:
        [alert] = await alerts.raise_all(connection, [item])
    return alert.id


async def test_a_second_match_of_one_identity_is_counted_and_not_repeated(
    database: Database, alerts: AlertsService
) -> None:
    first = await raise_one(database, alerts, draft())
    again = draft(count=3, observables=[Observable("ip", "192.0.2.1"), Observable("ip", "192.0.2.2")])
    assert await raise_one(database, alerts, again) == first
    alert = await alerts.get(first)
    assert alert.count == 4
    assert len(alert.evidence) == 2
    assert sorted(item.value for item in alert.observables) == ["192.0.2.1", "192.0.2.2"]


async def test_an_alert_without_observables_is_counted_too(database: Database, alerts: AlertsService) -> None:
    first = await raise_one(database, alerts, draft(observables=[]))
    assert await raise_one(database, alerts, draft(observables=[])) == first
    assert (await alerts.get(first)).observables == []
    await raise_one(database, alerts, draft())
    alert = await alerts.get(first)
    assert (alert.count, [item.value for item in alert.observables]) == (3, ["192.0.2.1"])


async def test_matches_that_arrive_at_once_make_one_alert(database: Database, alerts: AlertsService) -> None:
    identifiers = await asyncio.gather(*(raise_one(database, alerts, draft()) for _ in range(8)))
    assert len(set(identifiers)) == 1
    assert (await alerts.get(identifiers[0])).count == 8


async def test_evidence_is_bounded_while_the_count_goes_on(database: Database, alerts: AlertsService) -> None:
    many = [AlertEvidence(log_id=new_id()) for _ in range(90)]
    identifier = await raise_one(database, alerts, draft(evidence=many, count=90))
    await raise_one(database, alerts, draft(evidence=many, count=90))
    alert = await alerts.get(identifier)
    assert (alert.count, len(alert.evidence)) == (180, 100)


async def test_a_closed_alert_makes_room_for_a_new_one(database: Database, alerts: AlertsService) -> None:
    first = await raise_one(database, alerts, draft())
    await alerts.update(first, AlertUpdate(status="resolved"))
    second = await raise_one(database, alerts, draft())
    assert second != first
    with pytest.raises(AuroraError) as refusal:
        await alerts.update(first, AlertUpdate(status="new"))
    assert refusal.value.code is DUPLICATE_ALERT
    assert refusal.value.detail == {"alert_id": second}


async def test_a_duplicate_by_api_names_the_open_alert(alerts: AlertsService) -> None:
    first = await alerts.create(AlertCreate(title="one", source_ref="ref-1"))
    with pytest.raises(AuroraError) as refusal:
        await alerts.create(AlertCreate(title="two", source_ref="ref-1"))
    assert refusal.value.code is DUPLICATE_ALERT
    assert refusal.value.detail == {"alert_id": first.id}


async def test_alerts_without_a_source_ref_are_never_duplicates(alerts: AlertsService) -> None:
    first = await alerts.create(AlertCreate(title="same"))
    second = await alerts.create(AlertCreate(title="same"))
    assert first.id != second.id
    assert first.source_ref == first.id


async def test_alert_ids_count_up_within_the_year(alerts: AlertsService) -> None:
    made = [await alerts.create(AlertCreate(title=str(number))) for number in range(3)]
    numbers = [int(alert.id.rsplit("-", 1)[1]) for alert in made]
    assert numbers == [1, 2, 3]
    assert made[0].id == f"ALRT-{utc_now().year}-000001"


async def test_acknowledging_triages_a_new_alert_and_keeps_the_first_who_did(alerts: AlertsService) -> None:
    alert = await alerts.create(AlertCreate(title="one"))
    taken = await alerts.acknowledge(alert.id, "ada")
    assert (taken.status, taken.acknowledged_by) == ("triaged", "ada")
    assert (await alerts.acknowledge(alert.id, "bob")).acknowledged_by == "ada"


async def test_a_closed_alert_can_not_be_acknowledged(alerts: AlertsService) -> None:
    alert = await alerts.create(AlertCreate(title="one"))
    await alerts.update(alert.id, AlertUpdate(status="false_positive"))
    with pytest.raises(AuroraError) as refusal:
        await alerts.acknowledge(alert.id, "ada")
    assert refusal.value.code is CONFLICT


async def test_an_unknown_alert_is_told_by_its_own_code(alerts: AlertsService) -> None:
    with pytest.raises(AuroraError) as refusal:
        await alerts.get("ALRT-2026-999999")
    assert refusal.value.code is ALERT_NOT_FOUND


async def test_an_update_of_nothing_is_refused(alerts: AlertsService) -> None:
    alert = await alerts.create(AlertCreate(title="one"))
    with pytest.raises(AuroraError) as refusal:
        await alerts.update(alert.id, AlertUpdate())
    assert refusal.value.code is VALIDATION


async def test_a_list_is_walked_to_its_end_by_its_cursors_newest_first(alerts: AlertsService) -> None:
    made = [(await alerts.create(AlertCreate(title=f"alert {number}"))).id for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await alerts.list_alerts(AlertQuery(limit=2, cursor=cursor))
        seen += [alert.id for alert in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == made[::-1]


async def test_filters_must_all_hold(database: Database, alerts: AlertsService) -> None:
    wanted = await raise_one(database, alerts, draft())
    await raise_one(database, alerts, draft("rule:web02", entities={"host": "web02"}))
    await alerts.create(AlertCreate(title="other", severity="low"))
    page = await alerts.list_alerts(AlertQuery(severity="high", host="WEB01", q="TITLE", rule_id="rule"))
    assert [alert.id for alert in page.items] == [wanted]


async def test_text_that_the_store_can_not_hold_is_a_clear_refusal(alerts: AlertsService) -> None:
    with pytest.raises(AuroraError) as refusal:
        await alerts.create(AlertCreate(title="nul \x00 byte"))
    assert refusal.value.code is VALIDATION


async def test_the_event_of_an_alert_arrives_in_jetstream_and_its_investigation_is_linked_once(
    database: Database, bus: Bus
) -> None:
    outbox = Outbox(database, bus, "siem")
    alerts = AlertsService(database, outbox)
    relay = asyncio.create_task(outbox.relay())
    title = f"find me {new_id()}"
    async with asyncio.timeout(20):
        alert = await alerts.create(AlertCreate(title=title))
        event = await _event_with(bus, title)
    assert decode(bytes(event.data), AlertChanged).alert == alert
    created = InvestigationChanged(investigation(alert.id, status="queued", completed_at=None))
    for _ in range(2):
        await alerts.link_investigation(event, created)
    assert (await alerts.get(alert.id)).investigation_id == created.investigation.id
    relay.cancel()
    await asyncio.wait([relay])


async def test_an_alert_that_joins_an_investigation_names_it_and_the_others_keep_what_they_name(
    alerts: AlertsService,
) -> None:
    first, joined = await alerts.create(AlertCreate(title="first")), await alerts.create(AlertCreate(title="joined"))
    changed = InvestigationChanged(investigation(first.id, alert_ids=[first.id, joined.id]), joined=[joined.id])
    event = decode(event_bytes(INVESTIGATION_UPDATED, changed, service="orchestrator", event_id=new_id()), CloudEvent)
    for _ in range(2):
        await alerts.link_joined(event, changed)
    assert (await alerts.get(joined.id)).investigation_id == changed.investigation.id
    assert (await alerts.get(first.id)).investigation_id is None


async def _event_with(bus: Bus, text: str) -> CloudEvent:
    reader = bus.read(["aurora.alerts.created"], since=0)
    try:
        async for delivered in reader:
            if text.encode() in delivered.payload:
                return _decoded(delivered)
    finally:
        await reader.aclose()
    raise AssertionError("the reader ended")


def _decoded(delivered: Delivered) -> CloudEvent:
    return decode(delivered.payload, CloudEvent)
