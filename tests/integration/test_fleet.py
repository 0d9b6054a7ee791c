"""The agent fleet of a real stack: tools, tool calls, and investigations run again over their record.

The agents' process is killed and started anew before the replays: nothing of a verdict may depend on one process.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from cli import session
from cli.paging import every
from cli.session import Session
from shared.clock import new_id
from shared.contracts.agents import AGENT_IDS
from shared.contracts.alerts import CREATE_ALERT, AlertCreate, AlertEvidence
from shared.contracts.common import Severity
from shared.contracts.fleet import LIST_AGENT_TOOLS, LIST_AGENTS, LIST_TOOL_CALLS, ToolCall, ToolCallQuery
from shared.contracts.investigations import DISPATCH, DispatchRequest, Investigation
from shared.contracts.logs import INGEST_LOGS, SEARCH_LOGS, IngestQuery, LogEvent, LogQuery
from shared.contracts.replays import REPLAY_INVESTIGATION, InvestigationReplay, StepReplay
from shared.contracts.wire import decode, format_time
from shared.errors import AGENT_NOT_FOUND, NOT_FOUND, AuroraError
from shared.postgres import Database
from tests.stack import Stack, data_folder, running_stack, until
from tests.system.command import aurora
from tests.system.waiting import found, verdict_on

AUDIT = Path(__file__).parents[2] / "samples" / "recorded" / "audit.log"
#: "/dev/tcp", as auditd writes a command that has spaces.
SOCKET = b"/dev/tcp".hex().upper()
#: All lines of one record have the same.
RECORD = re.compile(r"audit\([\d.]+:\d+\)")
#: Longer than any host that a question may name: the tool that asks for it is refused.
LONG_HOST = "h" * 300


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack for all tests of this file."""
    with data_folder() as folder, running_stack(folder) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(stack: Stack) -> AsyncIterator[Session]:
    """The admin, signed in, with two moments of the recorded audit log stored."""
    async with session.opened(session.find(stack.data_dir, None)) as opened:
        headers = {"Content-Type": "text/plain"}
        await opened.call(INGEST_LOGS, query=IngestQuery(source="auditd"), body=recorded(), headers=headers)
        yield opened


def recorded() -> bytes:
    """The records of a shell on a socket, and of somebody who asks for his own name."""
    lines = AUDIT.read_text().split("\n")
    telling = [line for line in lines if SOCKET in line or ('comm="id"' in line and 'UID="bob"' in line)]
    records = {match.group() for line in telling if (match := RECORD.search(line))}
    kept = [line for line in lines if (match := RECORD.search(line)) and match.group() in records]
    return "\n".join(kept).encode()


@dataclass
class Cases:
    """Investigations at their end."""

    malicious: Investigation
    benign: Investigation
    partial: Investigation


async def events(api: Session, q: str) -> list[LogEvent]:
    async def stored() -> list[LogEvent] | None:
        return (await api.call(SEARCH_LOGS, query=LogQuery(q=q, limit=3))).items or None

    return await found(stored, f"events of {q}")


async def raised(
    api: Session, title: str, seen: list[LogEvent], entities: dict[str, str], severity: Severity = "medium"
) -> Investigation:
    """The end of the investigation of an alert on these events."""
    evidence = [AlertEvidence(log_id=event.id, timestamp=event.timestamp, message=event.message) for event in seen]
    body = AlertCreate(title=title, severity=severity, evidence=evidence, entities=entities)
    return await verdict_on(api, (await api.call(CREATE_ALERT, body=body)).id)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cases(stack: Stack, api: Session) -> Cases:
    """Three ends, and then another process of the agents."""
    attack = await events(api, 'process.command_line:"*/dev/tcp/*"')
    ordinary = await events(api, "user.name:bob process.name:id")
    made = Cases(
        malicious=await raised(api, "A shell on a socket", attack, {"host": "fleet-attacked"}),
        benign=await raised(api, "A noisy rule", ordinary, {"user": "fleet-bob"}, "info"),
        partial=await raised(api, "A rule with a strange host", attack, {"host": LONG_HOST}),
    )
    before = stack.runtime.services["agents"].pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await until(lambda: stack.runtime.services["agents"].pid not in (None, before), "another process of the agents")
    await found(lambda: _all_up(api), "all agents back")
    return made


async def _all_up(api: Session) -> bool | None:
    listed = (await api.call(LIST_AGENTS)).items
    return True if all(agent.status == "up" and agent.instances for agent in listed) else None


async def replayed(api: Session, investigation: Investigation) -> InvestigationReplay:
    return await api.call(REPLAY_INVESTIGATION, path={"investigation_id": investigation.id})


async def calls_of(api: Session, agent: str, query: ToolCallQuery) -> list[ToolCall]:
    return await every(api, LIST_TOOL_CALLS, query, path={"agent_id": agent})


async def test_every_agent_is_listed_with_the_processes_that_serve_it(api: Session, cases: Cases) -> None:
    del cases
    listed = (await api.call(LIST_AGENTS)).items
    assert [agent.id for agent in listed] == list(AGENT_IDS)
    for agent in listed:
        assert (agent.status, len(agent.instances)) == ("up", 1)
        assert agent.instances[0].version == agent.version
        assert "analyze_threat" in agent.methods
        assert agent.last_seen is not None


async def test_an_agent_shows_its_tools_with_the_schema_of_their_arguments(api: Session) -> None:
    tools = {tool.name: tool for tool in (await api.call(LIST_AGENT_TOOLS, path={"agent_id": "triage"})).items}
    assert {"get_alert", "get_event", "decode_command"} <= tools.keys()
    assert (tools["get_alert"].permission, tools["decode_command"].permission) == ("alerts:read", None)
    schema = tools["get_alert"].arguments
    assert schema["$defs"]["AlertArguments"]["properties"]["alert_id"] == {"type": "string"}


async def test_an_agent_that_nobody_knows_is_told_by_its_code(stack: Stack, api: Session) -> None:
    with pytest.raises(AuroraError) as tools:
        await api.call(LIST_AGENT_TOOLS, path={"agent_id": "nobody"})
    with pytest.raises(AuroraError) as calls:
        await api.call(LIST_TOOL_CALLS, path={"agent_id": "nobody"})
    assert tools.value.code is calls.value.code is AGENT_NOT_FOUND
    url = f"{stack.runtime.gateway}/api/v1/ws/agents/nobody/tool-calls"
    headers = {"Authorization": f"Bearer {stack.admin_token()}"}
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as handshake:
            await http.ws_connect(url, headers=headers)
    assert handshake.value.status == 404


async def test_every_citation_of_a_verdict_can_be_looked_up(api: Session, cases: Cases) -> None:
    assert cases.malicious.verdict == "malicious"
    for agent in sorted({citation.agent for citation in cases.malicious.citations}):
        kept = {
            call.id: call for call in await calls_of(api, agent, ToolCallQuery(investigation_id=cases.malicious.id))
        }
        for citation in (item for item in cases.malicious.citations if item.agent == agent):
            call = kept[citation.id]
            assert (call.tool, call.arguments, call.result) == (citation.tool, citation.arguments, citation.result)
            # An agent that was asked by another one called its tools for that one.
            assert (call.status, call.caller in ("service:orchestrator", "service:agents")) == ("completed", True)
    last = cases.malicious.citations[-1]
    [looked_up] = await calls_of(
        api, last.agent, ToolCallQuery(id=last.id, tool=last.tool, investigation_id=cases.malicious.id)
    )
    assert looked_up.finished_at == last.executed_at


async def test_a_refused_call_is_kept_with_the_reason(api: Session, cases: Cases) -> None:
    query = ToolCallQuery(investigation_id=cases.partial.id, status="refused")

    async def kept() -> list[ToolCall] | None:
        return await calls_of(api, "triage", query) or None

    refused = await found(kept, "the refused call")
    assert {call.tool for call in refused} == {"nearby_alerts"}
    assert {(call.code, call.result) for call in refused} == {("AURORA-4220", None)}
    assert any("nearby_alerts" in note for note in cases.partial.not_checked)
    assert await calls_of(api, "triage", ToolCallQuery(investigation_id=cases.benign.id, status="refused")) == []


@pytest.mark.parametrize("name", ["malicious", "benign", "partial"])
async def test_a_replay_comes_to_the_same_bytes(api: Session, cases: Cases, name: str) -> None:
    investigation: Investigation = getattr(cases, name)
    assert investigation.verdict == {"malicious": "malicious", "benign": "benign"}.get(name, investigation.verdict)
    again = await replayed(api, investigation)
    assert [(step.agent, step.status, step.difference, step.unrecorded) for step in again.steps] == [
        (step.agent, "identical" if step.status == "completed" else "skipped", None, []) for step in investigation.steps
    ]
    assert (again.identical, again.difference) == (True, None)
    assert again.replayed_verdict == again.verdict == investigation.verdict
    assert all(step.version_then and step.version_now for step in again.steps if step.status == "identical")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def records(stack: Stack) -> AsyncIterator[Database]:
    """The orchestrator's tables, with the administrator's rights."""
    database = await Database.connect(stack.runtime.postgres)
    yield database
    await database.close()


def step_of(again: InvestigationReplay, agent: str) -> StepReplay:
    return next(step for step in again.steps if step.agent == agent)


async def test_an_altered_record_is_named_and_where_it_leads_elsewhere(api: Session, records: Database) -> None:
    seen = await events(api, "user.name:bob process.name:id")
    own = await raised(api, "A rule of one test", seen, {"user": f"fleet-{new_id()}"})
    [identifier] = await _ids(
        records,
        """UPDATE orchestrator.tool_calls SET result = jsonb_set(result, '{severity}', '"critical"')
           WHERE investigation_id = $1 AND agent = 'triage' AND tool = 'get_alert' RETURNING id""",
        own.id,
    )
    again = await replayed(api, own)
    triage = step_of(again, "triage")
    assert not again.identical
    assert (triage.status, triage.altered, triage.unrecorded) == ("different", [identifier], [])
    assert triage.difference is not None
    assert triage.difference.path.startswith("citations[")
    assert (triage.difference.recorded, triage.difference.replayed) == ("medium", "critical")
    assert {step.status for step in again.steps if step.agent != "triage"} <= {"identical", "skipped"}


async def _ids(records: Database, sql: str, *arguments: object) -> list[str]:
    return [row["id"] for row in await records.fetch(sql, *arguments)]


async def test_only_an_investigation_that_exists_is_replayed(api: Session) -> None:
    with pytest.raises(AuroraError) as refusal:
        await api.call(REPLAY_INVESTIGATION, path={"investigation_id": new_id()})
    assert refusal.value.code is NOT_FOUND


async def test_who_watches_an_agent_sees_its_tool_calls_and_no_others(stack: Stack, api: Session) -> None:
    url = f"{stack.runtime.gateway}/api/v1/ws/agents/triage/tool-calls"
    headers = {"Authorization": f"Bearer {stack.admin_token()}"}
    params = {"iocs": [{"type": "ip", "value": "198.51.100.77"}], "alert_id": "ALRT-2026-999998"}
    async with aiohttp.ClientSession() as http, http.ws_connect(url, headers=headers) as socket:
        await api.call(DISPATCH, body=DispatchRequest(agent="threat_intel", params=params))
        record = await api.call(DISPATCH, body=DispatchRequest(agent="triage", params=params))
        async with asyncio.timeout(15):
            while True:
                frame = decode(await socket.receive_str(), dict[str, Any])
                assert frame["type"] == "aurora.agents.tool-calls"
                assert frame["data"]["agent"] == "triage"
                if frame["data"]["handoff_id"] == record.id:
                    break
    assert (frame["data"]["tool"], frame["data"]["code"]) == ("get_alert", "AURORA-4042")


async def test_the_command_line_follows_an_investigation_and_replays_it(stack: Stack, cases: Cases) -> None:
    alert = cases.benign.alert_ids[0]
    followed = await aurora("investigate", alert, "--follow", "--agent", "triage", data_dir=stack.data_dir)
    assert followed.code == 0, followed.err
    assert "triage analyze_threat completed" in followed.err
    assert "triage tool get_alert" in followed.err
    first = followed.out.splitlines()[0]
    assert "benign" in first
    again = await aurora("replay", first.split()[0], data_dir=stack.data_dir)
    assert (again.code, again.out.splitlines()[0]) == (0, "triage analyze_threat: identical"), again
    assert again.out.splitlines()[-1] == f"{first.split()[0]}: identical, benign"
    shown = await aurora("agents", "calls", "triage", "--investigation", first.split()[0], data_dir=stack.data_dir)
    assert "get_alert" in shown.out


async def test_the_status_shows_each_instance_of_an_agent_with_its_card_and_its_start(
    stack: Stack, api: Session
) -> None:
    listed = (await api.call(LIST_AGENTS)).items
    told = await aurora("status", "--json", data_dir=stack.data_dir)
    agents = {agent["id"]: agent for agent in decode(told.out, dict[str, Any])["agents"]}
    shown = await aurora("status", data_dir=stack.data_dir)
    for agent in listed:
        for instance in agent.instances:
            assert instance.instance in {item["instance"] for item in agents[agent.id]["instances"]}
            assert instance.card in shown.out
            assert format_time(instance.started_at) in shown.out
