"""Stored samples on a whole stack: added by command, triaged by the malware analyst, found again by an alert."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import aiohttp
import nats
import nats.errors
import pytest

from cli.session import Session
from deploy.local.layout import DataFolder
from deploy.local.nats_server import user_secret
from shared.bus import Bus
from shared.config import read_secret
from shared.contracts.agents import ANALYZE_THREAT, AnalyzeThreat
from shared.contracts.common import Observable
from shared.contracts.samples import (
    GET_SAMPLE,
    MAX_SAMPLE_BYTES,
    SAMPLES_BUCKET,
    STORE_SAMPLE,
    TRIAGE_SAMPLE,
    Sample,
    TriageSample,
    masked,
)
from shared.errors import NOT_FOUND, PAYLOAD_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, VALIDATION, AuroraError
from shared.objects import Objects
from shared.rpc import Peer
from tests.stack import Stack
from tests.system.command import aurora
from tests.system.waiting import found
from tests.unit.agents.small_programmes import EICAR, dense, pe

INJECTION = ["VirtualAllocEx", "WriteProcessMemory", "CreateRemoteThread"]


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def analysed(api: Session, data: bytes) -> Sample:
    """The sample once the malware analyst has looked at it."""

    async def ask() -> Sample | None:
        sample = await api.call(GET_SAMPLE, path={"sha256": sha256_of(data)})
        return None if sample.analysis is None else sample

    return await found(ask, "the analysis of a sample", 60.0)


def peer(stack: Stack) -> Peer:
    place = stack.runtime.agents["malware_analyst"]
    return Peer(place.url, lambda: read_secret(Path(place.token_file)))


async def test_a_file_added_on_the_command_line_is_triaged(stack: Stack, api: Session, tmp_path: Path) -> None:
    data = EICAR + b"\n"
    (tmp_path / "eicar.com").write_bytes(data)
    added = await aurora("samples", "add", tmp_path / "eicar.com", "--json", data_dir=stack.data_dir)
    assert (added.code, added.values()[0]["sha256"], added.values()[0]["size"]) == (0, sha256_of(data), len(data))
    report = (await analysed(api, data)).analysis
    assert report is not None
    assert (report.verdict, report.rules[0].rule) == ("malicious", "eicar_test_file")
    assert {identifier for finding in report.findings for identifier in finding.citations} <= {
        citation.id for citation in report.citations
    }
    shown = await aurora("samples", "show", tmp_path / "eicar.com", data_dir=stack.data_dir)
    assert shown.code == 0
    assert "the EICAR test file" in shown.out


async def test_the_same_bytes_are_kept_once(stack: Stack) -> None:
    data = pe(extra=b"kept once")
    headers = {"Authorization": f"Bearer {stack.admin_token()}", "Content-Type": "application/octet-stream"}
    url = stack.runtime.gateway + STORE_SAMPLE.path
    async with aiohttp.ClientSession(headers=headers) as http:
        answers = []
        for _ in range(2):
            async with http.post(url, data=data) as response:
                answers.append((response.status, await response.json()))
    assert [status for status, _ in answers] == [201, 200]
    assert answers[0][1] == answers[1][1]
    assert answers[0][1]["sha256"] == sha256_of(data)


async def test_what_is_too_large_or_of_another_type_is_refused(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.admin_token()}"}
    url = stack.runtime.gateway + STORE_SAMPLE.path
    octets, large = "application/octet-stream", b"\0" * (MAX_SAMPLE_BYTES + 1)
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(url, data=io.BytesIO(large), headers={"Content-Type": octets}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (413, PAYLOAD_TOO_LARGE.code)
        async with http.post(url, data=b"{}", headers={"Content-Type": "application/json"}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (415, UNSUPPORTED_MEDIA_TYPE.code)


async def test_the_largest_sample_comes_back_whole(stack: Stack, api: Session) -> None:
    start = pe(code=dense(1_000_000, seed=9), functions=INJECTION, writable_code=True)
    data = start.ljust(MAX_SAMPLE_BYTES, b"\0")
    await api.call(STORE_SAMPLE, body=data)
    report = (await analysed(api, data)).analysis
    assert report is not None
    assert report.programme is not None
    assert (report.size, report.unread) == (len(data), {})
    assert report.programme.sections[0].entropy > 7.9
    assert report.verdict in ("suspicious", "malicious")
    assert "T1055" in report.mitre_techniques


async def test_malware_in_an_archive_is_found_and_shown_where_it_is(stack: Stack, api: Session, tmp_path: Path) -> None:
    packed = tmp_path / "handed-on.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/\x1b[31meicar.com", EICAR)
        archive.writestr("readme.txt", b"nothing here")
    await api.call(STORE_SAMPLE, body=packed.read_bytes())
    report = (await analysed(api, packed.read_bytes())).analysis
    assert report is not None
    assert (report.verdict, report.kind, report.member_count) == ("malicious", "archive", 2)
    assert [(member.size, len(member.rules)) for member in report.members] == [(len(EICAR), 1), (12, 0)]
    shown = await aurora("samples", "show", str(packed), data_dir=stack.data_dir)
    assert "rule eicar_test_file" in shown.out
    assert "\x1b" not in shown.out


async def test_an_alerts_hash_leads_to_the_stored_bytes_by_md5_too(stack: Stack, api: Session) -> None:
    data = EICAR + b" "
    await api.call(STORE_SAMPLE, body=data)
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    async with peer(stack) as analyst:
        unknown = "f" * 64
        iocs = [Observable("hash", md5), Observable("hash", unknown)]
        assessment = await analyst.call(ANALYZE_THREAT, AnalyzeThreat(iocs=iocs), timeout=60)
        missing = await analyst.call(TRIAGE_SAMPLE, TriageSample(sha256=unknown), timeout=60)
    assert assessment.verdict == "malicious"
    assert any(unknown in note for note in assessment.not_checked)
    assert (missing.stored, missing.verdict) == (False, "undetermined")


async def test_what_is_not_stored_is_said_so(api: Session) -> None:
    with pytest.raises(AuroraError) as unknown:
        await api.call(GET_SAMPLE, path={"sha256": "0" * 64})
    assert unknown.value.code is NOT_FOUND
    with pytest.raises(AuroraError) as malformed:
        await api.call(GET_SAMPLE, path={"sha256": "no-hash"})
    assert malformed.value.code is VALIDATION
    with pytest.raises(AuroraError) as empty:
        await api.call(STORE_SAMPLE, body=b"")
    assert empty.value.code is VALIDATION


async def test_agents_may_read_samples_and_never_write_them(stack: Stack, api: Session) -> None:
    data = b"only the orchestrator stores"
    await api.call(STORE_SAMPLE, body=data)
    password = DataFolder(stack.data_dir).password(user_secret("agents"))
    url = stack.runtime.nats.url
    bus = await Bus.connect(url, user="agents", password=password, name="test")
    objects = Objects(bus, SAMPLES_BUCKET)
    bare = await nats.connect(url, user="agents", password=password, error_cb=_silent)
    try:
        for subject in (
            "$O.samples.C.planted",
            "$JS.API.STREAM.PURGE.OBJ_samples",
            "$JS.API.STREAM.DELETE.OBJ_samples",
        ):
            with pytest.raises(nats.errors.TimeoutError):
                await bare.request(subject, b"", timeout=0.5)
        assert masked(await objects.get(sha256_of(data), 1000) or b"") == data
        assert await objects.get(sha256_of(data), 10) is None
        assert await objects.get("nothing", 10) is None
    finally:
        await bare.close()
        await bus.close()


async def _silent(_error: Exception) -> None:
    """What is refused is seen by the request that gets no answer."""
