"""The table of Aurora's services, and how each is started: its program, its port and its environment.

A new service is a new row. No service is imported: a row says what the process is told, and the process is on its
own. Secrets travel by file; the environment names the files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from deploy.local.keys import cloud_key_file
from deploy.local.layout import DataFolder
from deploy.local.ports import HOST
from deploy.local.process import Command
from deploy.local.readiness import http_serves
from deploy.local.servers import Addresses, External
from shared.config import child_environment
from shared.contracts.agents import AGENT_IDS

GATEWAY = "gateway"
#: The name of syslog's port among the assigned ones.
SYSLOG = "syslog"
ADMIN_SECRET = "admin"  # noqa: S105 - the name of a secret, not one


@dataclass(frozen=True, slots=True)
class Service:
    """One process. `agents` each listen on a port of their own; `schema` means a role and schema in PostgreSQL;
    `syslog` means a port for it, UDP and TCP, on loopback."""

    name: str
    schema: bool = True
    clickhouse: bool = False
    agents: tuple[str, ...] = ()
    syslog: bool = False


SERVICES: tuple[Service, ...] = (
    Service("siem", clickhouse=True, syslog=True),
    Service("agents", schema=False, agents=AGENT_IDS),
    Service("orchestrator"),
    Service(GATEWAY),
)
#: Whoever reaches a stack that listens on loopback is on this machine: they may name a user by X-User-ID, and register
#: with the rights that the RCA page's samples need. AURORA_TRUSTED_PROXIES="" turns the first off.
_GATEWAY_DEFAULTS = {"AURORA_TRUSTED_PROXIES": "127.0.0.0/8,::1", "AURORA_REGISTRATION_ROLE": "analyst"}
#: `-P` keeps the working directory off the import path.
PROGRAM: tuple[str, ...] = (sys.executable, "-P", "-m", "services")


def agent_port_name(agent: str) -> str:
    """The name of an agent's port among the assigned ones."""
    return f"agent:{agent}"


def port_names(table: Sequence[Service]) -> list[str]:
    """The ports these services need."""
    named = [service.name for service in table] + [agent_port_name(agent) for agent in agent_names(table)]
    return named + [SYSLOG for service in table if service.syslog]


def agent_names(table: Sequence[Service]) -> list[str]:
    """Every agent of the table, in its order."""
    return [agent for service in table for agent in service.agents]


def _unless_chosen(variables: Mapping[str, str]) -> dict[str, str]:
    """Those that the operator's environment doesn't set."""
    chosen = child_environment({})
    return {name: value for name, value in variables.items() if name not in chosen}


class Launcher:
    """Makes the Command of each service of a table."""

    def __init__(
        self,
        folder: DataFolder,
        external: External,
        ports: Mapping[str, int],
        table: Sequence[Service] = SERVICES,
        program: tuple[str, ...] = PROGRAM,
    ) -> None:
        self._folder = folder
        self._external = external
        self._ports = ports
        self._table = table
        self._program = program
        self._addresses = Addresses(folder, external, ports)

    def url(self, service: str) -> str:
        """Where the service answers HTTP."""
        return f"http://{HOST}:{self._ports[service]}"

    def agent_urls(self) -> dict[str, str]:
        """Agent -> where it speaks JSON-RPC over WebSocket."""
        return {agent: f"ws://{HOST}:{self._ports[agent_port_name(agent)]}" for agent in agent_names(self._table)}

    def syslog_address(self) -> str | None:
        """`host:port` where syslog is taken, unless the operator chose other addresses."""
        return self._syslog().get("AURORA_SYSLOG_TCP") if SYSLOG in self._ports else None

    def commands(self) -> list[Command]:
        """One Command a row."""
        return [self._command(service) for service in self._table]

    def _command(self, service: Service) -> Command:
        probes = [f"{self.url(service.name)}/health/readiness"]
        probes += [f"http://{HOST}:{self._ports[agent_port_name(agent)]}/health/readiness" for agent in service.agents]

        async def ready() -> bool:
            for probe in probes:
                if not await http_serves(probe):
                    return False
            return True

        return Command(
            name=service.name,
            argv=(*self._program, service.name),
            ready=ready,
            log=self._folder.log(service.name),
            url=self.url(service.name),
            environment=child_environment(self._environment(service), without=self._withheld(service)),
            cwd=self._folder.root,
        )

    @staticmethod
    def _withheld(service: Service) -> tuple[str, ...]:
        # An administrator's DSN is for the supervisor alone; a store's address for those who hold it.
        return ("AURORA_POSTGRES_DSN",) if service.clickhouse else ("AURORA_POSTGRES_DSN", "AURORA_CLICKHOUSE_URL")

    def _environment(self, service: Service) -> dict[str, str]:
        folder = self._folder
        variables = {
            "AURORA_DATA_DIR": str(folder.root),
            "AURORA_HTTP_HOST": HOST,
            "AURORA_HTTP_PORT": str(self._ports[service.name]),
            "AURORA_IDENTITY_KEY_FILE": str(folder.secrets / f"{service.name}.key"),
            "AURORA_IDENTITY_JWKS_FILE": str(folder.secrets / "identity.jwks"),
            "AURORA_RUNTIME_SETTINGS_FILE": str(folder.root / "settings" / f"{service.name}.json"),
            "AURORA_AGENT_URLS": msgspec.json.encode(self.agent_urls()).decode(),
            "PYTHONUNBUFFERED": "1",
            # Large bodies and inserts go through files: keep them on the same disk, and out of a /tmp in memory.
            "TMPDIR": str(folder.temporary),
        }
        variables |= {f"AURORA_{peer.name.upper()}_URL": self.url(peer.name) for peer in self._table}
        variables |= self._shared_servers(service)
        if service.schema:
            variables["AURORA_POSTGRES_DSN"] = self._addresses.postgres_dsn(service.name)
        if service.clickhouse and self._external.clickhouse_url is None:
            variables["AURORA_CLICKHOUSE_PATH"] = str(folder.store("clickhouse"))
        if service.syslog:
            variables |= self._syslog()
        if service.name == GATEWAY:
            variables["AURORA_TOKEN_KEY_FILE"] = str(folder.secrets / "token.key")
            variables["AURORA_TOKEN_JWKS_FILE"] = str(folder.secrets / "token.jwks")
            variables["AURORA_ADMIN_PASSWORD_FILE"] = str(folder.password_file(ADMIN_SECRET))
            variables["AURORA_CLOUD_KEY_FILE"] = str(cloud_key_file(folder))
            if not {"AURORA_GCP_REDIRECT_URI", "AURORA_PUBLIC_URL"} & child_environment({}).keys():
                # By name: it is what browsers are told to call this machine.
                variables["AURORA_GCP_REDIRECT_URI"] = f"http://localhost:{self._ports[GATEWAY]}/callback"
            variables |= _unless_chosen(_GATEWAY_DEFAULTS)
        return variables

    def _syslog(self) -> dict[str, str]:
        """Loopback, unless the operator says where; "" is not at all."""
        address = f"{HOST}:{self._ports[SYSLOG]}"
        return _unless_chosen({"AURORA_SYSLOG_UDP": address, "AURORA_SYSLOG_TCP": address})

    def _shared_servers(self, service: Service) -> dict[str, str]:
        nats, redis = self._addresses.nats(service.name), self._addresses.redis()
        variables = {
            "AURORA_NATS_URL": nats.url,
            "AURORA_NATS_USER": nats.user,
            "AURORA_NATS_PASSWORD_FILE": nats.password_file,
            "AURORA_REDIS_URL": redis.url,
            "AURORA_REDIS_PASSWORD_FILE": redis.password_file,
        }
        return {name: str(value) for name, value in variables.items() if value is not None}
