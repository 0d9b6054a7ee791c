"""runtime.json: where everything listens, for the command line, for tests and for whoever operates the stack.

It is there only while the stack serves, is replaced in one step, and holds no secret: it names the files that do.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from deploy.local.layout import DataFolder, write_private


class Admin(msgspec.Struct):
    """The first account."""

    username: str
    password_file: str


class Process(msgspec.Struct):
    """One process: a service or an embedded server."""

    url: str
    pid: int | None


class Agent(msgspec.Struct):
    """One agent, and the operator's token for it."""

    url: str
    token_file: str


class Nats(msgspec.Struct):
    """NATS, and the operator's credentials: a JSON object with `username` and `password`."""

    url: str
    credentials_file: str


class Supervisor(msgspec.Struct):
    """The process that started the others."""

    pid: int


class Runtime(msgspec.Struct):
    """The whole file. `postgres` is the administrator's DSN; `syslog` is `host:port`, UDP and TCP."""

    gateway: str
    admin: Admin
    supervisor: Supervisor
    services: dict[str, Process]
    agents: dict[str, Agent]
    nats: Nats
    postgres: str
    redis: str
    redis_password_file: str | None
    syslog: str | None = None


def write_runtime(folder: DataFolder, runtime: Runtime) -> None:
    """Replaces the file."""
    write_private(folder.runtime_file, msgspec.json.format(msgspec.json.encode(runtime), indent=2).decode() + "\n")


def read_runtime(folder: DataFolder) -> Runtime | None:
    """The running stack's file; None when there is none."""
    try:
        return msgspec.json.decode(folder.runtime_file.read_bytes(), type=Runtime)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_credentials(folder: DataFolder, user: str | None, password_file: Path | None) -> Path:
    """Writes the operator's NATS credentials as JSON and returns the file."""
    password = password_file.read_text(encoding="utf-8").strip() if password_file else None
    file = folder.secrets / "nats-operator.json"
    write_private(file, msgspec.json.encode({"username": user, "password": password}).decode() + "\n")
    return file
