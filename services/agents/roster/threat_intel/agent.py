"""Threat intelligence: what is known of the indicators by their form, and of their sources by what they did here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.threat_intel.judgement import login_signs, probing_signs, request_signs, unknown_note
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.evidence import Evidence, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.indicators import classify_address, is_benign_domain, refang
from services.agents.toolkit.queries import phrase
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.sightings import SIGHTINGS, SightingsArguments
from services.agents.toolkit.work import Work
from shared.clock import utc_now
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.common import Observable, Severity
from shared.contracts.investigations import Citation

_BEFORE = timedelta(hours=24)
_AFTER = timedelta(hours=1)
_MAX_SOURCES = 4
_MAX_ACCOUNTS = 2
_MAX_INDICATORS = 12


class ThreatIntel:
    """What an indicator is, and what it did here."""

    id = "threat_intel"
    description = "Indicators: their class, their sightings on this estate, how their sources behaved"
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, SIGHTINGS)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        if evidence.alert is None and params.alert_id is not None:
            work.not_checked.append(f"the alert {quote(params.alert_id, 60)} was not found")
        iocs = [Observable(item.type, refang(item.value)) for item in evidence.iocs]
        around = _moment(evidence)
        signs = _request_signs(evidence)
        sources = _sources(evidence, iocs) or await self._login_sources(evidence, around, work)
        for source in sources:
            signs += await self._source_signs(source, around, work)
        signs_seen = await self._sightings(iocs, around, work)
        level: Severity = "low" if evidence.alert is None else evidence.alert["severity"]
        if signs:
            return await assess([*signs, *signs_seen], iocs, level, work)
        if not iocs and not sources:
            return undetermined(iocs, level, "the alert holds no indicator", work)
        for sign in signs_seen:
            await work.find(sign.claim, 0.5, sign.citation)
        return undetermined(iocs, level, "nothing is known that speaks for or against the indicators", work)

    async def _login_sources(self, evidence: Evidence, around: datetime, work: Work) -> list[str]:
        """Where the accounts of events that name no address were entered from: whoever did that may be acting."""
        found: list[str] = []
        for host, user in _accounts(evidence):
            logins = f"host.name:{phrase(host)} user.name:{phrase(user)} event.category:*authentication*"
            seen = await self._seen(f"{logins} event.outcome:success", around, work)
            found += [] if seen is None else seen.result["values"].get("source.ip", {})
        return list(dict.fromkeys(found))[:_MAX_SOURCES]

    async def _source_signs(self, source: str, around: datetime, work: Work) -> list[Sign]:
        """How an address behaved here: its logins and its web requests."""
        base = f"source.ip:{phrase(source)}"
        failures = await self._seen(f"{base} event.category:*authentication* event.outcome:failure", around, work)
        successes = await self._seen(f"{base} event.category:*authentication* event.outcome:success", around, work)
        requests = await self._seen(f"{base} event.category:*web*", around, work)
        signs: list[Sign] = []
        if failures is not None and successes is not None:
            signs += login_signs(source, failures, successes)
        if requests is not None:
            signs += probing_signs(source, requests)
        if not signs:
            work.ruled_out.append(f"guessing or probing from {quote(source, 60)} within a day")
        return signs

    async def _sightings(self, iocs: Sequence[Observable], around: datetime, work: Work) -> list[Sign]:
        """Where else the indicators were seen; what they are by their form."""
        unknown: list[str] = []
        signs: list[Sign] = []
        for ioc in iocs[:_MAX_INDICATORS]:
            note = _form(ioc)
            if note is not None:
                work.ruled_out.append(note)
                continue
            unknown.append(ioc.value)
            seen = await self._seen(phrase(ioc.value[:300]), around, work)
            if seen is not None and seen.result["count"]:
                hosts = ", ".join(quote(name, 40) for name in seen.result["values"].get("host.name", {}))
                claim = f"{quote(ioc.value, 80)} was seen {seen.result['count']} time(s), on {hosts or 'no named host'}"
                signs.append(Sign(f"sighting {ioc.value}", claim, 0.0, (), seen))
        if unknown:
            work.not_checked.append(unknown_note(unknown))
        return signs

    async def _seen(self, q: str, around: datetime, work: Work) -> Citation | None:
        return await work.use(SIGHTINGS, SightingsArguments(q=q, since=around - _BEFORE, until=around + _AFTER))


def _moment(evidence: Evidence) -> datetime:
    if evidence.alert is None:
        return utc_now()
    return datetime.fromisoformat(evidence.alert["last_seen"])


def _sources(evidence: Evidence, iocs: Sequence[Observable]) -> list[str]:
    """The addresses that acted, the events' own first."""
    acted = [seen.field("source.ip") for seen in evidence.events]
    named = [evidence.entity("source_ip"), *(ioc.value for ioc in iocs if ioc.type == "ip")]
    return [source for source in dict.fromkeys([*acted, *named]) if source][:_MAX_SOURCES]


def _accounts(evidence: Evidence) -> list[tuple[str, str]]:
    """Host and user of the events, each pair once."""
    pairs = dict.fromkeys((seen.field("host.name"), seen.field("user.name")) for seen in evidence.events)
    return [(host, user) for host, user in pairs if host and user][:_MAX_ACCOUNTS]


def _request_signs(evidence: Evidence) -> list[Sign]:
    signs: list[Sign] = []
    for seen in evidence.events:
        url, agent = seen.field("url.original"), seen.field("user_agent.original")
        if url or agent:
            signs += request_signs(url, agent, seen.field("http.response.status_code"), seen.citation)
    return signs


def _form(ioc: Observable) -> str | None:
    """What an indicator's form alone says, where that ends the question."""
    if ioc.type == "ip":
        try:
            kind = classify_address(ioc.value)
        except ValueError:
            return f"{quote(ioc.value, 80)} is not an address"
        return None if kind == "public" else f"reputation of {quote(ioc.value, 80)}: a {kind} address has none"
    if ioc.type == "domain" and is_benign_domain(ioc.value):
        return f"{quote(ioc.value, 80)}: everybody talks to it, so it proves nothing"
    return None
