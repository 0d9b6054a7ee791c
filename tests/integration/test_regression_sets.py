"""SigmaHQ's own regression sets through the API: each raises its own rule's alert, with the index and without.

The rules are imported and the recorded events sent over HTTP into a real siem; only its API is asked what came of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import Endpoint
from shared.contracts.detections import IMPORT_RULES, LIST_RULES, ImportReport, RuleQuery
from shared.contracts.system import GET_METRICS
from shared.contracts.wire import decode
from tests.outside_rules import MEDIA_TYPES, members
from tests.siem import Siem, siem
from tests.stack import Servers

#: Of 107 sets; one describes what a single event can't show.
AT_LEAST = 106
_WAIT_SECONDS = 60
Q = TypeVar("Q", bound=PageQuery)
T = TypeVar("T")


async def _import_rules(running: Siem, wanted: set[str]) -> None:
    """Imports the rules that the sets name, and a few hundred beside them to be wrong with."""
    texts = [content.decode() for path, content in members("sigma-rules.tar.xz", ".yml")]
    chosen = [
        text for number, text in enumerate(texts) if number % 10 == 0 or any(f"id: {one}" in text for one in wanted)
    ]
    headers = {**running.headers(), "Content-Type": "application/yaml"}
    body = "\n---\n".join(chosen).encode()
    async with running.http().post(running.url + IMPORT_RULES.path, data=body, headers=headers) as response:
        report = decode(await response.read(), ImportReport)
    assert report.errors == []
    assert report.created >= len(wanted)


async def _every(running: Siem, endpoint: Endpoint[Q, None, Page[T]], query: Q) -> list[T]:
    """A list of the API from its first page to its last."""
    async with running.client() as client:
        items: list[T] = []
        cursor: str | None = None
        while True:
            page = await client.call(endpoint, query=msgspec.structs.replace(query, limit=200, cursor=cursor))
            items += page.items
            if (cursor := page.next_cursor) is None:
                return items


async def _alerts(running: Siem) -> list[Alert]:
    return await _every(running, LIST_ALERTS, AlertQuery())


async def _send_sets(running: Siem) -> tuple[set[str], int]:
    """Sends every set; the ids of the rules they must match, and how many events were taken."""
    expected, events = set(), 0
    for path, content in members("sigma-regression-dev.tar.xz", *MEDIA_TYPES):
        status, answer, _ = await running.ingest(content, content_type=MEDIA_TYPES[path.suffix])
        assert status == 202, answer
        expected.add(path.stem)
        events += answer["accepted"]
    return expected, events


async def _evaluated(running: Siem) -> int:
    """How many events detection is done with."""
    async with running.client() as client:
        metrics = await client.call(GET_METRICS)
    values = [line.split()[1] for line in metrics.splitlines() if line.startswith("aurora_detection_events_total ")]
    return int(float(values[0])) if values else 0


async def _matches(servers: Servers, folder: Path, index: str) -> tuple[set[str], dict[str, int]]:
    """The expected rule ids, and what was raised: rule id and host -> count."""
    wanted = {path.stem for path, _ in members("sigma-regression-dev.tar.xz", *MEDIA_TYPES)}
    async with siem(servers, folder, detection_index=index) as running:
        await _import_rules(running, wanted)
        expected, events = await _send_sets(running)
        async with asyncio.timeout(_WAIT_SECONDS):
            while await _evaluated(running) < events:  # noqa: ASYNC110 - a counter of another process
                await asyncio.sleep(0.1)
        return expected, {alert.source_ref: alert.count for alert in await _alerts(running)}


@pytest.mark.timeout(300)
async def test_the_sets_raise_their_own_rules_through_the_api_alike_with_and_without_the_index(
    servers: Servers, tmp_path: Path
) -> None:
    folders = {index: tmp_path / index for index in ("on", "off")}
    for folder in folders.values():
        folder.mkdir()
    expected, indexed = await _matches(servers, folders["on"], "on")
    _, plain = await _matches(servers, folders["off"], "off")
    raised = {reference.split(":")[0] for reference in indexed}
    missing = expected - raised
    assert len(expected - missing) >= AT_LEAST, missing
    assert indexed == plain


async def test_every_outside_rule_is_listed_and_says_why_when_it_is_not_served(
    servers: Servers, tmp_path: Path
) -> None:
    texts = [content.decode() for _, content in members("sigma-rules.tar.xz", ".yml")][::25]
    async with siem(servers, tmp_path) as running:
        headers = {**running.headers(), "Content-Type": "application/yaml"}
        body = "\n---\n".join(texts).encode()
        async with running.http().post(running.url + IMPORT_RULES.path, data=body, headers=headers) as response:
            report: Any = decode(await response.read(), ImportReport)
        rules = await _every(running, LIST_RULES, RuleQuery())
    assert report.errors == []
    assert len([rule for rule in rules if rule.origin == "import"]) == len(texts)
    assert {rule.id for rule in rules if rule.problem} == {problem.rule_id for problem in report.unserved}
