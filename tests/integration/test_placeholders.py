"""Placeholders through siem's API: a rule waits for its list, is served with it, and changes with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from shared.client import Client
from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, AlertQuery
from shared.contracts.common import PageQuery
from shared.contracts.detections import CREATE_RULE, GET_RULE
from shared.contracts.explanations import EXPLAIN_RULE, Explain
from shared.contracts.logs import SEARCH_LOGS, LogQuery
from shared.contracts.placeholders import (
    DELETE_PLACEHOLDER,
    GET_PLACEHOLDER,
    LIST_PLACEHOLDER_VERSIONS,
    LIST_PLACEHOLDERS,
    PUT_PLACEHOLDER,
    PlaceholderUpdate,
)
from shared.errors import AuroraError
from tests.integration.test_rules import execution
from tests.siem import Siem, siem
from tests.stack import Servers, data_folder


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(servers: Servers) -> AsyncIterator[Siem]:
    with data_folder() as folder:
        async with siem(servers, folder) as running:
            yield running


def rule(identifier: str, name: str) -> bytes:
    return f"""\
title: Somebody uses a tool
id: {identifier}
level: high
logsource: {{product: linux, category: process_creation}}
detection:
  sel:
    CommandLine|contains|expand: ' %{name}%'
  condition: sel
""".encode()


async def problem_of(client: Client, rule_id: str) -> str | None:
    return (await client.call(GET_RULE, path={"rule_id": rule_id})).problem


async def count_of(running: Siem, client: Client, rule_id: str, marker: str, enough: Callable[[int], bool]) -> int:
    """Sends an event with the marker and waits for the count of the rule's alert."""
    await running.ingest("\n".join(execution(marker)), content_type="text/plain")
    async with asyncio.timeout(30):
        while True:
            page = await client.call(LIST_ALERTS, query=AlertQuery(rule_id=rule_id))
            count = page.items[0].count if page.items else 0
            if enough(count):
                return count
            await asyncio.sleep(0.05)


async def test_a_rule_is_served_with_the_values_of_its_list_and_changes_with_them(running: Siem) -> None:
    identifier, name, tag = new_id(), f"tools.{new_id()[-8:]}", new_id()[-8:]
    async with running.client() as client:
        created = await client.call(CREATE_RULE, body=rule(identifier, name))
        assert f"%{name}%" in (created.problem or "")
        put = PlaceholderUpdate(values=[f"evil{tag}", f"odd?{tag}"], description="tools", reason="seen in May")
        change = await client.call(PUT_PLACEHOLDER, path={"name": name}, body=put)
        assert (change.rules, change.placeholder.version) == ([identifier], 1)
        assert await problem_of(client, identifier) is None
        assert await count_of(running, client, identifier, f"evil{tag}", lambda count: count == 1)
        assert await count_of(running, client, identifier, f"oddX{tag}", lambda count: count == 2)
        log = (await client.call(SEARCH_LOGS, query=LogQuery(q=f"evil{tag}"))).items[0]
        explained = await client.call(EXPLAIN_RULE, path={"rule_id": identifier}, body=Explain(log_id=log.id))
        assert explained.matched, "an explanation has the values too"
        again = PlaceholderUpdate(values=[f"other{tag}"])
        assert (await client.call(PUT_PLACEHOLDER, path={"name": name}, body=again)).rules == [identifier]
        await running.ingest("\n".join(execution(f"evil{tag}")), content_type="text/plain")
        assert await count_of(running, client, identifier, f"other{tag}", lambda count: count > 2) == 3


async def test_a_deleted_list_takes_its_rules_with_it_and_keeps_its_history(running: Siem) -> None:
    identifier, name = new_id(), f"gone.{new_id()[-8:]}"
    async with running.client() as client:
        put = PlaceholderUpdate(values=["x", "x", "y"], reason="first")
        assert (await client.call(PUT_PLACEHOLDER, path={"name": name}, body=put)).placeholder.values == ["x", "y"]
        assert (await client.call(CREATE_RULE, body=rule(identifier, name))).problem is None
        assert (await client.call(DELETE_PLACEHOLDER, path={"name": name})).rules == [identifier]
        assert f"%{name}%" in (await problem_of(client, identifier) or "")
        with pytest.raises(AuroraError, match="AURORA-4040"):
            await client.call(GET_PLACEHOLDER, path={"name": name})
        with pytest.raises(AuroraError, match="AURORA-4040"):
            await client.call(DELETE_PLACEHOLDER, path={"name": name})
        listed = [item.name for item in (await client.call(LIST_PLACEHOLDERS, query=PageQuery(limit=200))).items]
        assert name not in listed
        versions = await client.call(LIST_PLACEHOLDER_VERSIONS, path={"name": name}, query=PageQuery())
        told = [(item.version, item.deleted, item.reason, item.created_by) for item in versions.items]
        assert told == [(2, True, "", "test"), (1, False, "first", "test")]
        assert (await client.call(PUT_PLACEHOLDER, path={"name": name}, body=put)).placeholder.version == 3
        assert await problem_of(client, identifier) is None


async def test_a_rule_stored_while_its_list_changes_has_the_list_in_force(running: Siem) -> None:
    name = f"race.{new_id()[-8:]}"
    identifiers = [new_id() for _ in range(6)]
    async with running.client() as client, asyncio.TaskGroup() as group:
        for number, identifier in enumerate(identifiers):
            group.create_task(client.call(CREATE_RULE, body=rule(identifier, name)))
            put = PlaceholderUpdate(values=[f"v{number}"])
            group.create_task(client.call(PUT_PLACEHOLDER, path={"name": name}, body=put))
    async with running.client() as client:
        assert [await problem_of(client, identifier) for identifier in identifiers] == [None] * 6
        newest = await client.call(GET_PLACEHOLDER, path={"name": name})
        same = PlaceholderUpdate(values=newest.values)
        assert (await client.call(PUT_PLACEHOLDER, path={"name": name}, body=same)).rules == []


async def test_a_list_needs_a_name_that_a_path_can_hold_and_values(running: Siem) -> None:
    async with running.client() as client:
        for name, values in (("a|b", ["x"]), ("x" * 65, ["x"]), ("empty", []), ("empty", [""])):
            with pytest.raises(AuroraError, match="AURORA-4220"):
                await client.call(PUT_PLACEHOLDER, path={"name": name}, body=PlaceholderUpdate(values=values))
