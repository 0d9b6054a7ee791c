"""Triage: reads the alert and its events, weighs what they say, collects the indicators, gives the first verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.agents.roster.triage import judgement
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.commandsigns import command_signs
from services.agents.toolkit.evidence import Evidence, Seen, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.indicators import extract
from services.agents.toolkit.queries import phrase
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.commands import DECODE_COMMAND
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.sightings import SIGHTINGS, SightingsArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.common import Observable

_HISTORY = timedelta(days=7)
#: What happened just before belongs to the same action, not to the history.
_RECENT = timedelta(minutes=30)
_MAX_COMMANDS = 8


class Triage:
    """The first look at every alert."""

    id = "triage"
    description = "First look: what the alert and its events say, how ordinary it is here, which indicators it holds"
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, DECODE_COMMAND, SIGHTINGS)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        texts: list[str] = []
        signs = judgement.rule_signs(evidence)
        for seen, command in _commands(evidence.events):
            found, hidden = await command_signs(command, seen.citation, work)
            texts += [command, *hidden]
            signs += judgement.weakened(found) if found and await self._is_ordinary(seen, command, work) else found
        texts += [text for seen in evidence.events for text in (seen.event["message"], seen.field("url.original"))]
        iocs = list(dict.fromkeys([*evidence.iocs, *_observables(evidence), *extract(texts)]))
        if evidence.alert is None:
            return undetermined(iocs, "low", "no alert was read: only the indicators are passed on", work)
        if not evidence.events:
            work.not_checked.append("the alert points at no stored event")
        return await assess(signs, iocs, evidence.alert["severity"], work)

    async def _is_ordinary(self, seen: Seen, command: str, work: Work) -> bool:
        """Whether this very command has long been run here. Only asked where something speaks against it."""
        q = f"process.command_line:{phrase(command[:500])}"
        since, until = seen.moment - _HISTORY, seen.moment - _RECENT
        before = await work.use(SIGHTINGS, SightingsArguments(q=q, since=since, until=until))
        if before is None:
            return False
        if before.result["count"] == 0:
            work.ruled_out.append(f"ordinary use: {quote(command, 80)} was not seen here in the 7 days before")
        return judgement.is_ordinary(before.result, seen.moment)


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
