"""The servers beneath the services: which of them run here, and how a service reaches each.

Knows the three servers of the wheels and that an address given from outside replaces one. It knows no service but by
name, and starts nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import nats_server, postgres_server, valkey_server
from deploy.local.layout import DataFolder
from deploy.local.process import Command


@dataclass(frozen=True, slots=True)
class External:
    """Servers that somebody else runs; None means: run it here. Filled from AURORA_* by shared/config.py.

    `postgres_dsn` is an administrator's: roles and schemas are made through it.
    """

    postgres_dsn: str | None = None
    nats_url: str | None = None
    nats_user: str | None = None
    nats_password_file: Path | None = None
    redis_url: str | None = None
    redis_password_file: Path | None = None
    clickhouse_url: str | None = None


def embedded_names(external: External) -> tuple[str, ...]:
    """The servers that run here."""
    wanted = {
        "postgres": external.postgres_dsn,
        "nats": external.nats_url,
        "valkey": external.redis_url,
    }
    return tuple(name for name, address in wanted.items() if address is None)


def makers(
    folder: DataFolder, external: External, ports: Mapping[str, int], services: Sequence[str]
) -> list[Callable[[], Command]]:
    """For each server that runs here, what makes its Command. Making one may take a second, and raises StackError."""
    known: Mapping[str, Callable[[], Command]] = {
        "postgres": lambda: postgres_server.command(folder, ports["postgres"]),
        "nats": lambda: nats_server.command(folder, ports["nats"], services),
        "valkey": lambda: valkey_server.command(folder, ports["valkey"]),
    }
    return [known[name] for name in embedded_names(external)]


class Addresses:
    """How to reach the servers, embedded or not. What it hands out names secrets by file, never holds one."""

    def __init__(self, folder: DataFolder, external: External, ports: Mapping[str, int]) -> None:
        self._folder = folder
        self._external = external
        self._ports = ports

    def postgres_admin_dsn(self) -> str:
        """The administrator's DSN; the embedded one names its secret by `passfile`."""
        if self._external.postgres_dsn is not None:
            return self._external.postgres_dsn
        admin = postgres_server.ADMIN
        file = postgres_server.passfile(self._folder, admin, self._folder.password(admin))
        return postgres_server.dsn(admin, self._ports["postgres"], file)

    def postgres_dsn(self, service: str) -> str:
        """The DSN of the service's own role, on the same server and database as the administrator's."""
        role = f"aurora_{service}"
        file = postgres_server.passfile(self._folder, role, self._folder.password(role))
        return postgres_server.with_role(self.postgres_admin_dsn(), role, file)

    def nats(self, user: str) -> tuple[str, str | None, Path | None]:
        """(url, user, file of the password)."""
        if self._external.nats_url is not None:
            return self._external.nats_url, self._external.nats_user, self._external.nats_password_file
        secret = nats_server.user_secret(user)
        return nats_server.url(self._ports["nats"]), user, self._folder.password_file(secret)

    def redis(self) -> tuple[str, Path | None]:
        """(url, file of the password)."""
        if self._external.redis_url is not None:
            return self._external.redis_url, self._external.redis_password_file
        return valkey_server.url(self._ports["valkey"]), self._folder.password_file(valkey_server.SECRET)
