"""The servers beneath the services: which of them run here, and how a service reaches each.

Knows the three servers of the wheels and that an address given from outside replaces one. It knows no service but by
name, and starts nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from deploy.local import nats_server, postgres_server, valkey_server
from deploy.local.layout import DataFolder, write_private
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


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and who to be there. The URL holds no secret; the file does."""

    url: str
    user: str | None
    password_file: Path | None


class Addresses:
    """How to reach the servers, embedded or not. A secret in an address from outside is moved into a file."""

    def __init__(self, folder: DataFolder, external: External, ports: Mapping[str, int]) -> None:
        self._folder = folder
        self._external = external
        self._ports = ports

    def postgres_admin_dsn(self) -> str:
        """The administrator's DSN; its `passfile` parameter names the secret."""
        admin = postgres_server.ADMIN
        given = self._external.postgres_dsn
        if given is None:
            file = postgres_server.passfile(self._folder, admin, self._folder.password(admin))
            return postgres_server.dsn(admin, self._ports["postgres"], file)
        parts = urlsplit(given)
        if parts.username is None or parts.password is None:
            return given
        role, password = unquote(parts.username), unquote(parts.password)
        return postgres_server.with_role(given, role, postgres_server.passfile(self._folder, role, password))

    def postgres_dsn(self, service: str) -> str:
        """The DSN of the service's own role, on the same server and database as the administrator's."""
        role = postgres_server.role_of(service)
        file = postgres_server.passfile(self._folder, role, self._folder.password(role))
        return postgres_server.with_role(self.postgres_admin_dsn(), role, file)

    def nats(self, user: str) -> Address:
        """NATS, for one of its users; an external server has one user for all."""
        given = self._external.nats_url
        if given is not None:
            return self._outside("nats", given, self._external.nats_user, self._external.nats_password_file)
        secret = nats_server.user_secret(user)
        return Address(nats_server.url(self._ports["nats"]), user, self._folder.password_file(secret))

    def redis(self) -> Address:
        """The server of the Redis protocol."""
        given = self._external.redis_url
        if given is not None:
            return self._outside("redis", given, None, self._external.redis_password_file)
        secret = self._folder.password_file(valkey_server.SECRET)
        return Address(valkey_server.url(self._ports["valkey"]), None, secret)

    def _outside(self, name: str, url: str, user: str | None, file: Path | None) -> Address:
        parts = urlsplit(url)
        if parts.password is None:
            return Address(url, user, file)
        moved = self._folder.secrets / f"external-{name}.password"
        write_private(moved, unquote(parts.password) + "\n")
        account = f"{parts.username}@" if parts.username else ""
        bare = urlunsplit(parts._replace(netloc=account + parts.netloc.rpartition("@")[2]))
        return Address(bare, unquote(parts.username) if parts.username else user, moved)
