"""Triage: reads the alert and its events, weighs what they say, collects the indicators, gives the first verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.triage import judgement
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.commandsigns import command_signs
from services.agents.toolkit.eventsigns import event_signs
from services.agents.toolkit.evidence import Evidence, Seen, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.indicators import extract
from services.agents.toolkit.signs import Sign, scaled
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import (
    GET_ALERT_TOOL,
    NEARBY_ALERTS,
    RULE_HISTORY,
    HistoryArguments,
    NearbyArguments,
)
from services.agents.toolkit.tools.commands import DECODE_COMMAND
from services.agents.toolkit.tools.logins import SESSION_ORIGIN, SessionArguments
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.sightings import SIGHTINGS, SightingsArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.common import SEVERITIES, Observable
from shared.contracts.investigations import Citation
from shared.contracts.logs import log_term

_HISTORY = timedelta(days=7)
#: What happened just before belongs to the same action, not to the history.
_RECENT = timedelta(minutes=30)
_AROUND = timedelta(minutes=15)
_MAX_COMMANDS = 8
_MAX_SESSIONS = 4
_MAX_RULES = 5


class Triage:
    """The first look at every alert."""

    id = "triage"
    description = "First look: what the alert and its events say, how ordinary it is here, which indicators it holds"
    tools: Sequence[Tool[Any]] = (
        GET_ALERT_TOOL, GET_EVENT, NEARBY_ALERTS, RULE_HISTORY, SESSION_ORIGIN, DECODE_COMMAND, SIGHTINGS,
    )  # fmt: skip
    skills: Sequence[Skill[Any, Any]] = ()

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        texts: list[str] = []
        signs = [sign for seen in evidence.events for sign in event_signs(seen.event, seen.citation)]
        for seen, command in _commands(evidence.events):
            found, hidden = await command_signs(command, seen.citation, work)
            texts += [command, *hidden]
            signs += scaled(found, judgement.ORDINARY) if await self._is_ordinary(found, seen, command, work) else found
        texts += [text for seen in evidence.events for text in (seen.event["message"], seen.field("url.original"))]
        origins = await self._origins(evidence.events, work)
        iocs = list(dict.fromkeys([*evidence.iocs, *origins, *_observables(evidence), *extract(texts)]))
        if evidence.alert is None:
            return await undetermined(signs, iocs, "low", "no alert was read: only indicators are passed on", work)
        if not evidence.events:
            work.not_checked.append("the alert points at no stored event")
        signs += await self._surroundings(evidence, work)
        return await assess(signs, iocs, evidence.level, work)

    async def _is_ordinary(self, found: Sequence[Sign], seen: Seen, command: str, work: Work) -> bool:
        """Whether this very command has long been run here. Only asked where something speaks against it."""
        if not found:
            return False
        q = log_term("process.command_line", command[:500])
        since, until = seen.moment - _HISTORY, seen.moment - _RECENT
        before = await work.use(SIGHTINGS, SightingsArguments(q=q, since=since, until=until))
        if before is None:
            return False
        if before.result["count"] == 0:
            work.ruled_out.append(f"ordinary use: {quote(command, 80)} was not seen here in the 7 days before")
        return judgement.is_ordinary(before.result, seen.moment)

    async def _origins(self, events: Sequence[Seen], work: Work) -> list[Observable]:
        """The addresses from which the sessions were opened that the events belong to."""
        sessions = {(seen.field("host.name"), session): seen for seen in events if (session := seen.session())}
        found: dict[Observable, None] = {}
        for (host, (field, value)), seen in list(sessions.items())[:_MAX_SESSIONS]:
            arguments = SessionArguments(host=host, field=field, value=value, at=seen.moment)
            origin = await work.use(SESSION_ORIGIN, arguments)
            for login in [] if origin is None else origin.result["logins"]:
                found.setdefault(Observable("ip", login["source_ip"]))
        return list(found)

    async def _surroundings(self, evidence: Evidence, work: Work) -> list[Sign]:
        """The alert's own word, weighed by its rule's past here and by the alerts around it."""
        if evidence.alert is None or evidence.alert_citation is None:
            return []
        alert = evidence.alert
        nearby = None
        if host := evidence.entity("host"):
            since = datetime.fromisoformat(alert["first_seen"]) - _AROUND
            until = datetime.fromisoformat(alert["last_seen"]) + _AROUND
            arguments = NearbyArguments(host=host, since=since, until=until, except_id=alert["id"])
            nearby = await work.use(NEARBY_ALERTS, arguments)
        joined = {alert["id"], *(citation.result["id"] for citation in evidence.related)}
        return [
            *await self._word(evidence.alert_citation, work),
            *judgement.joined_signs([await self._word(other, work) for other in _other_rules(evidence)]),
            *([] if nearby is None else judgement.company_signs(alert, nearby, joined)),
        ]

    async def _word(self, carrier: Citation, work: Work) -> list[Sign]:
        """What an alert says by itself, weighed by its rule's past here."""
        alert = carrier.result
        history = None
        if alert["rule_id"]:
            arguments = HistoryArguments(
                rule_id=alert["rule_id"], except_id=alert["id"], until=datetime.fromisoformat(alert["first_seen"])
            )
            history = await work.use(RULE_HISTORY, arguments)
        return judgement.rule_signs(alert, carrier, history)


def _other_rules(evidence: Evidence) -> list[Citation]:
    """One alert of each further rule, the most severe first."""
    known = None if evidence.alert is None else evidence.alert["rule_id"]
    worst = sorted(evidence.related, key=lambda citation: -SEVERITIES.index(citation.result["severity"]))
    found: dict[str | None, Citation] = {}
    for citation in worst:
        found.setdefault(citation.result["rule_id"], citation)
    return [citation for rule, citation in found.items() if rule != known][:_MAX_RULES]


def _commands(events: Sequence[Seen]) -> list[tuple[Seen, str]]:
    found: dict[str, Seen] = {}
    for seen in events:
        for command in seen.commands():
            found.setdefault(command, seen)
    return [(seen, command) for command, seen in list(found.items())[:_MAX_COMMANDS]]


def _observables(evidence: Evidence) -> list[Observable]:
    if evidence.alert is None:
        return []
    return [Observable(item["type"], item["value"]) for item in evidence.alert["observables"]]
