"""Threat intelligence: what imports and their form tell of the indicators, and what their sources did here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.threat_intel import reputation
from services.agents.roster.threat_intel.judgement import (
    KNOWS_LOGINS,
    logins_signs,
    probing_signs,
    request_signs,
    sighting_sign,
    unknown_note,
)
from services.agents.roster.threat_intel.observing import observables_of, techniques_of
from services.agents.toolkit import attack
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.evidence import Evidence, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.handing import Answer
from services.agents.toolkit.indicators import classify_address, refang
from services.agents.toolkit.queries import anywhere
from services.agents.toolkit.signs import Sign, scaled
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.attack import ATTACK_LOOKUP, ATTACK_OVERLAP, AttackArguments
from services.agents.toolkit.tools.intel import LOOKUP_INTEL_TOOL, IntelArguments
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.sightings import SIGHTINGS, SightingsArguments
from services.agents.toolkit.warninglists import warning_of
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment, Budget
from shared.contracts.common import Observable, Severity
from shared.contracts.intel_methods import (
    ATTRIBUTE_TECHNIQUES,
    LOOKUP_INDICATORS,
    Attribution,
    AttributionRequest,
    IndicatorReport,
    IndicatorRequest,
    Overlap,
    TechniqueName,
)
from shared.contracts.investigations import Citation
from shared.contracts.logs import log_term
from shared.contracts.reviews import REVIEW_LOGINS, LoginReview, ReviewLogins

_BEFORE = timedelta(hours=24)
_AFTER = timedelta(hours=1)
_MAX_SOURCES = 4
#: The host itself, and nobody.
_NO_SOURCES = ("", "127.0.0.1", "::1")
_MAX_ACCOUNTS = 2
_MAX_SIGHTINGS = 6
#: Fewer techniques resemble nobody in particular.
_LEAST_TECHNIQUES = 3
#: Which indicators tell most; hashes of ordinary programs are everywhere.
_ASKED_FIRST = {"url": 0, "domain": 1, "ip": 2, "email": 3, "hash": 4}
#: What is left of a source's signs when only the account leads to it: others may be using the account.
_BY_ACCOUNT = 0.6
#: Addresses whose logins are asked for, and what may be spent on each: the logins, and both ends of a journey.
_MAX_REVIEWED = 2
_REVIEW_BUDGET = Budget(3, 20.0)


class ThreatIntel:
    """What an indicator is, what is known of it, and what it did here."""

    id = "threat_intel"
    description = "Indicators: imported intelligence, their class, their sightings here, how their sources behaved"
    tools: Sequence[Tool[Any]] = (
        GET_ALERT_TOOL, GET_EVENT, SIGHTINGS, LOOKUP_INTEL_TOOL, ATTACK_LOOKUP, ATTACK_OVERLAP,
    )  # fmt: skip

    def __init__(self) -> None:
        self.skills: Sequence[Skill[Any, Any]] = (
            Skill(LOOKUP_INDICATORS, self.lookup_indicators),
            Skill(ATTRIBUTE_TECHNIQUES, self.attribute_techniques),
        )

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        if evidence.alert is None and params.alert_id is not None:
            work.not_checked.append(f"the alert {quote(params.alert_id, 60)} was not found")
        iocs = [Observable(item.type, refang(item.value)) for item in evidence.iocs]
        around = _moment(evidence, work.asked_at)
        # Of those that others asked about, their word tells already.
        asked = [item for item in observables_of(evidence) if item.value not in params.heard]
        signs, known = await self._known(asked, around, work)
        sources = _sources(evidence, iocs)
        signs += _request_signs(evidence)
        acted = sources or await self._login_sources(evidence, around, work)
        behaved = await self._probing(acted, around, work)
        if KNOWS_LOGINS not in params.beside:
            behaved += await self._logins(acted, around, work)
        signs += behaved if sources else scaled(behaved, _BY_ACCOUNT)
        seen = await self._sightings(iocs, known, around, work)
        named = [technique for prior in params.prior for technique in prior.mitre_techniques]
        seen += await self._resemblance(techniques_of(evidence, named), work)
        level: Severity = "low" if evidence.alert is None else evidence.level
        if any(sign.weight for sign in signs):
            return await assess([*signs, *seen], iocs, level, work, clean=0.0)
        reason = "nothing is known that speaks for or against the indicators" if iocs else "there is no indicator"
        return await undetermined([*signs, *seen], iocs, level, reason, work)

    async def lookup_indicators(self, params: IndicatorRequest, work: Work) -> IndicatorReport:
        """What is known of each observable; one that couldn't be looked up is unknown, with a note."""
        at = params.at or work.asked_at
        looked_up = await work.use(LOOKUP_INTEL_TOOL, IntelArguments(observables=params.observables, at=at))
        if looked_up is None:
            return IndicatorReport(indicators=[], stored=0, not_checked=work.not_checked)
        return IndicatorReport(
            indicators=reputation.standings(params.observables, looked_up),
            stored=looked_up.result.get("stored", 0),
            not_checked=[*work.not_checked, *_left_out(looked_up)],
            citations=work.citations,
        )

    async def attribute_techniques(self, params: AttributionRequest, work: Work) -> Attribution:
        """Whom the techniques resemble."""
        found = await work.use(ATTACK_OVERLAP, AttackArguments(params.techniques))
        if found is None:
            return Attribution(techniques=[], overlaps=[], not_checked=work.not_checked)
        return Attribution(
            techniques=[TechniqueName(**item) for item in found.result["techniques"]],
            overlaps=[Overlap(**item, citation=found.id) for item in found.result["overlaps"]],
            not_checked=work.not_checked,
            citations=work.citations,
        )

    async def _known(
        self, observables: Sequence[Observable], around: datetime, work: Work
    ) -> tuple[list[Sign], set[str]]:
        """What imports say of the observables, and which of them they know."""
        if not observables:
            return [], set()
        looked_up = await work.use(LOOKUP_INTEL_TOOL, IntelArguments(observables=list(observables), at=around))
        if looked_up is None:
            return [], set()
        work.not_checked += _left_out(looked_up)
        stored = looked_up.result.get("stored", 0)
        signs = reputation.match_signs(looked_up)
        if not stored:
            work.not_checked.append("no intelligence is loaded: aurora intel import")
        elif not signs:
            work.ruled_out.append(f"a match of {len(observables)} observable(s) with {stored} imported value(s)")
        return signs, {match["value"] for match in looked_up.result.get("matches", [])}

    async def _resemblance(self, techniques: Sequence[str], work: Work) -> list[Sign]:
        valid = [technique for technique in techniques if attack.is_valid(technique)]
        if len(valid) < _LEAST_TECHNIQUES:
            return []
        overlap = await work.use(ATTACK_OVERLAP, AttackArguments(valid))
        sign = None if overlap is None else reputation.overlap_sign(overlap)
        return [] if sign is None else [sign]

    async def _login_sources(self, evidence: Evidence, around: datetime, work: Work) -> list[str]:
        """Where the accounts of events that name no address were entered from: whoever did that may be acting."""
        found: list[str] = []
        for host, user in _accounts(evidence):
            logins = f"{log_term('host.name', host)} {log_term('user.name', user)} event.category:authentication"
            seen = await self._seen(f"{logins} event.outcome:success", around, work)
            found += [] if seen is None else seen.result["values"].get("source.ip", {})
        return list(dict.fromkeys(found))[:_MAX_SOURCES]

    async def _probing(self, sources: Sequence[str], around: datetime, work: Work) -> list[Sign]:
        """Whether addresses searched what web servers here have."""
        found = await asyncio.gather(
            *(self._seen(f"{log_term('source.ip', source)} event.category:web", around, work) for source in sources)
        )
        signs: list[Sign] = []
        for source, requests in zip(sources, found, strict=True):
            probed = [] if requests is None else probing_signs(source, requests)
            signs += probed
            if requests is not None and not probed:
                work.ruled_out.append(f"probing from {quote(source, 60)} within a day")
        return signs

    async def _logins(self, sources: Sequence[str], around: datetime, work: Work) -> list[Sign]:
        """What the identity analyst says of the addresses' logins: it alone judges them, also where only an address
        leads to it."""
        reviewed = sources[:_MAX_REVIEWED]
        answers = await asyncio.gather(*(self._review(source, around, work) for source in reviewed))
        signs: list[Sign] = []
        for source, answer in zip(reviewed, answers, strict=True):
            found = [] if answer is None else logins_signs(source, answer)
            signs += found
            if answer is not None:
                work.not_checked += answer.result.not_checked
            if answer is not None and not found:
                work.ruled_out.append(f"guessing from {quote(source, 60)} within a day")
        if len(sources) > _MAX_REVIEWED:
            work.not_checked.append(f"the logins of {len(sources) - _MAX_REVIEWED} more address(es)")
        return signs

    async def _review(self, source: str, around: datetime, work: Work) -> Answer[LoginReview] | None:
        asked = ReviewLogins(field="source.ip", value=source, since=around - _BEFORE, until=around + _AFTER)
        reason = f"how {quote(source, 60)} logged in"
        return await work.hand_off(KNOWS_LOGINS, REVIEW_LOGINS, asked, reason=reason, budget=_REVIEW_BUDGET)

    async def _sightings(self, iocs: Sequence[Observable], known: set[str], around: datetime, work: Work) -> list[Sign]:
        """Where else the indicators were seen; what they are by their form. `known` are those that imports know."""
        asked: list[Observable] = []
        for ioc in sorted(iocs, key=lambda ioc: _ASKED_FIRST.get(ioc.type, len(_ASKED_FIRST))):
            note = _form(ioc)
            if note is not None:
                work.ruled_out.append(note)
            else:
                asked.append(ioc)
        if not asked:
            return []
        if unknown := [ioc.value for ioc in asked if ioc.value not in known]:
            work.not_checked.append(unknown_note(unknown))
        searched = asked[:_MAX_SIGHTINGS]
        found = await asyncio.gather(*(self._seen(_search(ioc), around, work) for ioc in searched))
        return [
            sighting_sign(ioc.value, seen)
            for ioc, seen in zip(searched, found, strict=True)
            if seen is not None and seen.result["count"]
        ]

    async def _seen(self, q: str, around: datetime, work: Work) -> Citation | None:
        return await work.use(SIGHTINGS, SightingsArguments(q=q, since=around - _BEFORE, until=around + _AFTER))


def _moment(evidence: Evidence, asked_at: datetime) -> datetime:
    if evidence.alert is None:
        return asked_at
    return datetime.fromisoformat(evidence.alert["last_seen"])


def _sources(evidence: Evidence, iocs: Sequence[Observable]) -> list[str]:
    """The addresses that acted, the events' own first."""
    acted = [seen.field("source.ip") for seen in evidence.events]
    named = [evidence.entity("source_ip"), *(ioc.value for ioc in iocs if ioc.type == "ip")]
    return [source for source in dict.fromkeys([*acted, *named]) if source not in _NO_SOURCES][:_MAX_SOURCES]


def _accounts(evidence: Evidence) -> list[tuple[str, str]]:
    """Host and user of the events, each pair once."""
    pairs = dict.fromkeys((seen.field("host.name"), seen.field("user.name")) for seen in evidence.events)
    return [(host, user) for host, user in pairs if host and user][:_MAX_ACCOUNTS]


def _search(ioc: Observable) -> str:
    """Where an indicator stands in events, by its type."""
    if ioc.type == "ip":
        return log_term("destination.ip", ioc.value)
    return anywhere(ioc.value[:300])


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
    warned = warning_of(ioc)
    if warned is not None and warned.kind == "benign":
        return f"{quote(ioc.value, 80)} is one of the {warned.name}, so it proves nothing"
    return None


def _left_out(looked_up: Citation) -> list[str]:
    cut = looked_up.result.get("left_out") or looked_up.result.get("truncated")
    return ["more matches of imported intelligence than are told here"] if cut else []
