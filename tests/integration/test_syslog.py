"""Syslog over UDP, TCP and TLS into a real siem: framings, limits, who may send, and what a full intake does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.siem.syslog.listeners import Listeners, Listening
from services.siem.syslog.service import Collector
from shared.clock import new_id
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.logs import LogEvent
from shared.errors import RATE_LIMITED, AuroraError
from tests import stack
from tests.siem import Siem, siem
from tests.stack import Servers

SOURCE = "syslog:127.0.0.1"
LINE = "<38>Mar  1 12:00:00 web01 sshd[812]: Failed password for {} from 192.0.2.7 port 40022 ssh2"
RULE = """
title: Root password guessed at, by syslog
id: {rule}
level: high
logsource:
  product: linux
  service: sshd
detection:
  selection:
    message|contains: '{marker}'
  condition: selection
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(servers: Servers, certificate: Path) -> AsyncIterator[Siem]:
    """One siem with all three listeners on free ports."""
    with stack.data_folder() as folder:
        async with siem(
            servers,
            folder,
            syslog_udp="127.0.0.1:0",
            syslog_tcp="127.0.0.1:0",
            syslog_tls="127.0.0.1:0",
            syslog_tls_cert_file=str(certificate),
            syslog_tls_key_file=str(certificate),
            syslog_connections="4",
            syslog_line_bytes="8192",
        ) as running:
            await stack.until(lambda: len(ports(running)) == 3, "three listeners")
            yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of localhost and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "syslog.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def ports(service: Siem) -> dict[str, int]:
    """Transport -> port, as siem says."""
    return {line["transport"]: line["port"] for line in service.lines() if line["message"] == "listening"}


@asynccontextmanager
async def connected(
    service: Siem, transport: str = "tcp", tls: ssl.SSLContext | None = None
) -> AsyncIterator[asyncio.StreamWriter]:
    name = None if tls is None else "localhost"
    _, writer = await asyncio.open_connection("127.0.0.1", ports(service)[transport], ssl=tls, server_hostname=name)
    try:
        yield writer
    finally:
        writer.close()
        await writer.wait_closed()


async def found(service: Siem, marker: str, count: int) -> list[LogEvent]:
    """The events that hold a word, once there are `count`."""
    async with asyncio.timeout(20):
        while len(events := await service.search(marker, source=SOURCE, limit=200)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert len(events) == count
    return events


def word() -> str:
    """A word that no other line has."""
    return f"m{new_id().replace('-', '')}"


async def test_lines_over_tcp_come_in_both_framings_and_in_both_syslog_formats(service: Siem) -> None:
    marker = word()
    modern = f'<38>1 2026-03-01T12:00:00Z web02 sshd 9 - [meta@1 k="v"] Accepted password for eve {marker}'
    counted = f"{len(modern)} {modern}".encode()
    async with connected(service) as writer:
        writer.write(LINE.format(marker).encode() + b"\n" + counted)
    events = {event.ecs["host.name"]: event for event in await found(service, marker, 2)}
    assert events["web01"].ecs["source.ip"] == "192.0.2.7"
    assert events["web02"].ecs["log.syslog.structured_data.k"] == "v"
    assert {event.source for event in events.values()} == {SOURCE}


async def test_a_datagram_is_a_message(service: Siem) -> None:
    marker = word()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(50):
            sender.sendto(LINE.format(marker).encode() + b"\n", ("127.0.0.1", ports(service)["udp"]))
    await found(service, marker, 50)


async def test_lines_over_tls_need_a_handshake(service: Siem, certificate: Path) -> None:
    marker = word()
    trusted = ssl.create_default_context(cafile=str(certificate))
    async with connected(service, "tls", trusted) as writer:
        writer.write(LINE.format(marker).encode() + b"\n")
        await writer.drain()
    await found(service, marker, 1)
    reader, plain = await asyncio.open_connection("127.0.0.1", ports(service)["tls"])
    plain.write(LINE.format(word()).encode() + b"\n")
    async with asyncio.timeout(10):
        with suppress(ConnectionError):
            await reader.read()  # to its end: siem hangs up
    plain.close()


async def test_a_line_over_the_limit_is_cut_and_told(service: Siem) -> None:
    marker = word()
    async with connected(service) as writer:
        writer.write(LINE.format(marker).encode() + b" " + b"x" * 1_000_000 + b"\n" + LINE.format(marker).encode())
        await writer.drain()
    events = await found(service, marker, 2)
    assert sorted(len(event.raw) for event in events)[1] == 8192
    await stack.until(lambda: any(line["message"] == "lines cut" for line in service.lines()), "the log of the cut")


async def test_a_connection_too_many_is_closed_at_once(service: Siem) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", ports(service)["tcp"]) for _ in range(4)]
    try:
        async with asyncio.timeout(10):
            while True:
                reader, writer = await asyncio.open_connection("127.0.0.1", ports(service)["tcp"])
                opened.append((reader, writer))
                try:
                    if await asyncio.wait_for(reader.read(1), 0.5) == b"":
                        break
                except TimeoutError:
                    continue  # one of the others was still being let go
                except ConnectionError:
                    break
    finally:
        for _, writer in opened:
            writer.close()
    told = [line for line in service.lines() if line["message"] == "sender refused"]
    assert [line["reason"] for line in told] == ["connections"]


async def test_an_attack_by_syslog_becomes_an_alert(service: Siem) -> None:
    marker, rule = word(), new_id()
    url, sent = f"{service.url}/api/v1/detections/rules", {"Content-Type": "application/yaml", **service.headers()}
    async with service.http().post(url, data=RULE.format(rule=rule, marker=marker), headers=sent) as response:
        assert response.status == 201, await response.text()
    async with connected(service) as writer:
        writer.write(LINE.format(marker).encode() + b"\n")
    async with service.client() as client, asyncio.timeout(20):
        alerts: list[Alert] = []
        while not alerts:
            page = await client.call(LIST_ALERTS, query=AlertQuery(limit=200))
            alerts = [alert for alert in page.items if alert.rule_id == rule]


async def test_what_was_received_before_a_stop_is_stored(servers: Servers) -> None:
    marker = word()
    with stack.data_folder() as folder:
        async with siem(servers, folder, syslog_tcp="127.0.0.1:0", syslog_networks="127.0.0.1") as service:
            await stack.until(lambda: len(ports(service)) == 1, "the listener")
            async with connected(service) as writer:
                writer.write((LINE.format("first") + "\n").encode())
                await found(service, "first", 1)
                writer.write((LINE.format(marker) + "\n").encode() * 200)
                await writer.drain()
            assert await service.stop() == 0
            await service.start()
            assert len(await service.search(marker, source=SOURCE, limit=200)) == 200


class Busy:
    """Intake that is full until it is told otherwise."""

    def __init__(self) -> None:
        self.full = True
        self.stored: list[bytes] = []
        self.problems: dict[int, str] = {}

    async def store_items(self, items: list[bytes], *, source: str) -> Busy:
        if self.full:
            raise AuroraError(RATE_LIMITED, retry_after=0.01)
        self.stored += items
        return self


async def test_where_an_authority_is_set_only_who_shows_its_certificate_is_heard(certificate: Path) -> None:
    intake = Busy()
    intake.full = False
    collector = Collector(intake, max_bytes=100_000)  # type: ignore[arg-type]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    listening = Listening(
        udp=None,
        tcp=None,
        tls=f"127.0.0.1:{port}",
        cert_file=certificate,
        key_file=certificate,
        client_ca_file=certificate,
        networks=("127.0.0.0/8",),
        connections=4,
        line_bytes=8192,
    )
    listeners = Listeners(listening, collector)
    task = asyncio.create_task(collector.run())
    try:
        await listeners.open()
        for name, shown in (("nobody", None), ("known", certificate)):
            trusted = ssl.create_default_context(cafile=str(certificate))
            if shown is not None:
                trusted.load_cert_chain(shown)
            with suppress(OSError, TimeoutError):  # how soon a refusal is noticed depends on the version of TLS
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=trusted, server_hostname="localhost"
                )
                writer.write(LINE.format(name).encode() + b"\n")
                await writer.drain()
                writer.close()
                await reader.read()
        await stack.until(lambda: bool(intake.stored), "a line")
        assert intake.stored == [LINE.format("known").encode()]
    finally:
        await listeners.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_full_intake_holds_streams_back_and_loses_datagrams_only() -> None:
    intake = Busy()
    collector = Collector(intake, max_bytes=1000)  # type: ignore[arg-type]
    task = asyncio.create_task(collector.run())
    try:
        lines = [b"%0100d" % number for number in range(50)]
        sending = asyncio.create_task(collector.put("syslog:a", lines))
        _, pending = await asyncio.wait({sending}, timeout=0.3)
        assert pending, "the sender must wait"
        collector.offer("syslog:b", b"dropped")
        intake.full = False
        async with asyncio.timeout(10):
            await sending
            await collector.drained()
        assert intake.stored == lines
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
