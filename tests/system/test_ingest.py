"""`aurora ingest`, `aurora intel` and the embedded stack's syslog, end to end: folders, archives, a run cut short."""

from __future__ import annotations

import asyncio
import secrets
import socket
import zipfile
from pathlib import Path

from cli.session import Session
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogQuery
from tests.outside_rules import members
from tests.stack import AURORA, Stack
from tests.system.command import Ended, aurora

LINE = "Mar  1 12:00:00 web01 app[1]: number {}\n"


async def stored(api: Session, source: str) -> list[LogEvent]:
    """Every event of a source."""
    events: list[LogEvent] = []
    query = LogQuery(source=source, limit=200)
    while True:
        page = await api.call(SEARCH_LOGS, query=query)
        events += page.items
        if page.next_cursor is None:
            return events
        query = LogQuery(source=source, limit=200, cursor=page.next_cursor)


async def test_a_folder_with_an_archive_is_sent_once(stack: Stack, api: Session, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    (logs / "deep").mkdir(parents=True)
    (logs / "deep" / "app.log").write_text(LINE.format(1) + LINE.format(2))
    (logs / "picture.png").write_bytes(b"\x89PNG\0\0")
    with zipfile.ZipFile(logs / "more.zip", "w") as archive:
        archive.writestr("a.ndjson", '{"message": "three"}\n')
    first = await aurora("ingest", logs, "--source", "folder", "--json", data_dir=stack.data_dir)
    [report] = first.values()
    assert (report["accepted"], report["rejected"], report["already"]) == (3, 0, 0)
    assert [Path(skipped["file"]).name for skipped in report["skipped"]] == ["picture.png"]
    assert first.code == 1
    second = await aurora("ingest", logs, "--source", "folder", data_dir=stack.data_dir)
    assert "0 events accepted" in second.out
    assert "2 files were sent before" in second.err
    assert len(await stored(api, "folder")) == 3
    again = await aurora("ingest", logs / "deep", "--source", "folder", "--restart", data_dir=stack.data_dir)
    assert "2 events accepted" in again.out
    assert len(await stored(api, "folder")) == 5


async def test_a_run_that_was_killed_goes_on_and_stores_nothing_twice(
    stack: Stack, api: Session, tmp_path: Path
) -> None:
    logs, state = tmp_path / "large.log", tmp_path / "state.jsonl"
    logs.write_text("".join(LINE.format(number) for number in range(6_000)))
    arguments = ("ingest", str(logs), "--source", "killed", f"--state={state}")
    process = await asyncio.create_subprocess_exec(
        *AURORA, *arguments, f"--data-dir={stack.data_dir}", stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        assert b"up to 1000" in await process.stderr.readline()
        process.kill()
        await process.wait()
    ended = await aurora(*arguments, data_dir=stack.data_dir)
    assert ended.code == 0, ended.err
    assert "up to 1000\n" not in ended.err, "the first batch was known to be stored"
    messages = [event.message for event in await stored(api, "killed")]
    assert (len(messages), len(set(messages))) == (6_000, 6_000)


async def test_the_embedded_stack_takes_syslog_on_loopback(stack: Stack, api: Session) -> None:
    assert stack.runtime.syslog is not None
    host, _, port = stack.runtime.syslog.rpartition(":")
    address = (host, int(port))
    assert host == "127.0.0.1"
    with socket.create_connection(address, timeout=5) as stream:
        stream.sendall(b"<13>" + LINE.format("by tcp").encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.sendto(b"<13>" + LINE.format("by udp").encode(), address)
    async with asyncio.timeout(20):
        while len(events := await stored(api, "syslog:127.0.0.1")) < 2:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.05)
    assert {event.message for event in events} == {"app: number by tcp", "app: number by udp"}


async def test_a_windows_event_log_is_sent_as_it_is_and_once(stack: Stack, api: Session, tmp_path: Path) -> None:
    path, content = next(members("sigma-regression-dev.tar.xz", ".evtx"))
    file = tmp_path / path.name
    file.write_bytes(content)
    first = await aurora("ingest", file, "--source", "evtx", "--json", data_dir=stack.data_dir)
    [report] = first.values()
    assert (first.code, report["rejected"], report["skipped"]) == (0, 0, [])
    assert report["accepted"] == len(await stored(api, "evtx")) > 0
    second = await aurora("ingest", file, "--source", "evtx", data_dir=stack.data_dir)
    assert "0 events accepted" in second.out


async def test_intelligence_lives_on_the_command_line_from_an_archive_to_the_end_of_its_source(
    stack: Stack, tmp_path: Path
) -> None:
    async def intel(*arguments: str | Path) -> Ended:
        return await aurora("intel", *arguments, data_dir=stack.data_dir)

    name = secrets.token_hex(6)
    archive = tmp_path / f"{name}.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.csv", f"indicator,confidence,malware\n{name}.example,90,Duskrat\nno value at all,,\n")
        packed.writestr("b.json", '{"neither": "of them"}')
    imported = await intel("import", archive, "--source", name, "--json")
    taken, refused = imported.values()
    assert (imported.code, taken["report"]["imported"], taken["report"]["skipped"]) == (1, 1, 1)
    assert "AURORA-4220" in refused["refused"]
    known = await intel("lookup", f"hxxp://www.{name}[.]example/x")
    assert (known.code, "Duskrat" in known.out, "current" in known.out) == (0, True, True)
    assert [item["entries"] for item in (await intel("sources", "--json")).values() if item["name"] == name] == [1]
    assert (await intel("forget", name)).code == 0
    assert (await intel("lookup", f"{name}.example")).code == 1
