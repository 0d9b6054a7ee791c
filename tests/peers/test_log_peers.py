"""Shippers that nobody here wrote, as they are: each delivers an attack to a whole stack, and it becomes an alert."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from cli import session
from cli.session import Session
from shared.clock import new_id
from shared.config import child_environment
from shared.contracts.alerts import LIST_ALERTS, Alert, AlertQuery
from shared.contracts.constants import SIEM_WRITE
from shared.contracts.detections import CREATE_RULE
from shared.contracts.keys import CREATE_API_KEY, CreateApiKey
from shared.contracts.logs import SEARCH_LOGS, LogEvent, LogQuery
from tests.stack import Stack, data_folder, running_stack

SCRIPTS = Path(__file__).parent / "logs"
SECONDS = 60.0
LINE = "Mar  1 12:00:00 web01 sshd[812]: Failed password for {} from 192.0.2.7 port 40022 ssh2"
RULE = """
title: Password guessed, as delivered by {marker}
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
RSYSLOG = """
module(load="imfile")
global(workDirectory="{folder}")
input(type="imfile" file="{log}" tag="sshd[812]:" ruleset="out")
ruleset(name="out") {{
  action(type="omfwd" target="{host}" port="{port}" protocol="{protocol}" {more})
}}
"""


#: The version line must come first.
SYSLOG_NG = """@version: 3.38
source lines {{ file("{log}" follow-freq(1) read-old-records(yes) flags(no-parse) program-override("sshd")); }};
destination aurora {{ syslog("{host}" port({port}) transport("tcp")); }};
log {{ source(lines); destination(aurora); }};
"""
SYSLOG_NG_HTTP = """@version: 3.38
source lines {{ file("{log}" follow-freq(1) read-old-records(yes) flags(no-parse)); }};
destination aurora {{
  http(url("{url}/api/v1/siem/logs/ingest?source=syslog-ng-peer") method("POST")
       headers("X-API-Key: {key}", "Content-Type: text/plain") body("${{MSG}}") delimiter("\\n")
       batch-lines(100) batch-timeout(200));
}};
log {{ source(lines); destination(aurora); }};
"""
HAS_OMELASTICSEARCH = any(Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so"))
OMELASTICSEARCH = """
module(load="imfile")
module(load="omelasticsearch")
global(workDirectory="{folder}")
template(name="document" type="list" option.jsonf="on") {{
  property(outname="message" name="msg" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
}}
input(type="imfile" file="{log}" tag="sshd:" ruleset="out")
ruleset(name="out") {{
  action(type="omelasticsearch" server="{host}" serverport="{port}" uid="aurora" pwd="{key}" template="document"
         bulkmode="on" searchIndex="rsyslog-peer" errorFile="{folder}/errors")
}}
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with data_folder() as folder, running_stack(folder) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(stack: Stack) -> AsyncIterator[Session]:
    """The admin, signed in."""
    async with session.opened(session.find(stack.data_dir, None)) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def key(api: Session) -> str:
    """An API key that may write logs and nothing else."""
    return (await api.call(CREATE_API_KEY, body=CreateApiKey(name="a shipper", scopes=[SIEM_WRITE]))).key


@pytest_asyncio.fixture
async def attack(api: Session) -> tuple[str, str]:
    """A line that a rule of its own matches, and the rule's id."""
    marker, rule = f"m{new_id().replace('-', '')}", new_id()
    headers = {"Content-Type": "application/yaml"}
    await api.call(CREATE_RULE, body=RULE.format(marker=marker, rule=rule).encode(), headers=headers)
    return LINE.format(marker), rule


async def run(*command: str) -> None:
    """A program to its end. Raises AssertionError with what it said when it failed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, errors.decode()
    assert b"Traceback" not in errors, errors.decode()


async def alert_of(api: Session, rule: str) -> Alert:
    """The alert of a rule, once it is there."""
    async with asyncio.timeout(SECONDS):
        while True:
            page = await api.call(LIST_ALERTS, query=AlertQuery(limit=200))
            if found := [alert for alert in page.items if alert.rule_id == rule]:
                return found[0]
            await asyncio.sleep(0.05)


async def event_of(api: Session, source: str) -> LogEvent:
    """The newest event of a source."""
    return (await api.call(SEARCH_LOGS, query=LogQuery(source=source, limit=1))).items[0]


async def test_the_otlp_exporter(stack: Stack, api: Session, key: str, attack: tuple[str, str]) -> None:
    line, rule = attack
    script = str(SCRIPTS / "otlp_exporter.py")
    await run(sys.executable, script, f"{stack.runtime.gateway}/v1/logs", key, line)
    alert = await alert_of(api, rule)
    assert alert.entities["host"] == "web01"
    event = await event_of(api, "otel-peer")
    assert (event.ecs["log.level"], event.ecs["source.ip"]) == ("INFO", "192.0.2.7")


async def test_the_loki_handler_of_pypi(stack: Stack, api: Session, key: str, attack: tuple[str, str]) -> None:
    line, rule = attack
    script = str(SCRIPTS / "loki_handler.py")
    await run(sys.executable, script, f"{stack.runtime.gateway}/loki/api/v1/push", key, line)
    await alert_of(api, rule)
    assert (await event_of(api, "loki-peer")).ecs["labels.severity"] == "info"


async def test_the_elasticsearch_client(stack: Stack, api: Session, key: str, attack: tuple[str, str]) -> None:
    line, rule = attack
    await run(sys.executable, str(SCRIPTS / "elasticsearch_client.py"), stack.runtime.gateway, key, line)
    alert = await alert_of(api, rule)
    assert alert.entities["host"] == "web01"
    assert (await event_of(api, "es-peer")).message == "the last one"


async def test_the_splunk_handler_of_pypi(stack: Stack, api: Session, key: str, attack: tuple[str, str]) -> None:
    line, rule = attack
    host, _, port = stack.runtime.gateway.removeprefix("http://").rpartition(":")
    await run(sys.executable, str(SCRIPTS / "splunk_hec.py"), host, port, key, line)
    alert = await alert_of(api, rule)
    assert alert.entities["host"] == "web01"
    assert (await event_of(api, "splunk-peer")).ecs["source.ip"] == "192.0.2.7"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and the pinned packages; skips where npm is missing or can't reach a registry."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("logs") / "peers"
    shutil.copytree(SCRIPTS, folder)
    command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if installed.returncode != 0:
        pytest.skip(f"npm install failed: {installed.stderr[-300:]}")
    return folder


async def test_the_loki_transport_of_npm(
    stack: Stack, api: Session, key: str, attack: tuple[str, str], packages: Path
) -> None:
    line, rule = attack
    await run("node", str(packages / "winston_loki.js"), stack.runtime.gateway, key, line)
    await alert_of(api, rule)
    assert (await event_of(api, "winston-peer")).ecs["labels.job"] == "winston-peer"


@pytest.mark.parametrize(
    ("protocol", "more"),
    [("udp", ""), ("tcp", 'TCP_Framing="traditional"'), ("tcp", 'TCP_Framing="octet-counted"')],
    ids=["udp", "tcp by lines", "tcp by counts"],
)
async def test_rsyslog(
    stack: Stack, api: Session, attack: tuple[str, str], tmp_path: Path, protocol: str, more: str
) -> None:
    program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin")
    if program is None:
        pytest.skip("rsyslogd is not installed")
    line, rule = attack
    assert stack.runtime.syslog is not None
    host, _, port = stack.runtime.syslog.rpartition(":")
    log, configuration = tmp_path / "auth.log", tmp_path / "rsyslog.conf"
    log.write_text(line.partition("]: ")[2] + "\n")
    values = {"folder": tmp_path, "log": log, "host": host, "port": port, "protocol": protocol, "more": more}
    configuration.write_text(RSYSLOG.format(**values))
    shipper = await asyncio.create_subprocess_exec(
        program, "-n", "-f", str(configuration), "-i", str(tmp_path / "rsyslog.pid"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        alert = await alert_of(api, rule)
    finally:
        shipper.terminate()
        await shipper.wait()
    assert alert.severity == "high"
    assert (await event_of(api, f"syslog:{host}")).ecs["process.name"] == "sshd"


@pytest.fixture(scope="module")
def syslog_ng(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """syslog-ng's command and environment: Debian's package, unpacked, since it can't be installed beside rsyslog."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        pytest.skip("this is no Debian")
    folder = tmp_path_factory.mktemp("syslog-ng")
    packages = ["syslog-ng-core", "syslog-ng-mod-http", "libcurl4", "libivykis0", "libnet1", "libpcre3", "libwrap0"]
    unpack = 'for package in *.deb; do dpkg -x "$package" root; done'
    for command in (["apt-get", "download", *packages], ["sh", "-ec", unpack]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            pytest.skip(f"syslog-ng can't be fetched: {done.stderr[-300:]}")
    libraries = folder / "root/usr/lib/syslog-ng"
    [modules] = [entry for entry in libraries.iterdir() if entry.is_dir()]
    places = [libraries, *folder.glob("root/usr/lib/*-linux-gnu"), *folder.glob("root/lib/*-linux-gnu")]
    environment = child_environment({"LD_LIBRARY_PATH": ":".join(map(str, places))})
    program = str(folder / "root/usr/sbin/syslog-ng")
    told = subprocess.run([program, "--version"], env=environment, capture_output=True, text=True, check=False)
    if told.returncode != 0:
        pytest.skip(f"syslog-ng doesn't run here: {told.stderr[-300:]}")
    return [program, "-F", "--no-caps", f"--module-path={modules}"], environment


@asynccontextmanager
async def shipping(
    syslog_ng: tuple[list[str], dict[str, str]], configuration: str, folder: Path
) -> AsyncIterator[None]:
    """syslog-ng as long as it is needed. Raises AssertionError when it complained."""
    command, environment = syslog_ng
    file = folder / "syslog-ng.conf"
    file.write_text(configuration)
    places = [f"--cfgfile={file}", f"--persist-file={folder / 'persist'}", f"--pidfile={folder / 'pid'}"]
    places.append(f"--control={folder / 'control'}")
    shipper = await asyncio.create_subprocess_exec(*command, *places, env=environment, stderr=asyncio.subprocess.PIPE)
    try:
        yield
    finally:
        if shipper.returncode is None:
            shipper.terminate()
        _, errors = await shipper.communicate()
    assert b"rror" not in errors, errors.decode()


async def test_syslog_ng(
    stack: Stack,
    api: Session,
    attack: tuple[str, str],
    tmp_path: Path,
    syslog_ng: tuple[list[str], dict[str, str]],
) -> None:
    line, rule = attack
    assert stack.runtime.syslog is not None
    host, _, port = stack.runtime.syslog.rpartition(":")
    log = tmp_path / "auth.log"
    log.write_text(line.partition("]: ")[2] + "\n")
    async with shipping(syslog_ng, SYSLOG_NG.format(log=log, host=host, port=port), tmp_path):
        await alert_of(api, rule)


async def test_syslog_ngs_http_destination_with_an_api_key(
    stack: Stack,
    api: Session,
    key: str,
    attack: tuple[str, str],
    tmp_path: Path,
    syslog_ng: tuple[list[str], dict[str, str]],
) -> None:
    line, rule = attack
    log = tmp_path / "auth.log"
    log.write_text(line + "\n")
    configuration = SYSLOG_NG_HTTP.format(log=log, url=stack.runtime.gateway, key=key)
    async with shipping(syslog_ng, configuration, tmp_path):
        alert = await alert_of(api, rule)
    assert alert.entities["host"] == "web01"
    assert (await event_of(api, "syslog-ng-peer")).ecs["source.ip"] == "192.0.2.7"


async def test_rsyslogs_omelasticsearch(
    stack: Stack, api: Session, key: str, attack: tuple[str, str], tmp_path: Path
) -> None:
    program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin")
    if program is None or not HAS_OMELASTICSEARCH:
        pytest.skip("rsyslogd with omelasticsearch is not installed")
    line, rule = attack
    host, _, port = stack.runtime.gateway.removeprefix("http://").rpartition(":")
    log, configuration = tmp_path / "auth.log", tmp_path / "rsyslog.conf"
    log.write_text(line + "\n")
    configuration.write_text(OMELASTICSEARCH.format(folder=tmp_path, log=log, host=host, port=port, key=key))
    shipper = await asyncio.create_subprocess_exec(
        program, "-n", "-f", str(configuration), "-i", str(tmp_path / "rsyslog.pid"), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        alert = await alert_of(api, rule)
    finally:
        shipper.terminate()
        await shipper.wait()
    assert alert.severity == "high"
    assert (await event_of(api, "rsyslog-peer")).ecs["source.ip"] == "192.0.2.7"
    assert not (tmp_path / "errors").exists()
