"""The evidence of an investigation: its alerts and the events they point at, each with the citation that carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest
from typing import Any, Literal

from services.agents.toolkit.behaviours import behaviours_in
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL, AlertArguments
from services.agents.toolkit.tools.logs import GET_EVENT, EventArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat
from shared.contracts.common import SEVERITIES, Observable, Severity
from shared.contracts.investigations import Citation
from shared.errors import ALERT_NOT_FOUND, NOT_FOUND, VALIDATION, AuroraError

#: Events that are looked at: of the alert itself, of each related one, and of all together.
_MAX_EVENTS = 6
_MAX_RELATED_EVENTS = 3
_MAX_ALL_EVENTS = 16
#: Related alerts that are read; each may fill a record, and all records must fit one answer.
_MAX_RELATED = 10
#: Sessions that belong to the system itself or to none.
_NO_SESSIONS = frozenset({"4294967295", "-1", "unset", "0x0", "0x3e7", "0x3e4", "0x3e5"})
#: ECS fields that hold a command or a script, in the order of preference.
_COMMAND_FIELDS = (
    "process.command_line",
    "powershell.file.script_block_text",
    "process.parent.command_line",
    "registry.data.strings",
    "powershell.command.invocation_details",
    "winlog.event_data.ContextInfo",
    "winlog.event_data.HostApplication",
    "winlog.event_data.Data",
    "winlog.event_data.TaskContent",
    "winlog.event_data.TaskContentNew",
    "winlog.event_data.Destination",
)

_NO_SUCH_ALERT = (ALERT_NOT_FOUND, NOT_FOUND, VALIDATION)
SessionField = Literal["auditd.session", "winlog.logon.id"]
_SESSION_FIELDS: tuple[SessionField, ...] = ("auditd.session", "winlog.logon.id")


@dataclass(frozen=True, slots=True)
class Seen:
    """One event and its citation. `event` is compact: log_id, timestamp, dataset, message, ecs."""

    event: Mapping[str, Any]
    citation: Citation

    def field(self, name: str) -> str:
        """The ECS field as text; the first item of a list; empty when it isn't there."""
        value = self.event["ecs"].get(name)
        if isinstance(value, list):
            value = value[0] if value else None
        return "" if value is None else str(value)

    @property
    def moment(self) -> datetime:
        """When it happened."""
        return datetime.fromisoformat(self.event["timestamp"])

    def session(self) -> tuple[SessionField, str] | None:
        """The login session that the event belongs to; None for the system's own."""
        for name in _SESSION_FIELDS:
            value = self.field(name)
            if value and value.lower() not in _NO_SESSIONS:
                return name, value
        return None

    def commands(self) -> list[str]:
        """What was run or scripted, as far as the event says."""
        return [text for name in _COMMAND_FIELDS if (text := self.field(name))]


@dataclass(slots=True)
class Evidence:
    """What is known at the start. Without an alert (indicators only) `alert` is None. `related` are the citations of
    the investigation's other alerts, `events` those of all of them, the alert's own first."""

    alert: Mapping[str, Any] | None = None
    alert_citation: Citation | None = None
    related: list[Citation] = field(default_factory=list)
    events: list[Seen] = field(default_factory=list)
    iocs: list[Observable] = field(default_factory=list)

    @property
    def level(self) -> Severity:
        """How severe the alerts are: as the worst of them; low without one."""
        alerts = [*([] if self.alert is None else [self.alert]), *(citation.result for citation in self.related)]
        return max((alert["severity"] for alert in alerts), key=SEVERITIES.index, default="low")

    def entity(self, kind: str) -> str:
        """A named entity of the alert; empty when it has none."""
        return "" if self.alert is None else str(self.alert["entities"].get(kind, ""))


async def gather(params: AnalyzeThreat, work: Work) -> Evidence:
    """Reads the alert and its most telling events. An alert that can't be read now is no error: `alert` is None.

    Raises AURORA-4042 when there is neither such an alert nor an indicator."""
    evidence = Evidence(iocs=list(params.iocs))
    if params.alert_id is not None:
        citation = await work.use(GET_ALERT_TOOL, AlertArguments(params.alert_id))
        if citation is not None:
            evidence.alert, evidence.alert_citation = citation.result, citation
    if evidence.alert is None:
        unknown = params.alert_id is None or work.refusals.get(GET_ALERT_TOOL.name) in _NO_SUCH_ALERT
        if unknown and not params.iocs:
            raise AuroraError(ALERT_NOT_FOUND, {"alert_id": params.alert_id})
        return evidence
    evidence.related = await _related(params.related, work)
    calls = [
        EventArguments(log_id=item["log_id"], at=_time(item.get("timestamp")))
        for item in _chosen(evidence.alert, evidence.related, work)
    ]
    for seen in await asyncio.gather(*(work.use(GET_EVENT, call) for call in calls)):
        if seen is not None:
            evidence.events += [Seen(event, seen) for event in seen.result["events"]]
    return evidence


async def _related(alert_ids: Sequence[str], work: Work) -> list[Citation]:
    read = alert_ids[:_MAX_RELATED]
    if len(read) < len(alert_ids):
        work.not_checked.append(f"read {len(read)} of {len(alert_ids)} related alerts")
    found = await asyncio.gather(*(work.use(GET_ALERT_TOOL, AlertArguments(alert_id)) for alert_id in read))
    return [citation for citation in found if citation is not None]


def _chosen(alert: Mapping[str, Any], related: Sequence[Citation], work: Work) -> list[Mapping[str, Any]]:
    """The pointers at events worth reading, each once: the alert's own first, then those of every other in turn."""
    own = most_telling(alert["evidence"], _MAX_EVENTS)
    if len(own) < alert["count"]:
        work.not_checked.append(f"looked at {len(own)} of {alert['count']} events of the alert")
    others = [most_telling(citation.result["evidence"], _MAX_RELATED_EVENTS) for citation in related]
    in_turn = [item for row in zip_longest(*others) for item in row if item is not None]
    once = {item["log_id"]: item for item in [*own, *in_turn]}
    return list(once.values())[:_MAX_ALL_EVENTS]


def most_telling(items: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """At most so many of an alert's evidence: first what speaks of intent by its line, then different lines, then the
    same line again (it may be another's), each evenly over the time. Which of them came first changes nothing."""
    items = sorted(items, key=_when)
    distinct = list({item.get("message") or item["log_id"]: item for item in items}.values())
    weighed = [(_weight(item.get("message") or ""), item) for item in distinct]
    telling = [item for weight, item in sorted(weighed, key=lambda pair: -pair[0]) if weight > 0]
    chosen = telling[: most - most // 3]
    for candidates in (distinct, items):
        chosen += _evenly([item for item in candidates if item not in chosen], most - len(chosen))
    return chosen


def _when(item: Mapping[str, Any]) -> tuple[str, str]:
    """Where a pointer belongs among its like; those without a time stay as they are."""
    at = item.get("timestamp") or ""
    return (at, (item.get("message") or "") if at else "")


def _evenly(items: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    if len(items) <= most:
        return list(items)
    return [items[place * (len(items) - 1) // max(most - 1, 1)] for place in range(most)]


def _weight(message: str) -> float:
    return max((behaviour.weight for behaviour in behaviours_in(message)), default=0.0)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
