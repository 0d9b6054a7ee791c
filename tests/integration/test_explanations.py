"""Explanations on a real siem: a stored rule held against a stored event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from shared.contracts.detections import IMPORT_RULES
from shared.contracts.explanations import EXPLAIN_RULE, Explain, ExplainedCondition, Explanation
from shared.errors import NOT_FOUND, AuroraError
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder

RULES = """\
title: A refund
id: 7a8c1f6e-54a1-4a0e-8b4f-0d2c3a5b6c01
name: refund
logsource: {product: shop, service: orders}
detection:
  selection: {action: refund, amount|gt: 100}
  condition: selection
---
title: Not of our tester
id: 7a8c1f6e-54a1-4a0e-8b4f-0d2c3a5b6c02
logsource: {product: shop}
filter: {rules: [refund], tester: {who: tester}, condition: not tester}
---
title: Many refunds
id: 7a8c1f6e-54a1-4a0e-8b4f-0d2c3a5b6c03
correlation: {type: event_count, rules: [refund], group-by: [who], timespan: 1h, condition: {gte: 3}}
"""
REFUND, FILTER, MANY = (f"7a8c1f6e-54a1-4a0e-8b4f-0d2c3a5b6c0{number}" for number in (1, 2, 3))


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    """One siem for this file, with the rules above."""
    with data_folder() as folder:
        async with siem(servers, folder) as started:
            async with started.client() as client:
                report = await client.call(IMPORT_RULES, body=RULES.encode())
            assert report.created == 3
            yield started


async def stored(running: Siem, **fields: object) -> str:
    """The log id of an event of the shop."""
    status, answer, _ = await running.ingest([{"event.dataset": "shop.orders", **fields}])
    assert status == 202
    [event] = await running.search(receipt=answer["receipt"])
    return event.id


async def explained(running: Siem, rule_id: str, log_id: str) -> Explanation:
    async with running.client() as client:
        return await client.call(EXPLAIN_RULE, path={"rule_id": rule_id}, body=Explain(log_id))


def failed(condition: ExplainedCondition | None) -> list[str | None]:
    """The fields of the parts of a conjunction that don't hold."""
    assert condition is not None
    assert condition.test == "all_of"
    return [item.field or item.items[0].field for item in condition.items if not item.matched]


async def test_an_explanation_names_the_part_that_failed_and_the_filter_that_took_the_match(running: Siem) -> None:
    small = await explained(running, REFUND, await stored(running, action="refund", amount=7, who="eve"))
    assert (small.matched, small.enabled, small.reason) == (False, True, None)
    assert failed(small.views[0].condition) == ["amount"]
    large = await explained(running, REFUND, await stored(running, action="Refund", amount=700, who="eve"))
    assert (large.matched, failed(large.views[0].condition)) == (True, [])
    log_id = await stored(running, action="refund", amount=700, who="tester")
    async with asyncio.timeout(30):
        # Filters are taken over with the next batch that is evaluated.
        while (tested := await explained(running, REFUND, log_id)).matched:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(0.02)
    assert failed(tested.views[0].condition) == ["who"]


async def test_what_cannot_be_tried_says_why(running: Siem) -> None:
    elsewhere = await explained(running, REFUND, await stored(running, **{"event.dataset": "bank.orders", "who": "x"}))
    assert elsewhere.reason == "no view of the event has the rule's log source"
    log_id = await stored(running, action="refund", amount=700, who="eve")
    assert "ask about refund" in ((await explained(running, MANY, log_id)).reason or "")
    assert "filter" in ((await explained(running, FILTER, log_id)).reason or "")


@pytest.mark.parametrize("missing", ["rule", "event"])
async def test_a_rule_or_an_event_that_is_not_there_is_not_found(running: Siem, missing: str) -> None:
    log_id = await stored(running, action="refund", amount=700, who="eve")
    with pytest.raises(AuroraError) as caught:
        await explained(running, *(("no-such-rule", log_id) if missing == "rule" else (REFUND, "no-such-event")))
    assert caught.value.code is NOT_FOUND
