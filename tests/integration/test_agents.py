"""The agents of a real stack, asked over JSON-RPC, on the recorded intrusion and the administration around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from cli import session
from cli.paging import every
from cli.replay.recording import Recording
from cli.session import Session
from services.agents.toolkit.records import MAX_RESULT_BYTES
from shared.clock import new_id
from shared.config import read_secret
from shared.content import content_address
from shared.contracts.agents import AGENT_IDS, ANALYZE_THREAT, DESCRIBE, AnalyzeThreat, Assessment, Nothing
from shared.contracts.alerts import CREATE_ALERT, LIST_ALERTS, Alert, AlertCreate, AlertEvidence, AlertQuery
from shared.contracts.common import Observable
from shared.contracts.investigations import Investigation
from shared.contracts.logs import INGEST_LOGS, SEARCH_LOGS, IngestQuery, LogQuery
from shared.contracts.wire import encode
from shared.errors import ALERT_NOT_FOUND, AuroraError
from shared.rpc import Peer
from tests.stack import Stack, data_folder, running_stack
from tests.system.waiting import found, verdict_on

ROOT = Path(__file__).parents[2]
#: The answers must fit one frame of 1 MiB with room to spare.
MAX_ASSESSMENT = 700 * 1024
#: Who sees what the intruder did on the host; what others look for isn't in it.
SEEING = {"triage", "endpoint_analyst", "threat_intel"}
UNKNOWN = "ALRT-2026-999999"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One stack for all tests of this file."""
    with data_folder() as folder, running_stack(folder) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(stack: Stack) -> AsyncIterator[Session]:
    """The admin, signed in."""
    async with session.opened(session.find(stack.data_dir, None)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alerts(api: Session) -> list[Alert]:
    """The alerts of the whole recording, attack and administration."""
    recording = Recording(ROOT / "samples")
    for file in recording.manifest.files:
        body = (ROOT / "samples" / file.path).read_bytes()
        headers = {"Content-Type": file.content_type}
        await api.call(INGEST_LOGS, query=IngestQuery(source=file.source), body=body, headers=headers)

    async def raised() -> list[Alert] | None:
        listed = await every(api, LIST_ALERTS, AlertQuery())
        return listed if len({alert.rule_id for alert in listed}) >= 18 else None

    return await found(raised, "the alerts of the recording", 60.0)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def investigations(api: Session, alerts: list[Alert]) -> dict[str, Investigation]:
    """Alert title -> its investigation at its end."""
    return {alert.title: await verdict_on(api, alert.id) for alert in alerts}


@asynccontextmanager
async def peer(stack: Stack, agent: str) -> AsyncIterator[Peer]:
    """A client of one agent with the operator's token."""
    place = stack.runtime.agents[agent]
    async with Peer(place.url, lambda: read_secret(Path(place.token_file))) as opened:
        yield opened


async def analyze(stack: Stack, agent: str, params: AnalyzeThreat) -> Assessment:
    async with peer(stack, agent) as asked:
        return await asked.call(ANALYZE_THREAT, params, timeout=60)


def named(alerts: list[Alert], title: str) -> Alert:
    return next(alert for alert in alerts if alert.title == title)


def test_every_alert_of_the_intrusion_ends_as_malicious(investigations: dict[str, Investigation]) -> None:
    missed = {title: item.verdict for title, item in investigations.items() if item.verdict != "malicious"}
    assert missed == {}


def test_every_specialist_of_hosts_contributes_to_the_verdict_on_a_command(
    investigations: dict[str, Investigation],
) -> None:
    ended = investigations["Base64 Decoded Into a Shell"]
    assert SEEING <= {finding.agent for finding in ended.findings} <= set(AGENT_IDS)
    assert {"T1140", "T1110.001"} <= set(ended.mitre_techniques)
    assert Observable("ip", "127.0.66.66") in ended.iocs
    tools = {citation.tool for citation in ended.citations}
    assert {
        "get_alert",
        "get_event",
        "decode_command",
        "process_tree",
        "activity",
        "session_origin",
        "sightings",
    } <= tools


@pytest.mark.parametrize("agent", AGENT_IDS)
async def test_each_finding_cites_results_that_are_delivered_and_true_to_their_address(
    stack: Stack, alerts: list[Alert], agent: str
) -> None:
    alert = named(alerts, "Reverse Shell Through /dev/tcp or Netcat")
    assessment = await analyze(stack, agent, AnalyzeThreat(alert_id=alert.id, iocs=[Observable("ip", "127.0.66.66")]))
    if agent in SEEING:
        assert assessment.verdict == "malicious"
        assert assessment.findings
    assert assessment.verdict != "benign"
    delivered = {citation.id for citation in assessment.citations}
    for finding in assessment.findings:
        assert finding.citations
        assert delivered.issuperset(finding.citations)
    for citation in assessment.citations:
        assert citation.id == content_address(citation.tool, citation.arguments, citation.result)
        assert len(encode(citation.result)) <= MAX_RESULT_BYTES
    assert len(encode(assessment)) < MAX_ASSESSMENT


@pytest.mark.parametrize("agent", AGENT_IDS)
@pytest.mark.usefixtures("investigations")  # until it has ended, the alert itself still changes
async def test_the_same_question_gets_the_same_verdict(stack: Stack, alerts: list[Alert], agent: str) -> None:
    params = AnalyzeThreat(alert_id=named(alerts, "Setuid Bit Set on a Program").id)
    one, two = await analyze(stack, agent, params), await analyze(stack, agent, params)
    assert (one.verdict, one.confidence, one.findings) == (two.verdict, two.confidence, two.findings)
    assert {citation.id for citation in one.citations} == {citation.id for citation in two.citations}


@pytest.mark.parametrize("agent", AGENT_IDS)
async def test_indicators_of_an_alert_that_nobody_knows_are_assessed_and_the_gap_is_told(
    stack: Stack, agent: str
) -> None:
    params = AnalyzeThreat(alert_id=UNKNOWN, iocs=[Observable("ip", "45.33.32.156")])
    assessment = await analyze(stack, agent, params)
    assert assessment.verdict == "undetermined"
    assert assessment.iocs == params.iocs
    assert any(UNKNOWN in note or "AURORA-4042" in note for note in assessment.not_checked)


@pytest.mark.parametrize("alert_id", [UNKNOWN, "ALRT-1", "../../etc/passwd", None])
async def test_without_an_alert_and_indicators_there_is_nothing_to_analyse(stack: Stack, alert_id: str | None) -> None:
    async with peer(stack, "triage") as asked:
        with pytest.raises(AuroraError) as refused:
            await asked.call(ANALYZE_THREAT, AnalyzeThreat(alert_id=alert_id), timeout=60)
    assert refused.value.code is ALERT_NOT_FOUND


async def test_an_indicator_is_assessed_in_its_normal_form(stack: Stack) -> None:
    assessment = await analyze(stack, "threat_intel", AnalyzeThreat(iocs=[Observable("ip", "127[.]0[.]66[.]66")]))
    assert assessment.iocs == [Observable("ip", "127.0.66.66")]
    # How the address behaved lately depends on when the recording is looked at; that it is ordinary is never said.
    assert assessment.verdict != "benign"


@pytest.mark.parametrize(
    "ordinary",
    ['user.name:alice process.command_line:"*apt-get*"', "user.target.name:carol", "user.name:bob process.name:id"],
)
async def test_administration_that_a_rule_dislikes_is_not_called_an_attack(
    api: Session, alerts: list[Alert], ordinary: str
) -> None:
    del alerts  # they say that the logs are there
    events = (await api.call(SEARCH_LOGS, query=LogQuery(q=f"host.name:web01 {ordinary}", limit=3))).items
    assert events
    evidence = [AlertEvidence(log_id=event.id, timestamp=event.timestamp, message=event.message) for event in events]
    entities = {"host": "web01", "user": str(events[0].ecs.get("user.name", "root"))}
    noisy = AlertCreate(title="A noisy rule", severity="medium", evidence=evidence, entities=entities)
    raised = await api.call(CREATE_ALERT, body=noisy)
    assert (await verdict_on(api, raised.id)).verdict in ("benign", "undetermined")


async def test_every_agent_says_who_it_is_and_that_it_is_well(stack: Stack) -> None:
    for agent in AGENT_IDS:
        async with peer(stack, agent) as asked:
            described = await asked.call(DESCRIBE, Nothing(), timeout=10)
        assert described.agent == agent
        assert "get_alert" in described.tools
        place = stack.runtime.agents[agent].url.replace("ws://", "http://")
        async with aiohttp.ClientSession() as http:
            for probe in ("liveness", "readiness"):
                async with http.get(f"{place}/health/{probe}") as response:
                    assert response.status == 200


async def test_a_stranger_is_turned_away(stack: Stack) -> None:
    async with Peer(stack.runtime.agents["triage"].url, lambda: f"not-a-token-{new_id()}") as stranger:
        with pytest.raises(AuroraError):
            await stranger.call(DESCRIBE, Nothing(), timeout=10)
