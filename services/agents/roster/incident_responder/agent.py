"""Incident responder: plans what an operator may do, for approval. It has no vote, and carries nothing out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.agents.roster.incident_responder.casefile import CaseFile, case_file
from services.agents.roster.incident_responder.planning import Situation, plan
from services.agents.roster.incident_responder.targets import Target, Targets, indicated, seen_in
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import undetermined
from services.agents.toolkit.chronology import window
from services.agents.toolkit.eventsigns import texts_of
from services.agents.toolkit.evidence import gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.footholds import FOOTHOLDS, FootholdArguments
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import Observable
from shared.contracts.responses import PLAN_RESPONSE, ResponsePlan, ResponseRequest

_MAX_HOSTS = 3
#: What only a domain controller's own log tells.
_CONTROLLER_CODES = frozenset({"4768", "4769", "4771", "4662", "4794"})
_DNS_PORT = "53"


class IncidentResponder:
    """What to do about it."""

    id = "incident_responder"
    description = "Plans containment, eradication and recovery for approval: risk, precondition, command, undo; no vote"
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, FOOTHOLDS)

    def __init__(self) -> None:
        self.skills: Sequence[Skill[Any, Any]] = (Skill(PLAN_RESPONSE, self.plan_response),)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        reason = "incident_responder plans (plan_response) and has no vote"
        return await undetermined([], evidence.iocs, evidence.level, reason, work)

    async def plan_response(self, params: ResponseRequest, work: Work) -> ResponsePlan:
        """Raises AURORA-4042 when there is no such alert."""
        case = await case_file(params, work)
        targets = Targets()
        for alert in case.alerts:
            if host := alert.result["entities"].get("host"):
                of = frozenset([alert.result["id"]])
                targets.add(Target("host", host, "", "unknown", (alert.id,), alerts=of))
        for seen in case.events:
            seen_in(seen.event, seen.citation, targets, case.pointing[seen.event["log_id"]])
        await self._footholds(case, targets, work)
        shown = [citation for citation in work.citations if citation.id not in case.aside]
        unseen = indicated(_indicators(params, case), shown, _findings(params), targets, case.belonging())
        found = targets.ranked(case.severities)
        situation = Situation(
            verdict=params.verdict,
            techniques=params.mitre_techniques,
            targets=found,
            controllers=_controllers(case),
            resolvers=_resolvers(case),
        )
        steps, left_out = plan(situation)
        hosts = {target.value for target in found if target.kind == "host"}
        unseen += [item for item in params.entities if item.type == "host" and item.value not in hosts]
        left_out += sorted({f"{item.type} {quote(item.value, 80)}: no cited evidence shows it" for item in unseen})
        return ResponsePlan(steps=steps, not_planned=[*left_out, *sorted(work.not_checked)], citations=work.citations)

    async def _footholds(self, case: CaseFile, targets: Targets, work: Work) -> None:
        """Adds what was set up to come back on the hosts around the time of the alerts."""
        if not case.alerts:
            return
        first, last = (_times(case.alerts, name) for name in ("first_seen", "last_seen"))
        since, until = window(min(first), max(last))
        hosts = [target.value for target in targets.ranked(case.severities) if target.kind == "host"][:_MAX_HOSTS]
        calls = [FootholdArguments(host=host, since=since, until=until) for host in hosts]
        for found in await asyncio.gather(*(work.use(FOOTHOLDS, call) for call in calls)):
            for event in [] if found is None else found.result.get("events", ()):
                if found is not None:
                    seen_in(event, found, targets)


def _indicators(params: ResponseRequest, case: CaseFile) -> list[Observable]:
    named = [item for item in params.entities if item.type in ("ip", "source_ip", "domain", "hash")]
    own = [
        Observable(item["type"], item["value"]) for alert in case.alerts for item in alert.result.get("observables", ())
    ]
    prior = [ioc for said in params.prior if said.verdict in ("malicious", "suspicious") for ioc in said.iocs]
    return list(dict.fromkeys(_normal(item) for item in (*named, *own, *params.iocs, *prior)))


def _findings(params: ResponseRequest) -> list[Finding]:
    """What speaks against somebody or something; the rest only informs."""
    said = [*params.findings, *(finding for prior in params.prior for finding in prior.findings)]
    return [finding for finding in said if finding.confidence > 0]


def _normal(item: Observable) -> Observable:
    kind = "ip" if item.type == "source_ip" else item.type
    return Observable(kind, item.value.lower() if kind in ("domain", "hash") else item.value)


def _controllers(case: CaseFile) -> set[str]:
    return {seen.field("host.name") for seen in case.events if seen.field("event.code") in _CONTROLLER_CODES}


def _resolvers(case: CaseFile) -> set[str]:
    asked = [seen for seen in case.events if _DNS_PORT in texts_of(seen.event, "destination.port")]
    return {seen.field("destination.ip") for seen in asked}


def _times(alerts: Sequence[Citation], name: str) -> list[datetime]:
    return [datetime.fromisoformat(alert.result[name]) for alert in alerts]
