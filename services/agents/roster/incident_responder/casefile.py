"""What a plan is made from: the alerts of the investigation and their events, as they were read, and which alert each
event belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.agents.toolkit.evidence import Seen, gather
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL, AlertArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat
from shared.contracts.claims import Citation
from shared.contracts.common import Severity
from shared.contracts.responses import ResponseRequest

#: Of the worst alerts, as many as one look is about, events are read too; each fills a record, and all must fit one
#: answer.
_WITH_EVENTS = 11
_MAX_ALERTS = 22
#: Right-to-left override: its rules see text that is turned around, which anybody can put into anything. Where other
#: alerts are, nothing is done to a program or an account for it.
_PLANTABLE = frozenset({"T1036.002"})


@dataclass(slots=True)
class CaseFile:
    """`alerts` are the results that carry them, the worst first; `pointing` has the alerts that point at an event, by
    the id of the event; `severities` the severity of each alert. `aside` are results that name nothing to act upon."""

    alerts: list[Citation] = field(default_factory=list)
    events: list[Seen] = field(default_factory=list)
    pointing: dict[str, set[str]] = field(default_factory=dict)
    severities: dict[str, Severity] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)

    def belonging(self) -> Mapping[str, set[str]]:
        """The alerts to which a result belongs, by the id of the result: an alert to itself, an event to those that
        point at it."""
        belonging = {alert.id: {alert.result["id"]} for alert in self.alerts}
        for seen in self.events:
            belonging.setdefault(seen.citation.id, set()).update(self.pointing[seen.event["log_id"]])
        return belonging


async def case_file(params: ResponseRequest, work: Work) -> CaseFile:
    """The alerts of the request, and the most telling events of the worst. Raises AURORA-4042 when there is none."""
    evidence = await gather(AnalyzeThreat(alert_id=params.alert_id, related=params.related[: _WITH_EVENTS - 1]), work)
    further = params.related[_WITH_EVENTS - 1 : _MAX_ALERTS - 1]
    found = await asyncio.gather(*(work.use(GET_ALERT_TOOL, AlertArguments(name)) for name in further))
    alerts = [evidence.alert_citation, *evidence.related, *found]
    read = [alert for alert in alerts if alert is not None]
    case = CaseFile([alert for alert in read if not _is_plantable(alert)] or read)
    for alert in case.alerts:
        case.severities[alert.result["id"]] = alert.result["severity"]
        for pointer in alert.result["evidence"]:
            case.pointing.setdefault(pointer["log_id"], set()).add(alert.result["id"])
    case.events = [seen for seen in evidence.events if seen.event["log_id"] in case.pointing]
    kept = {carrier.id for carrier in (*case.alerts, *(seen.citation for seen in case.events))}
    case.aside = {carrier.id for carrier in (*read, *(seen.citation for seen in evidence.events))} - kept
    if len(params.related) >= _MAX_ALERTS:
        work.not_checked.append(f"planned with {_MAX_ALERTS} of {len(params.related) + 1} alerts, the worst")
    return case


def _is_plantable(alert: Citation) -> bool:
    techniques = alert.result["mitre_techniques"]
    return bool(techniques) and _PLANTABLE.issuperset(techniques)
