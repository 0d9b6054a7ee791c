"""Real servers, and whole stacks, for tests.

`embedded_servers` runs PostgreSQL, NATS and Valkey from the wheels on free ports and keeps them running (kill one and
it comes back). `running_stack` runs everything through the real `aurora up`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.local import nats_server, ports
from deploy.local.group import Group
from deploy.local.journal import journal
from deploy.local.layout import DataFolder
from deploy.local.process import die_with_parent
from deploy.local.runtime_file import Runtime, read_runtime
from deploy.local.servers import Addresses, External, embedded_names, makers
from deploy.local.supervised import Supervised
from shared.config import child_environment

AURORA: tuple[str, ...] = (sys.executable, "-P", "-m", "cli.main")
#: The user that tests talk to NATS as: the gateway's, which may do what every service may, and tell settings.
TEST_USER = "gateway"
#: The user of any other service.
OTHER_USER = "siem"
#: The user that alone may store samples.
STORING_USER = "orchestrator"
#: The user of agents, who may tell the registry where they are.
AGENTS_USER = "agents"
USERS = (TEST_USER, OTHER_USER, STORING_USER, AGENTS_USER)


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the three servers listen, and the secrets. `processes` is for tests that kill one."""

    postgres_admin_dsn: str
    nats_url: str
    nats_user: str
    nats_password: str
    nats_password_file: Path
    redis_url: str
    redis_password: str
    redis_password_file: Path
    processes: dict[str, Supervised]

    def password_file_of(self, nats_user: str) -> Path:
        """The file with the password of another user of NATS."""
        return self.nats_password_file.with_name(f"{nats_server.user_secret(nats_user)}.password")


@contextmanager
def data_folder() -> Iterator[Path]:
    """A temporary folder that a server which drops root's rights can walk into (pytest's tmp_path is 0700)."""
    folder = Path(tempfile.mkdtemp(prefix="aurora-test-"))
    try:
        if os.geteuid() == 0:
            folder.chmod(0o711)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def embedded_servers(root: Path) -> AsyncIterator[Servers]:
    """The three servers with their data under `root`, ready; stopped at the end."""
    folder = DataFolder(root)
    folder.prepare(minimum_free=0)
    external = External()
    assigned = ports.assign(embedded_names(external), folder.ports_file)
    commands = await asyncio.gather(*(asyncio.to_thread(make) for make in makers(folder, external, assigned, USERS)))
    with journal(folder.log("supervisor")) as log:
        group = Group(commands, log)
        try:
            await group.start()
            yield _described(folder, external, assigned, group.processes)
        finally:
            await group.stop()


def _described(
    folder: DataFolder, external: External, assigned: dict[str, int], processes: list[Supervised]
) -> Servers:
    addresses = Addresses(folder, external, assigned)
    nats, redis = addresses.nats(TEST_USER), addresses.redis()
    assert nats.user is not None
    assert nats.password_file is not None
    assert redis.password_file is not None
    return Servers(
        postgres_admin_dsn=addresses.postgres_admin_dsn(),
        nats_url=nats.url,
        nats_user=nats.user,
        nats_password=nats.password_file.read_text(encoding="utf-8").strip(),
        nats_password_file=nats.password_file,
        redis_url=redis.url,
        redis_password=redis.password_file.read_text(encoding="utf-8").strip(),
        redis_password_file=redis.password_file,
        processes={process.name: process for process in processes},
    )


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Polls until the condition holds. Raises TimeoutError, naming `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)


async def until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """As `wait_until`, without blocking the loop."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the state of another process has no event
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise TimeoutError(f"{what} did not happen within {seconds:g} s") from None


class Stack:
    """A stack that runs in a process of its own."""

    def __init__(self, data_dir: Path, process: subprocess.Popen[str]) -> None:
        self.data_dir = data_dir
        self.process = process

    @property
    def runtime(self) -> Runtime:
        """runtime.json as it is now: pids change with restarts."""
        runtime = read_runtime(DataFolder(self.data_dir))
        assert runtime is not None, "the stack isn't running"
        return runtime

    def admin_token(self) -> str:
        """A fresh access token of the first account."""
        runtime = self.runtime
        password = Path(runtime.admin.password_file).read_text(encoding="utf-8").strip()
        body = msgspec.json.encode({"username": runtime.admin.username, "password": password})
        request = urllib.request.Request(
            f"{runtime.gateway}/api/v1/auth/token", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(msgspec.json.decode(response.read())["access_token"])

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Returns when runtime.json is there. Raises AssertionError with what `up` said when it ended instead."""
        file = DataFolder(self.data_dir).runtime_file
        wait_until(lambda: self.process.poll() is not None or file.exists(), "the stack's readiness", seconds)
        if self.process.poll() is not None:
            raise AssertionError(f"up ended with {self.process.returncode}: {self.process.communicate()[1]}")

    def kill(self) -> None:
        """kill -9 of the supervisor alone."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ends it as Ctrl-C does; the exit code. Safe to call twice."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode


@contextmanager
def running_stack(data_dir: Path, *, command: Sequence[str] = (*AURORA, "up"), **environment: str) -> Iterator[Stack]:
    """A stack on a free port, ready; stopped at the end. `environment` is set on top of ours.

    `command` is what takes `--data-dir` and `--port`; it dies with the test process.
    """
    process = subprocess.Popen(
        [*command, f"--data-dir={data_dir}", "--port=0"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment(environment),
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - started from the main thread
    )
    stack = Stack(data_dir, process)
    with process:
        try:
            stack.wait_ready()
            yield stack
        finally:
            stack.stop()
