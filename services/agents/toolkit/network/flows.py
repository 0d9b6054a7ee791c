"""Connections as compact rows, whatever logged them: firewall, Zeek, Suricata, Sysmon, proxy. Pure.

One connection is often logged more than once (built and torn down, by two sensors), so rows keep which log they come
from, and statistics are taken of one log at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shared.contracts.logs import LogEvent

#: What of an event a flow is made of; nothing else needs to be read.
FIELDS = (
    "source.ip", "destination.ip", "destination.port", "destination.domain", "source.bytes", "destination.bytes",
    "destination.packets", "network.transport", "network.direction", "event.action", "event.type", "event.outcome",
    "host.name", "process.name", "process.executable", "tls.client.server_name", "tls.client.ja3", "url.domain",
    "user_agent.original",
)  # fmt: skip
_NAMES = ("tls.client.server_name", "destination.domain", "url.domain")
_MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Flow:
    """One logged connection. `at` is in epoch seconds; bytes are None where the log doesn't count them; `failed` is
    True when it was refused or not answered."""

    at: float
    log: str
    log_id: str
    source: str
    destination: str
    port: int
    sent: int | None = None
    received: int | None = None
    failed: bool = False
    name: str = ""
    process: str = ""
    agent: str = ""
    ja3: str = ""

    @property
    def series(self) -> tuple[str, str, int, str, str]:
        """Flows of one series are check-ins of the same programme, if they are check-ins."""
        return (self.source, self.destination, self.port, self.log, self.process)


def flow_of(event: LogEvent) -> Flow | None:
    """The connection that an event tells of; None when it names no two addresses."""
    ecs = event.ecs
    source, destination = first(ecs, "source.ip"), first(ecs, "destination.ip")
    if not source or not destination:
        return None
    return Flow(
        at=event.timestamp.timestamp(),
        log=f"{event.dataset}/{first(ecs, 'event.action')}",
        log_id=event.id,
        source=source,
        destination=destination,
        port=_number(ecs, "destination.port") or 0,
        sent=_number(ecs, "source.bytes"),
        received=_number(ecs, "destination.bytes"),
        failed=_failed(ecs),
        name=next((name for field in _NAMES if (name := first(ecs, field).lower())), ""),
        process=first(ecs, "process.executable") or first(ecs, "process.name"),
        agent=first(ecs, "user_agent.original"),
        ja3=first(ecs, "tls.client.ja3"),
    )


def flows_of(events: Iterable[LogEvent]) -> list[Flow]:
    """The connections among some events, oldest first."""
    flows = [flow for event in events if (flow := flow_of(event)) is not None]
    return sorted(flows, key=lambda flow: (flow.at, flow.log_id))


def first(ecs: dict[str, Any], name: str) -> str:
    """A field as a text of at most 200 characters; the first of a list; empty when it isn't there."""
    value = ecs.get(name)
    if isinstance(value, list):
        value = value[0] if value else None
    return "" if value is None else str(value)[:_MAX_TEXT]


def _number(ecs: dict[str, Any], name: str) -> int | None:
    text = first(ecs, name)
    return int(text) if text.isascii() and text.isdigit() else None


def _failed(ecs: dict[str, Any]) -> bool:
    types = ecs.get("event.type")
    if isinstance(types, list) and "denied" in types:
        return True
    if first(ecs, "event.outcome") == "failure" and "http.response.status_code" not in ecs:
        return True
    answered = (_number(ecs, "destination.packets"), _number(ecs, "destination.bytes"))
    if answered[0] == 0:
        return True
    # A refused TCP connection has an answer, but no byte either way.
    tcp = first(ecs, "network.transport").lower() == "tcp"
    return tcp and answered[1] == 0 and _number(ecs, "source.bytes") == 0
