"""The path through the real, whole stack: from a log line to the verdict, and every place where it can be watched."""

from __future__ import annotations

import hashlib
import json
import secrets
import zipfile
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from cli.paging import every
from cli.replay.recording import Recording
from cli.session import Session
from shared.client import Client
from shared.config import read_secret
from shared.contracts.agents import AGENT_IDS, tool_result_payload
from shared.contracts.alerts import CREATE_ALERT, Alert, AlertCreate
from shared.contracts.constants import Endpoint
from shared.contracts.identity import CREATE_TOKEN, GET_CURRENT_USER, LOGOUT, TokenRequest
from shared.contracts.investigations import Investigation
from shared.contracts.logs import INGEST_LOGS, SEARCH_LOGS, IngestQuery, IngestReceipt, LogEvent, LogQuery
from shared.contracts.system import WS_ALERTS, WS_RECEIPTS, StreamFrame, StreamQuery
from shared.contracts.wire import to_builtins
from shared.errors import DUPLICATE_ALERT, AuroraError
from tests.stack import Stack
from tests.system.command import Ended, aurora
from tests.system.waiting import alert_of, found, verdict_on

STAGE = "encoded-command"
#: Aurora's own rule that finds it: "Base64 Decoded Into a Shell".
RULES = Path("services/siem/detections/rules")
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Passage:
    """What one intrusion left on its way. `trace_id` and `request_id` are those of the request that brought it."""

    trace_id: str
    request_id: str
    receipt: IngestReceipt
    events: list[LogEvent]
    alert: Alert
    investigation: Investigation


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def path(api: Session) -> Passage:
    """A stage of the recorded intrusion, sent in one request and followed to its verdict."""
    trace_id, request_id = secrets.token_hex(16), f"test-{secrets.token_hex(8)}"
    headers = {
        "Content-Type": "text/plain",
        "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
        "X-Request-ID": request_id,
    }
    query = IngestQuery(source="web01/audit")
    receipt = await api.call(INGEST_LOGS, query=query, body=stage_lines(STAGE), headers=headers)
    events = await every(api, SEARCH_LOGS, LogQuery(receipt=receipt.receipt))
    alert = await alert_of(api, rule_id("Base64 Decoded Into a Shell"))
    return Passage(trace_id, request_id, receipt, events, alert, await verdict_on(api, alert.id))


def stage_lines(stage: str) -> bytes:
    """The audit records of one stage of the recording."""
    recording = Recording(ROOT / "samples")
    parts = [part for part in recording.manifest.attack if part.stage == stage and part.path.endswith("audit.log")]
    lines = (ROOT / "samples" / parts[0].path).read_bytes().split(b"\n")
    return b"\n".join(line for part in parts for first, last in part.lines for line in lines[first - 1 : last])


def rule_id(title: str) -> str:
    """The id of one of Aurora's own rules."""
    for file in (ROOT / RULES).glob("*.yml"):
        lines = dict(line.partition(": ")[::2] for line in file.read_text().splitlines())
        if lines.get("title") == title:
            return lines["id"]
    raise AssertionError(f"no rule is called {title}")


def test_an_acknowledged_event_is_searchable(path: Passage) -> None:
    assert path.receipt.rejected == 0
    assert path.receipt.accepted == len(stage_lines(STAGE).split(b"\n"))
    assert sorted(event.raw for event in path.events) == sorted(stage_lines(STAGE).decode().split("\n"))


def test_an_alert_points_at_the_events_that_raised_it(path: Passage) -> None:
    stored = {event.id for event in path.events}
    assert path.alert.evidence
    assert {item.log_id for item in path.alert.evidence} <= stored
    assert "T1140" in path.alert.mitre_techniques
    assert path.alert.entities["host"] == "web01"


def test_the_verdict_rests_on_stored_tool_results_of_every_specialist(path: Passage) -> None:
    found_out = path.investigation
    assert found_out.verdict == "malicious"
    assert path.alert.id in found_out.alert_ids
    assert {"triage", "endpoint_analyst", "threat_intel"} <= {step.agent for step in found_out.steps} <= set(AGENT_IDS)
    assert {step.status for step in found_out.steps} == {"completed"}
    cited = {citation.id: citation for citation in found_out.citations}
    assert found_out.findings
    assert all(finding.citations and set(finding.citations) <= cited.keys() for finding in found_out.findings)
    for citation in cited.values():
        payload = tool_result_payload(citation.tool, citation.arguments, citation.result)
        canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert citation.id == "tr_" + hashlib.sha256(canonical.encode()).hexdigest()[:32]


async def first_frame(
    api: Session,
    endpoint: Endpoint[StreamQuery, None, StreamFrame],
    since: int,
    kind: str,
    identifier: str,
    **shown: Any,
) -> StreamFrame:
    """The first frame after `since` that shows this object, with these fields."""

    async def ask() -> StreamFrame | None:
        async with aclosing(api.stream(endpoint, StreamQuery(since=since))) as frames:
            async for frame in frames:
                told = frame.data
                if frame.type == kind and told["id"] == identifier and shown.items() <= told.items():
                    return frame
        return None

    return await found(ask, f"a frame {kind} of {identifier}")


async def test_sockets_show_alert_and_receipt_and_resume_where_a_client_left_off(api: Session, path: Passage) -> None:
    created = await first_frame(api, WS_ALERTS, 0, "aurora.alerts.created", path.alert.id)
    assert created.data["title"] == path.alert.title
    again = await first_frame(api, WS_ALERTS, created.sequence - 1, "aurora.alerts.created", path.alert.id)
    assert again == created
    # Behind it comes what came later: the alert's link to its investigation.
    later = await first_frame(api, WS_ALERTS, created.sequence, "aurora.alerts.updated", path.alert.id)
    assert later.sequence > created.sequence
    assert later.data["investigation_id"] == path.investigation.id
    # Alerts that join let an investigation go on: it has a receipt each time it ends.
    ended = {"completed_at": to_builtins(path.investigation)["completed_at"]}
    receipt = await first_frame(
        api, WS_RECEIPTS, created.sequence, "aurora.investigations.completed", path.investigation.id, **ended
    )
    assert msgspec.convert(receipt.data, Investigation) == path.investigation


async def test_tail_prints_every_event_of_the_path(stack: Stack, api: Session, path: Passage) -> None:
    receipt = await first_frame(api, WS_RECEIPTS, 0, "aurora.investigations.completed", path.investigation.id)
    count = str(receipt.sequence)
    printed = await aurora("tail", "--since", "0", "--count", count, "--json", data_dir=stack.data_dir)
    assert (printed.code, printed.err) == (0, "")
    types = {event["type"] for event in printed.values()}
    assert types >= {
        "aurora.alerts.created",
        "aurora.detections.matched",
        "aurora.investigations.created",
        "aurora.investigations.completed",
        "aurora.agents.thoughts",
    }
    lines = await aurora("tail", "aurora.alerts.created", "--since", "0", "--count", "1", data_dir=stack.data_dir)
    sequence, _time, subject, summary = lines.out.splitlines()[0].split(" ", 3)
    assert (sequence.isdecimal(), subject) == (True, "aurora.alerts.created")
    assert summary.startswith("ALRT-")


async def test_one_trace_runs_from_the_request_to_the_specialists(stack: Stack, api: Session, path: Passage) -> None:
    for process in ("gateway", "siem", "orchestrator", "agents"):
        ids = {record.get("trace_id") for record in log_of(stack, process)}
        assert path.trace_id in ids, f"{process} logged nothing of the trace"
    receipt = await first_frame(api, WS_RECEIPTS, 0, "aurora.investigations.completed", path.investigation.id)
    count = str(receipt.sequence)
    printed = await aurora("tail", "--since", "0", "--count", count, "--json", data_dir=stack.data_dir)
    created = [
        event
        for event in printed.values()
        if event["type"] == "aurora.alerts.created" and event["data"]["alert"]["id"] == path.alert.id
    ]
    assert [event["traceparent"].split("-")[1] for event in created] == [path.trace_id]
    assert [event["requestid"] for event in created] == [path.request_id]


def log_of(stack: Stack, process: str) -> list[dict[str, Any]]:
    """The JSON lines of a process's log."""
    lines = (stack.data_dir / "logs" / f"{process}.log").read_text().splitlines()
    return [msgspec.json.decode(line) for line in lines if line.startswith("{")]


async def test_a_refresh_token_works_once_and_logout_ends_the_session(stack: Stack) -> None:
    runtime = stack.runtime
    password = read_secret(Path(runtime.admin.password_file))
    async with Client(runtime.gateway) as door:
        first = await door.call(CREATE_TOKEN, body=TokenRequest(username="admin", password=password))
        refresh = TokenRequest(grant_type="refresh_token", refresh_token=first.refresh_token)
        second = await door.call(CREATE_TOKEN, body=refresh)
        async with Client(runtime.gateway, token=lambda: second.access_token) as client:
            assert (await client.call(GET_CURRENT_USER)).username == "admin"
            await client.call(LOGOUT)
            with pytest.raises(AuroraError) as refusal:
                await client.call(GET_CURRENT_USER)
            assert refusal.value.code.status == 401
        with pytest.raises(AuroraError) as refusal:
            await door.call(CREATE_TOKEN, body=refresh)
        assert refusal.value.code.status == 401


RULE = """title: The Word of the Test
id: 0c9a4a8e-52ce-4e4c-9d3f-7a4b8d4a7c11
status: experimental
logsource:
  product: linux
detection:
  keywords:
    - zanzibarquokka
  condition: keywords
level: high
tags:
  - attack.t1059.004
"""
LINE = "2026-11-22T03:00:00.{0:03d}+00:00 web02 app[{0}]: the word is ZanzibarQuokka\n"


async def test_an_imported_rule_matches_and_its_matches_are_counted_on_one_alert(
    stack: Stack, api: Session, tmp_path: Path
) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "good.yml").write_text(RULE)
    (tmp_path / "rules" / "bad.yml").write_text("title: No Detection\nlogsource:\n  product: linux\n")
    imported = await aurora("rules", "import", tmp_path / "rules", "--json", data_dir=stack.data_dir)
    [report] = imported.values()
    assert (imported.code, report["created"], len(report["errors"])) == (1, 1, 1)
    assert report["errors"][0]["file"].endswith("bad.yml")
    logs = tmp_path / "app.log"
    logs.write_text(LINE.format(1))
    assert (await aurora("ingest", logs, data_dir=stack.data_dir)).code == 0
    first = await alert_of(api, "0c9a4a8e-52ce-4e4c-9d3f-7a4b8d4a7c11")
    logs.write_text(LINE.format(2) + LINE.format(3))
    assert (await aurora("ingest", logs, data_dir=stack.data_dir)).code == 0
    second = await alert_of(api, "0c9a4a8e-52ce-4e4c-9d3f-7a4b8d4a7c11", count=3)
    assert (second.id, second.count) == (first.id, 3)
    listed = await aurora("alerts", "list", "--host", "web02", "--json", data_dir=stack.data_dir)
    assert [alert["id"] for alert in listed.values()] == [first.id]


async def test_logs_are_found_and_counted_on_the_command_line(stack: Stack, tmp_path: Path) -> None:
    logs = tmp_path / "search.log"
    logs.write_text("".join(f"2026-11-22T0{n}:00:00+00:00 web04 app[{n}]: PurpleOcelot number {n}\n" for n in range(5)))
    assert (await aurora("ingest", logs, data_dir=stack.data_dir)).code == 0
    query = ("search", "purpleocelot and not process.pid:4", "--since", "2026-11-22")
    found = await aurora(*query, "--top", "host.name", "--json", data_dir=stack.data_dir)
    assert found.code == 0, found.err
    [page] = found.values()
    assert [event["ecs"]["process.pid"] for event in page["items"]] == [3, 2, 1, 0]
    assert page["top"] == [{"value": "web04", "count": 4}]
    shown = await aurora(*query, "--limit", "1", "--histogram", "1h", data_dir=stack.data_dir)
    assert shown.code == 0
    assert "PurpleOcelot number 3" in shown.out
    assert "2026-11-22T02:00:00" in shown.out
    refused = await aurora("search", "purpleocelot (", data_dir=stack.data_dir)
    assert refused.code == 1
    assert "AURORA-4220" in refused.err
    assert "at character" in refused.err


OTHER_RULE = RULE.replace("zanzibarquokka", "madagascarquokka").replace("0c9a4a8e", "0c9a4a8f")
OTHER_LINE = "2026-11-22T03:00:00.{0:03d}+00:00 web03 app[{0}]: the word is MadagascarQuokka\n"


async def test_a_rule_lives_on_the_command_line_from_an_archive_to_a_suppression(
    stack: Stack, api: Session, tmp_path: Path
) -> None:
    async def rules(*arguments: str | Path) -> Ended:
        return await aurora("rules", *arguments, data_dir=stack.data_dir)

    identifier = "0c9a4a8f-52ce-4e4c-9d3f-7a4b8d4a7c11"
    archive = tmp_path / "rules.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("pack/good.yml", OTHER_RULE)
        packed.writestr("pack/bad.yml", "title: No Detection\nlogsource:\n  product: linux\n")
    imported = await rules("import", archive, "--json")
    [report] = imported.values()
    assert (imported.code, report["created"], report["errors"][0]["file"]) == (1, 1, f"{archive}/pack/bad.yml")
    assert (await rules("disable", identifier)).out.endswith(": disabled\n")
    assert (await rules("import", archive, "--json")).values()[0]["unchanged"] == 1
    assert (await rules("show", identifier, "--json")).values()[0]["enabled"] is False
    assert (await rules("enable", identifier)).out.endswith(": enabled\n")
    assert "madagascarquokka" in (await rules("show", identifier)).out
    logs = tmp_path / "app.log"
    logs.write_text(OTHER_LINE.format(1))
    assert (await aurora("ingest", logs, data_dir=stack.data_dir)).code == 0
    await alert_of(api, identifier)
    wanted = ("suppress", identifier, "--field", "host.name=web0*", "--reason", "a test", "--days", "1")
    assert "it would have hidden 1" in (await rules(*wanted, "--preview")).out
    assert "is in force" in (await rules(*wanted)).out
    assert (await rules("suppress", identifier, "--field", "nonsense", "--reason", "x")).code == 1
    [figures] = (await rules("metrics", "--json")).values()
    assert identifier in [item["rule_id"] for item in figures["items"]]
    assert "matches of" in (await rules("metrics")).out
    (tmp_path / "hosts.txt").write_text("dc2\n\ndc3\n")
    put = await rules("placeholders", "put", "hosts", "dc1", "--from", tmp_path / "hosts.txt", "--reason", "a test")
    assert put.out == "%hosts%: 3 values, version 1; rules compiled again: 0\n"
    assert "deleted" in (await rules("placeholders", "delete", "hosts")).out
    versions = (await rules("placeholders", "list", "hosts", "--json")).values()
    assert [(item["values"], item["reason"]) for item in versions] == [([], ""), (["dc1", "dc2", "dc3"], "a test")]


async def test_ingest_names_the_line_that_was_rejected(stack: Stack, tmp_path: Path) -> None:
    logs = tmp_path / "events.ndjson"
    logs.write_text('{"message": "one"}\n\n12\n{"message": "two"}\n')
    ended = await aurora("ingest", logs, data_dir=stack.data_dir)
    assert ended.code == 1
    assert "2 events accepted, 1 rejected" in ended.out
    assert f"{logs}:3: " in ended.err


async def test_a_duplicate_by_api_names_the_alert_that_exists(api: Session) -> None:
    asked = AlertCreate(title="Seen twice", source="test", source_ref=secrets.token_hex(8))
    first = await api.call(CREATE_ALERT, body=asked)
    with pytest.raises(AuroraError) as refusal:
        await api.call(CREATE_ALERT, body=asked)
    assert refusal.value.code is DUPLICATE_ALERT
    assert refusal.value.detail == {"alert_id": first.id}


async def test_investigate_follows_to_the_verdict_and_shows_what_it_rests_on(stack: Stack, path: Passage) -> None:
    ended = await aurora("investigate", path.alert.id, "--follow", data_dir=stack.data_dir)
    assert ended.code == 0
    assert "triage analyze_threat completed" in ended.err
    assert "malicious" in ended.out.splitlines()[0]
    # The same evidence gives the same records, so what the first verdict cites is cited again.
    cited = {citation for finding in path.investigation.findings for citation in finding.citations}
    assert any(citation in ended.out for citation in cited)


async def test_an_unknown_alert_and_a_malformed_one_are_one_clear_line(stack: Stack) -> None:
    ended = await aurora("investigate", "ALRT-2020-999999", data_dir=stack.data_dir)
    assert (ended.code, ended.err) == (1, "aurora: AURORA-4042 Alert not found\n")
    ended = await aurora("investigate", "nonsense", data_dir=stack.data_dir)
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert "AURORA-4220" in ended.err
    assert "body.alert_id" in ended.err


async def test_a_socket_without_a_session_is_refused(stack: Stack) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await http.ws_connect(f"{stack.runtime.gateway}{WS_ALERTS.path}")
        assert refusal.value.status == 401


async def test_a_key_made_on_the_command_line_ships_logs_until_it_is_revoked(stack: Stack) -> None:
    async def status_of(key: str) -> int:
        headers = {"Authorization": f"Splunk {key}"}
        url = f"{stack.runtime.gateway}/services/collector/event"
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, json={"event": "from a key's owner"}, headers=headers) as response,
        ):
            return response.status

    name = f"shipper {secrets.token_hex(4)}"

    async def listed() -> list[Any]:
        keys = (await aurora("keys", "list", "--json", data_dir=stack.data_dir)).values()
        return [item for item in keys if item["name"] == name]

    made = await aurora("keys", "create", name, "--scope", "siem:write", "--days", "1", data_dir=stack.data_dir)
    assert made.code == 0
    key = made.out.strip()
    assert key.startswith("aur_")
    assert key not in made.err
    assert await status_of(key) == 200
    [shown] = await listed()
    assert (shown["scopes"], "key" in shown) == (["siem:write"], False)
    assert (await aurora("keys", "list", data_dir=stack.data_dir)).out.count(name) == 1
    assert (await aurora("keys", "revoke", shown["id"], data_dir=stack.data_dir)).code == 0
    assert await status_of(key) == 401
    assert await listed() == []
    assert (await aurora("keys", "create", "x", "--scope", "root", data_dir=stack.data_dir)).code == 2
