"""The life of a rule through siem's API: changed, versioned, suppressed, judged, measured, drafted from a log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import orjson
import pytest_asyncio

from shared.bus import Bus
from shared.clock import new_id, utc_now
from shared.contracts.detections import RULE_CHANGED
from shared.contracts.events import CloudEvent
from shared.contracts.placeholders import PLACEHOLDER_CHANGED
from shared.contracts.suppressions import SUPPRESSION_CHANGED
from shared.contracts.wire import decode, encode
from tests.integration.test_rules import alert_of, rule
from tests.integration.test_rules import execution as recorded
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder

RULES = "/api/v1/detections/rules"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; rules and events keep apart by their ids."""
    with data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


async def ask(
    running: Siem, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Status and decoded body; a text is sent as YAML."""
    media_type = "application/yaml" if isinstance(body, str) else "application/json"
    data = None if body is None else body.encode() if isinstance(body, str) else encode(body)
    sent = {**running.headers(), "Content-Type": media_type, **(headers or {})}
    async with running.http().request(method, running.url + path, data=data, headers=sent) as response:
        return response.status, orjson.loads(await response.read())


def execution(marker: str) -> list[str]:
    """The records of an execution a moment ago: previews and rates look at the last days."""
    moment = f"{utc_now().timestamp():.3f}"
    return [line.replace("1795312766.573", moment) for line in recorded(marker)]


async def created(running: Siem, marker: str) -> str:
    identifier = new_id()
    status, answer = await ask(running, "POST", RULES, rule(identifier, marker))
    assert status == 201, answer
    return identifier


async def matched(running: Siem, marker: str, *words: str) -> None:
    """Sends one execution for each word and waits until nothing waits for detection."""
    for word in words:
        status, _, _ = await running.ingest("\n".join(execution(f"{marker} {word}")), content_type="text/plain")
        assert status == 202


async def counted(running: Siem, identifier: str, matches: int) -> dict[str, Any]:
    """The rule's figures, once it has so many matches."""
    async with asyncio.timeout(30):
        while True:
            status, answer = await ask(running, "GET", "/api/v1/detections/metrics?limit=200")
            assert status == 200, answer
            found = next(item for item in answer["items"] if item["rule_id"] == identifier)
            if found["matches"] >= matches:
                return dict(found)
            await asyncio.sleep(0.05)


def marker_of(name: str) -> str:
    return f"{name}{new_id()[-12:]}"


async def test_a_disabled_rule_matches_nothing_and_an_import_leaves_it_disabled(running: Siem) -> None:
    marker, witness = marker_of("off"), marker_of("on")
    identifier, other = await created(running, marker), await created(running, witness)
    status, answer = await ask(running, "PATCH", f"{RULES}/{identifier}", {"enabled": False})
    assert (status, answer["enabled"], answer["version"]) == (200, False, 1)
    status, report = await ask(running, "POST", f"{RULES}/import", rule(identifier, marker, level="low"))
    assert (status, report["updated"]) == (200, 1)
    _, answer = await ask(running, "GET", f"{RULES}/{identifier}")
    assert (answer["enabled"], answer["version"], answer["level"], answer["origin"]) == (False, 2, "low", "import")
    await matched(running, marker, witness)
    await alert_of(running, other)
    assert (await counted(running, identifier, 0))["matches"] == 0
    await ask(running, "PATCH", f"{RULES}/{identifier}", {"enabled": True})
    await matched(running, marker, "again")
    await alert_of(running, identifier)


async def test_a_change_of_the_text_is_a_version_that_is_compared_and_rolled_back(running: Siem) -> None:
    identifier = await created(running, "first")
    change = {"sigma": rule(identifier, "second"), "reason": "the first was too wide"}
    status, answer = await ask(running, "PATCH", f"{RULES}/{identifier}", change)
    assert (status, answer["version"], answer["title"]) == (200, 2, "A marker second")
    status, same = await ask(running, "PATCH", f"{RULES}/{identifier}", change)
    assert (same["version"], same["revision"]) == (2, answer["revision"])
    _, page = await ask(running, "GET", f"{RULES}/{identifier}/versions?limit=1")
    [newest] = page["items"]
    assert (newest["version"], newest["created_by"], newest["reason"]) == (2, "test", "the first was too wide")
    _, page = await ask(running, "GET", f"{RULES}/{identifier}/versions?cursor={page['next_cursor']}")
    assert ([item["version"] for item in page["items"]], page["next_cursor"]) == ([1], None)
    _, answer = await ask(running, "GET", f"{RULES}/{identifier}/versions/2/diff")
    assert "-    CommandLine|contains: first\n+    CommandLine|contains: second" in answer["diff"]
    status, answer = await ask(running, "POST", f"{RULES}/{identifier}/versions/1/rollback", {})
    assert (status, answer["version"], answer["title"]) == (200, 3, "A marker first")
    _, answer = await ask(running, "GET", f"{RULES}/{identifier}/versions/3/diff?against=1")
    assert answer["diff"] == ""
    assert (await ask(running, "GET", f"{RULES}/{identifier}/versions/9/diff"))[0] == 404
    assert (await ask(running, "GET", f"{RULES}/{new_id()}"))[0] == 404


async def test_two_people_who_change_a_rule_at_once_do_not_overwrite_one_another(running: Siem) -> None:
    identifier = await created(running, "both")
    _, seen = await ask(running, "GET", f"{RULES}/{identifier}")
    tag = {"If-Match": f'"{seen["revision"]}"'}
    assert (await ask(running, "PATCH", f"{RULES}/{identifier}", {"enabled": False}, headers=tag))[0] == 200
    change = {"sigma": rule(identifier, "late")}
    status, answer = await ask(running, "PATCH", f"{RULES}/{identifier}", change, headers=tag)
    assert (status, answer["error"]["code"]) == (409, "AURORA-4090")
    wrong = {"sigma": rule(new_id(), "late")}
    status, answer = await ask(running, "PATCH", f"{RULES}/{identifier}", wrong)
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "id")
    assert (await ask(running, "PATCH", f"{RULES}/{identifier}", {}))[0] == 422


async def test_a_rule_whose_own_test_fails_is_refused_by_name(running: Siem) -> None:
    identifier = new_id()
    event = {"EventID": 1, "Channel": "Microsoft-Windows-Sysmon/Operational", "CommandLine": "x"}
    good = (
        rule(identifier, "tested")
        + f"tests:\n  match:\n    - |\n{_indented(execution('tested'))}  no_match: [{event}]\n"
    )
    status, answer = await ask(running, "POST", RULES, good)
    assert status == 201, answer
    bad = good.replace("contains: tested", "contains: else")
    for method, path, body in (
        ("POST", RULES, bad.replace(identifier, new_id())),
        ("PATCH", f"{RULES}/{identifier}", {"sigma": bad}),
    ):
        status, answer = await ask(running, method, path, body)
        assert (status, answer["error"]["code"]) == (422, "AURORA-4222")
        assert answer["error"]["detail"][0]["path"] == "tests.match.0"
    status, report = await ask(running, "POST", f"{RULES}/import", bad)
    assert (status, report["updated"], len(report["errors"])) == (200, 0, 1)
    assert "tests.match[0]" in report["errors"][0]["message"]


def _indented(lines: list[str]) -> str:
    return "".join(f"      {line}\n" for line in lines)


async def test_a_suppressed_match_raises_nothing_and_is_counted_and_listed(running: Siem) -> None:
    marker = marker_of("noise")
    identifier = await created(running, marker)
    path = f"{RULES}/{identifier}/suppressions"
    await matched(running, marker, "backup", "attack")
    await alert_of(running, identifier, count=2)
    wanted = {"fields": {"commandline": ["*BACKUP*"], "host.name": ["web09"]}, "reason": "the nightly backup"}
    status, preview = await ask(running, "POST", f"{path}/preview", wanted)
    assert (status, preview["matches"], preview["would_hide"], preview["complete"]) == (200, 2, 1, True), preview
    status, made = await ask(running, "POST", path, wanted)
    assert (status, made["state"], made["hidden"], made["created_by"]) == (201, "active", 0, "test")
    await matched(running, marker, "backup", "other")
    alert = await alert_of(running, identifier, count=3)
    assert alert.count == 3
    _, listed = await ask(running, "GET", path)
    assert [(item["hidden"], item["reason"]) for item in listed["items"]] == [(1, "the nightly backup")]
    _, hidden = await ask(running, "GET", f"{path}/{made['id']}/matches")
    [match] = hidden["items"]
    assert "backup" in (await running.search(f"id:{match['log_id']}"))[0].raw
    figures = await counted(running, identifier, 4)
    assert (figures["matches"], figures["suppressed"], figures["alerts"]) == (4, 1, 1)
    status, ended = await ask(running, "DELETE", f"{path}/{made['id']}")
    assert (status, ended["state"], ended["ended_by"], ended["hidden"]) == (200, "ended", "test", 1)
    await matched(running, marker, "backup")
    assert (await alert_of(running, identifier, count=4)).count == 4


async def test_a_suppression_needs_a_reason_fields_and_a_time_that_can_be(running: Siem) -> None:
    path = f"{RULES}/{await created(running, 'bad')}/suppressions"
    fields = {"host.name": ["web09"]}
    now = utc_now()
    for wanted in (
        {"fields": fields},
        {"fields": {}, "reason": "x"},
        {"fields": fields, "reason": "x", "expires_at": now - timedelta(hours=1)},
        {"fields": fields, "reason": "x", "active_from": now, "active_to": now - timedelta(hours=1)},
    ):
        assert (await ask(running, "POST", path, wanted))[0] == 422, wanted
    wanted = {"fields": fields, "reason": "x"}
    assert (await ask(running, "POST", f"{RULES}/{new_id()}/suppressions", wanted))[0] == 404
    assert (await ask(running, "DELETE", f"{path}/{new_id()}"))[0] == 404


async def test_what_was_called_a_true_positive_is_never_hidden(running: Siem) -> None:
    marker = marker_of("attack")
    identifier = await created(running, marker)
    path = f"{RULES}/{identifier}/suppressions"
    await matched(running, marker, "real")
    alert = await alert_of(running, identifier)
    status, _ = await ask(
        running, "POST", f"{RULES}/{identifier}/feedback", {"alert_id": alert.id, "verdict": "true_positive"}
    )
    assert status == 201
    wanted = {"fields": {"host.name": ["web*"]}, "reason": "too loud"}
    for place in (path, f"{path}/preview"):
        status, answer = await ask(running, "POST", place, wanted)
        assert (status, answer["error"]["code"]) == (409, "AURORA-4090")
        named = answer["error"]["detail"]["true_positives"]
        assert [(item["alert_id"], item["log_id"]) for item in named] == [(alert.id, alert.evidence[0].log_id)]
    # A later word on the same alert takes it back.
    label = {"alert_id": alert.id, "verdict": "false_positive", "comment": "a drill"}
    await ask(running, "POST", f"{RULES}/{identifier}/feedback", label)
    assert (await ask(running, "POST", path, wanted))[0] == 201


async def test_verdicts_are_listed_and_say_how_precise_a_rule_is_from_ten_on(running: Siem) -> None:
    marker = marker_of("judged")
    identifier = await created(running, marker)
    path = f"{RULES}/{identifier}/feedback"
    await matched(running, marker, *(f"run {number}" for number in range(10)))
    alert = await alert_of(running, identifier, count=10)
    log_ids = [item.log_id for item in alert.evidence]
    verdicts = ["true_positive"] * 7 + ["benign_true_positive"] + ["false_positive"]
    for log_id, verdict in zip(log_ids, verdicts, strict=False):
        assert (await ask(running, "POST", path, {"log_id": log_id, "verdict": verdict}))[0] == 201
    _, answer = await ask(running, "GET", path)
    assert answer["labels"]["precision"] is None
    await ask(running, "POST", path, {"log_id": log_ids[9], "verdict": "true_positive", "comment": "seen"})
    await ask(running, "POST", path, {"log_id": log_ids[9], "verdict": "false_positive", "comment": "seen again"})
    _, answer = await ask(running, "GET", f"{path}?limit=2")
    assert [(item["comment"], item["superseded"]) for item in answer["items"]] == [
        ("seen again", False),
        ("seen", True),
    ]
    labels = answer["labels"]
    assert (labels["true_positive"], labels["benign_true_positive"], labels["false_positive"]) == (7, 1, 2)
    assert labels["precision"]["value"] == 0.8
    assert (round(labels["precision"]["low"], 3), round(labels["precision"]["high"], 3)) == (0.49, 0.943)
    for wrong, status in (
        ({"verdict": "true_positive"}, 422),
        ({"verdict": "true_positive", "alert_id": "ALRT-2026-999999"}, 404),
        ({"verdict": "true_positive", "log_id": new_id()}, 404),
        ({"verdict": "maybe", "log_id": log_ids[0]}, 422),
    ):
        assert (await ask(running, "POST", path, wrong))[0] == status, wrong


async def test_metrics_name_the_noisiest_rule_first_with_its_share_and_latency(running: Siem) -> None:
    marker = marker_of("loud")
    identifier = await created(running, marker)
    lines = [line for number in range(60) for line in execution(f"{marker} {number}")]
    await running.ingest("\n".join(lines), content_type="text/plain")
    figures = await counted(running, identifier, 60)
    assert 0 <= figures["latency_p50_ms"] <= figures["latency_p95_ms"]
    _, answer = await ask(running, "GET", "/api/v1/detections/metrics?limit=200")
    matches = [item["matches"] for item in answer["items"]]
    assert matches == sorted(matches, reverse=True)
    loud = next(item for item in answer["items"] if item["rule_id"] == identifier)
    assert loud["noise"] == 60 / answer["totals"]["matches"]
    assert loud["matches_per_day"] == 60
    assert answer["totals"]["rules"] > answer["totals"]["rules_matched"] >= 1
    _, first = await ask(running, "GET", "/api/v1/detections/metrics?limit=1")
    _, second = await ask(running, "GET", f"/api/v1/detections/metrics?limit=1&cursor={first['next_cursor']}")
    assert [page["items"][0]["matches"] for page in (first, second)] == matches[:2]
    ahead = (utc_now() + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    _, none = await ask(running, "GET", f"/api/v1/detections/metrics?since={ahead}")
    assert (none["totals"]["matches"], none["items"][0]["noise"], none["totals"]["latency_p50_ms"]) == (0, 0.0, None)


async def test_a_stored_log_becomes_a_disabled_draft_with_its_rate(running: Siem) -> None:
    marker = marker_of("promoted")
    event = {
        "EventID": 1,
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "Computer": "ws01",
        "UtcTime": utc_now().strftime("%Y-%m-%d %H:%M:%S.000"),
        "Image": "C:\\Temp\\what?.exe",
        "CommandLine": f"C:\\Temp\\what?.exe {marker} \\\\share\\*",
        "ParentImage": "C:\\Windows\\explorer.exe",
    }
    status, _, _ = await running.ingest([event, event, {**event, "CommandLine": f"{marker} else"}])
    assert status == 202
    stored = next(item for item in await running.search(marker) if "share" in item.raw)
    status, answer = await ask(running, "POST", f"/api/v1/siem/logs/{stored.id}/promote", {"title": "Odd share"})
    assert status == 201, answer
    drafted, rate = answer["rule"], answer["expected"]
    assert (drafted["enabled"], drafted["problem"], drafted["title"]) == (False, None, "Odd share")
    assert drafted["logsource"]["category"] == "process_creation"
    assert answer["fields"] == ["Image", "CommandLine", "ParentImage"]
    assert (rate["matches"], rate["complete"]) == (2, True), answer
    assert rate["examined"] >= 3
    wanted = {"fields": ["image"], "days": 1}
    status, answer = await ask(running, "POST", f"/api/v1/siem/logs/{stored.id}/promote", wanted)
    assert (status, answer["fields"], answer["expected"]["matches"]) == (201, ["Image"], 3)
    status, answer = await ask(running, "POST", f"/api/v1/siem/logs/{stored.id}/promote", {"fields": ["Nothing"]})
    assert (status, answer["error"]["detail"][0]["path"]) == (422, "body.fields")
    assert (await ask(running, "POST", f"/api/v1/siem/logs/{new_id()}/promote", {}))[0] == 404


async def test_an_audit_record_is_drafted_with_what_its_siblings_say(running: Siem) -> None:
    marker = marker_of("audited")
    identifier = await created(running, marker)
    await matched(running, marker, "once")
    alert = await alert_of(running, identifier)
    wanted = {"fields": ["CommandLine", "Image"], "days": 30, "title": "An echo"}
    place = f"/api/v1/siem/logs/{alert.evidence[0].log_id}/promote"
    status, answer = await ask(running, "POST", place, wanted)
    assert status == 201, answer
    assert marker in answer["rule"]["sigma"]
    assert "/bin/echo" in answer["rule"]["sigma"]


async def test_a_release_leaves_a_rule_disabled_and_a_changed_text_in_force(running: Siem) -> None:
    _, page = await ask(running, "GET", f"{RULES}?limit=200")
    own = next(item for item in page["items"] if item["origin"] == "builtin")
    path = f"{RULES}/{own['id']}"
    changed = own["sigma"].replace(f"title: {own['title']}", "title: Ours")
    status, answer = await ask(running, "PATCH", path, {"enabled": False, "sigma": changed, "reason": "ours"})
    assert (status, answer["title"], answer["enabled"]) == (200, "Ours", False)
    assert await running.stop() == 0
    await running.start()
    _, after = await ask(running, "GET", path)
    assert (after["title"], after["enabled"], after["version"]) == ("Ours", False, 2)
    _, back = await ask(running, "POST", f"{path}/versions/1/rollback", {"reason": "theirs again"})
    assert (back["title"], back["enabled"], back["version"]) == (own["title"], False, 3)


async def test_changes_of_rules_suppressions_and_placeholders_are_told_with_who_made_them(
    running: Siem, bus: Bus
) -> None:
    _, before = await bus.bounds()
    name = marker_of("list")
    identifier = await created(running, "told")
    await ask(running, "PATCH", f"{RULES}/{identifier}", {"enabled": False, "reason": "too loud"})
    await ask(running, "PATCH", f"{RULES}/{identifier}", {"enabled": False, "reason": "no change at all"})
    wanted = {"fields": {"host.name": ["web09"]}, "reason": "a drill"}
    _, made = await ask(running, "POST", f"{RULES}/{identifier}/suppressions", wanted)
    for _ in range(2):
        await ask(running, "DELETE", f"{RULES}/{identifier}/suppressions/{made['id']}")
    status, answer = await ask(running, "PUT", f"/api/v1/detections/placeholders/{name}", {"values": ["a", "b"]})
    assert status == 200, answer
    topics = [topic.name for topic in (RULE_CHANGED, SUPPRESSION_CHANGED, PLACEHOLDER_CHANGED)]
    found: list[tuple[Any, ...]] = []
    async with asyncio.timeout(20), aclosing(bus.read(topics, since=before)) as events:
        async for delivered in events:
            event = decode(delivered.payload, CloudEvent)
            data = orjson.loads(bytes(event.data))
            if data.get("rule_id") == identifier:
                found.append((event.type, data["created"], data["enabled"], data["version"], data["reason"]))
            elif "suppression" in data and data["suppression"]["id"] == made["id"]:
                found.append((event.type, data["suppression"]["state"], data["changed_by"]))
            elif data.get("name") == name:
                found.append((event.type, data["version"], data["values"], data["changed_by"]))
                break
    assert found == [
        ("aurora.rules.changed", True, True, 1, ""),
        ("aurora.rules.changed", False, False, 1, "too loud"),
        ("aurora.suppressions.changed", "active", "test"),
        ("aurora.suppressions.changed", "ended", "test"),
        ("aurora.placeholders.changed", 1, 2, "test"),
    ]


async def test_metrics_say_what_a_rule_costs_once_enough_events_were_measured(running: Siem) -> None:
    marker = marker_of("dear")
    tried, untried = await created(running, marker), await created(running, marker_of("free"))
    for start in range(0, 1000, 200):
        lines = [line for number in range(200) for line in execution(f"{marker} x{start + number}")]
        await running.ingest("\n".join(lines), content_type="text/plain")
    async with asyncio.timeout(30):
        while True:
            _, answer = await ask(running, "GET", "/api/v1/detections/metrics?limit=200")
            costs = {item["rule_id"]: item["cost_us"] for item in answer["items"]}
            if costs[untried] is not None:
                break
            await asyncio.sleep(0.05)
    # Both are means of samples, each of its own events: which is larger is the machine's to say.
    assert costs[tried] > 0
    assert answer["totals"]["cost_us"] > 0
    assert costs[untried] == 0.0, "nothing that came had its marker"
