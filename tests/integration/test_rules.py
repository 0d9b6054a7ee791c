"""Detection rules through siem's API: created, refused with their place, imported, listed, and matching at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest_asyncio

from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.detections import CREATE_RULE, IMPORT_RULES, LIST_RULES, DetectionRule, RuleQuery
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file; rules and events keep apart by their ids."""
    with data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


def rule(identifier: str, marker: str, *, condition: str = "selection", level: str = "high") -> str:
    return f"""\
title: A marker {marker}
id: {identifier}
status: test
level: {level}
tags: [attack.execution, attack.t1059.004]
logsource: {{product: linux, category: process_creation}}
detection:
  selection:
    CommandLine|contains: {marker}
  condition: {condition}
"""


def execution(marker: str) -> list[str]:
    serial = str(abs(hash(marker)) % 1_000_000 + 1)
    stamp = f"node=web09 type={{}} msg=audit(1795312766.573:{serial}):"
    arguments = f'argc=2 a0="/bin/echo" a1="{marker}"'
    call = 'arch=c000003e syscall=59 success=yes exit=0 ppid=10 pid=11 uid=0 auid=0 comm="echo" exe="/bin/echo"'
    return [f"{stamp.format('SYSCALL')} {call}", f"{stamp.format('EXECVE')} {arguments}"]


async def post(running: Siem, path: str, body: str, media_type: str = "application/yaml") -> tuple[int, Any]:
    headers = {**running.headers(), "Content-Type": media_type}
    async with running.http().post(running.url + path, data=body.encode(), headers=headers) as response:
        return response.status, orjson.loads(await response.read())


async def alert_of(running: Siem, rule_id: str, *, count: int = 1) -> Alert:
    async with running.client() as client, asyncio.timeout(30):
        while True:
            page = await client.call(LIST_ALERTS, query=AlertQuery(rule_id=rule_id))
            if page.items and page.items[0].count >= count:
                assert len(page.items) == 1
                return page.items[0]
            await asyncio.sleep(0.05)


async def test_a_rule_matches_the_events_that_come_after_it_was_accepted(running: Siem) -> None:
    identifier, marker = new_id(), f"marker{new_id()[-12:]}"
    status, created = await post(running, CREATE_RULE.path, rule(identifier, marker))
    assert status == 201
    assert (created["id"], created["level"], created["status"], created["enabled"]) == (
        identifier,
        "high",
        "test",
        True,
    )
    assert (created["title"], created["tags"]) == (f"A marker {marker}", ["attack.execution", "attack.t1059.004"])
    assert created["logsource"] == {"product": "linux", "category": "process_creation", "service": None}
    await running.ingest("\n".join(execution(marker)), content_type="text/plain")
    alert = await alert_of(running, identifier)
    assert (alert.severity, alert.source, alert.type) == ("high", "detection", "sigma")
    assert alert.mitre_techniques == ["T1059.004"]
    assert alert.entities["host"] == "web09"
    assert alert.evidence[0].rule_id == identifier
    assert (await running.search(f"id:{alert.evidence[0].log_id}"))[0].id == alert.evidence[0].log_id


async def test_matches_of_a_rule_on_a_host_are_counted_on_one_alert(running: Siem) -> None:
    identifier, marker = new_id(), f"marker{new_id()[-12:]}"
    await post(running, CREATE_RULE.path, rule(identifier, marker))
    for number in range(3):
        await running.ingest("\n".join(execution(f"{marker} {number}")), content_type="text/plain")
    assert (await alert_of(running, identifier, count=3)).count == 3


async def test_a_rule_may_come_as_json_around_its_text(running: Siem) -> None:
    body = orjson.dumps({"sigma": rule(new_id(), "never")}).decode()
    status, created = await post(running, CREATE_RULE.path, body, "application/json")
    assert status == 201
    assert created["title"] == "A marker never"


async def test_an_invalid_rule_is_refused_with_its_place(running: Siem) -> None:
    status, answer = await post(running, CREATE_RULE.path, rule(new_id(), "x", condition="selection and nowhere"))
    assert (status, answer["error"]["code"]) == (422, "AURORA-4222")
    assert answer["error"]["detail"][0]["line"] == 10
    status, answer = await post(running, CREATE_RULE.path, "title: [unclosed")
    assert (status, answer["error"]["code"]) == (422, "AURORA-4222")
    assert answer["error"]["detail"][0]["line"] is not None


async def test_a_second_rule_of_one_id_is_a_conflict_that_names_it(running: Siem) -> None:
    identifier = new_id()
    assert (await post(running, CREATE_RULE.path, rule(identifier, "one")))[0] == 201
    status, answer = await post(running, CREATE_RULE.path, rule(identifier, "two"))
    assert (status, answer["error"]["code"]) == (409, "AURORA-4090")
    assert answer["error"]["detail"] == {"rule_id": identifier}


async def test_one_bad_document_never_stops_an_import_of_good_ones(running: Siem) -> None:
    good, again = new_id(), new_id()
    documents = [rule(good, "good"), "title: no detection\nlogsource: {product: linux}\n", rule(again, "again")]
    status, report = await post(running, IMPORT_RULES.path, "---\n".join(documents))
    assert status == 200
    assert (report["created"], len(report["errors"])) == (2, 1)
    assert report["errors"][0]["index"] == 1
    status, report = await post(running, IMPORT_RULES.path, "---\n".join([rule(good, "good"), rule(again, "other")]))
    assert (report["created"], report["updated"], report["unchanged"]) == (0, 1, 1)


async def test_a_valid_rule_that_can_not_be_served_is_kept_and_says_why(running: Siem) -> None:
    identifier = new_id()
    text = rule(identifier, "x").replace("CommandLine|contains: x", "CommandLine|expand: '%somebody%'")
    status, created = await post(running, CREATE_RULE.path, text)
    assert status == 201
    assert "placeholder" in created["problem"]


async def test_rules_are_listed_with_the_built_in_ones_and_filtered(running: Siem) -> None:
    marker = f"listed{new_id()[-12:]}"
    await post(running, CREATE_RULE.path, rule(new_id(), marker, level="critical"))
    async with running.client() as client:
        found = await client.call(LIST_RULES, query=RuleQuery(q=marker.upper(), level="critical"))
        assert [item.title for item in found.items] == [f"A marker {marker}"]
        everything: list[DetectionRule] = []
        cursor: str | None = None
        while True:
            page = await client.call(LIST_RULES, query=RuleQuery(limit=10, cursor=cursor))
            everything += page.items
            if (cursor := page.next_cursor) is None:
                break
    assert len([item for item in everything if item.origin == "builtin"]) == len(list(_builtin()))
    assert len({item.id for item in everything}) == len(everything)


def _builtin() -> list[Path]:
    return list((Path(__file__).parents[2] / "services" / "siem" / "detections" / "rules").glob("*.yml"))
