"""What one stack consists of: decided, checked and made ready before anything is started.

Every refusal that can be known beforehand (a missing wheel, a taken port) happens here. It starts no process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import keys, ports, wheels
from deploy.local.errors import StackError
from deploy.local.layout import MINIMUM_FREE, DataFolder
from deploy.local.servers import Addresses, External, embedded_names
from deploy.local.services import ADMIN_SECRET, GATEWAY, PROGRAM, SERVICES, Launcher, Service, agent_names, port_names
from deploy.local.supervised import RestartPolicy

#: How long ports of a stack that was killed may take to come free, in seconds.
_SETTLE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """What to bring up, and where. `port` is the gateway's, 0 for any. `minimum_free` is in bytes."""

    data_dir: Path
    port: int = 5080
    external: External = field(default_factory=External)
    table: Sequence[Service] = SERVICES
    program: tuple[str, ...] = PROGRAM
    minimum_free: int = MINIMUM_FREE
    policy: RestartPolicy = field(default_factory=RestartPolicy)


@dataclass(frozen=True, slots=True)
class Plan:
    """A stack that can be started. `new_password` is the first account's, when it was made just now."""

    options: Options
    folder: DataFolder
    ports: Mapping[str, int]
    addresses: Addresses
    launcher: Launcher
    new_password: str | None

    @property
    def service_names(self) -> list[str]:
        return [service.name for service in self.options.table]

    @property
    def agents(self) -> list[str]:
        return agent_names(self.options.table)


def make_plan(options: Options, folder: DataFolder, *, last_died: bool) -> Plan:
    """Checks, chooses ports and makes keys and passwords. Blocks for some seconds after a crash. Raises StackError."""
    _require_wheels(options)
    assigned = _assign_ports(options, folder, time.monotonic() + _SETTLE_SECONDS if last_died else 0.0)
    first = not folder.password_file(ADMIN_SECRET).exists()
    password = folder.password(ADMIN_SECRET)
    keys.ensure_keys(folder, [service.name for service in options.table])
    return Plan(
        options,
        folder,
        assigned,
        Addresses(folder, options.external, assigned),
        Launcher(folder, options.external, assigned, options.table, options.program),
        password if first else None,
    )


def _require_wheels(options: Options) -> None:
    finders: dict[str, Callable[[], object]] = {
        "postgres": wheels.postgres_home,
        "nats": wheels.nats_server,
        "valkey": wheels.valkey_server,
    }
    for name in embedded_names(options.external):
        finders[name]()
    if options.external.clickhouse_url is None and any(service.clickhouse for service in options.table):
        wheels.require_clickhouse()


def _assign_ports(options: Options, folder: DataFolder, deadline: float) -> dict[str, int]:
    names = [*embedded_names(options.external), *port_names(options.table)]
    if options.port == 0:
        return ports.assign(names, folder.ports_file, deadline=deadline)
    if not ports.comes_free(options.port, deadline):
        raise StackError(f"port {options.port} on {ports.HOST} is taken: choose another with --port")
    names.remove(GATEWAY)
    assigned = ports.assign(names, folder.ports_file, deadline=deadline, avoid=options.port)
    return {**assigned, GATEWAY: options.port}
