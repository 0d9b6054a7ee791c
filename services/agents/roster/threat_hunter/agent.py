"""Threat hunter: follows an alert's values and account to the other hosts of the estate."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.threat_hunter import judgement
from services.agents.roster.threat_hunter.leads import Lead, lead_of, leads_of, strangers
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.evidence import Evidence, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.lookups import Strange, looked_up
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.hunting import (
    LOGONS_ELSEWHERE,
    PIVOT,
    RULE_ELSEWHERE,
    TALKING_HOSTS,
    LogonArguments,
    PivotArguments,
    RuleArguments,
    TalkingArguments,
)
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.timeline import TIMELINE, TimelineArguments
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.claims import Prior
from shared.contracts.common import Observable
from shared.contracts.investigations import Citation
from shared.contracts.pivots import HUNT, HuntRequest, HuntResult, Sighting
from shared.errors import field_error

_BEFORE, _AFTER = timedelta(hours=1), timedelta(hours=24)
_HISTORY = timedelta(days=7)
_LONGEST = timedelta(days=90)
#: What happens on a host so soon after a logon may be its doing.
_LANDED_BEFORE, _LANDED_AFTER = timedelta(minutes=1), timedelta(minutes=15)
_MAX_LANDED = 2
_MAX_USERS = 2
_STRANGE = "address(es) of logons to other hosts"
#: Accounts that everybody or nobody is: that they log on elsewhere says nothing.
_SHARED = frozenset({"", "-", "root", "system", "local service", "network service", "anonymous logon"})


class ThreatHunter:
    """Where else."""

    id = "threat_hunter"
    description = "The same values, account and rule on other hosts: spread, lateral movement, what was not found"
    tools: Sequence[Tool[Any]] = (
        GET_ALERT_TOOL, GET_EVENT, PIVOT, TALKING_HOSTS, LOGONS_ELSEWHERE, RULE_ELSEWHERE, TIMELINE,
    )  # fmt: skip

    def __init__(self) -> None:
        self.skills: Sequence[Skill[Any, Any]] = (Skill(HUNT, self.hunt),)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        if evidence.alert is None:
            reason = "indicators alone say nothing of when to look: ask for a hunt"
            return await undetermined([], evidence.iocs, "low", reason, work)
        hosts, level = _hosts(evidence), evidence.level
        if not hosts:
            return await undetermined([], evidence.iocs, level, "the alert names no host to look beyond", work)
        first, last = _times(evidence)
        talking = await work.use(TALKING_HOSTS, TalkingArguments(since=first - _BEFORE, until=last + _AFTER))
        signs: list[Sign] = []
        if talking is not None and judgement.is_alone(talking.result, hosts):
            work.ruled_out.append(
                "anything on other hosts: none sent logs from an hour before the alert to a day after"
            )
        else:
            signs += await self._spread(evidence, hosts, talking, params.prior, work)
            signs += await self._landings(evidence, hosts[0], work)
        signs += await self._rule(evidence, hosts[0], work)
        strange = Strange(strangers(work.citations, evidence, params.prior), _STRANGE, "listed-source", ("T1078",))
        listed, named = await looked_up(strange, last, work)
        signs += listed
        iocs = list(dict.fromkeys([*evidence.iocs, *named]))
        if not any(sign.weight for sign in signs):
            return await undetermined(signs, iocs, level, "nothing of it was found on other hosts", work)
        return await assess(signs, iocs, level, work, clean=0.0)

    async def _spread(
        self, evidence: Evidence, hosts: Sequence[str], talking: Citation | None, prior: Sequence[Prior], work: Work
    ) -> list[Sign]:
        leads = leads_of(evidence, prior)
        if not leads:
            work.not_checked.append("nothing in the alert can be looked for elsewhere")
        found = await asyncio.gather(*(self._lead(lead, evidence, hosts, talking, prior, work) for lead in leads))
        return [sign for signs in found for sign in signs]

    async def _lead(
        self,
        lead: Lead,
        evidence: Evidence,
        hosts: Collection[str],
        talking: Citation | None,
        prior: Sequence[Prior],
        work: Work,
    ) -> list[Sign]:
        """One value elsewhere. That it was there before, or nearly everywhere, makes it ordinary."""
        first, last = _times(evidence)
        seen = await work.use(
            PIVOT, PivotArguments(kind=lead.kind, value=lead.value, since=first - _BEFORE, until=last + _AFTER)
        )
        if seen is None:
            return []
        what = f"{lead.kind} {quote(lead.value, 80)}"
        others = judgement.elsewhere(seen.result, hosts)
        if not others:
            work.ruled_out.append(f"{what} on other hosts from an hour before the alert to a day after")
            return []
        told = judgement.speaks_against(prior, lead.value)
        # What is known to be an attacker's and new tells more, the more hosts have it.
        if not told and judgement.is_widespread(seen.result, None if talking is None else talking.result):
            work.ruled_out.append(f"{what} as a lead: so many hosts have it that it tells nothing")
            return []
        before = await work.use(
            PIVOT,
            PivotArguments(kind=lead.kind, value=lead.value, since=first - _HISTORY, until=first - _BEFORE),
        )
        if before is None:
            return []
        fresh = [host for host in others if host not in judgement.elsewhere(before.result, hosts)]
        if not fresh or before.result["more_hosts"]:
            work.ruled_out.append(f"{what} as a lead: other hosts had it in the 7 days before")
            return []
        return [judgement.spread_sign(lead.kind, lead.value, fresh, told, seen)]

    async def _landings(self, evidence: Evidence, host: str, work: Work) -> list[Sign]:
        """Where the alert's accounts logged on afterwards, and what happened there."""
        first, last = _times(evidence)
        signs: list[Sign] = []
        for user in _users(evidence):
            arguments = LogonArguments(user=user, since=first, until=last + _AFTER, except_host=host)
            logons = await work.use(LOGONS_ELSEWHERE, arguments)
            if logons is None:
                continue
            if not logons.result["logons"]:
                work.ruled_out.append(f"logons of {quote(user, 60)} to other hosts in the day after")
                continue
            calls = _landed(logons, host)
            timelines = await asyncio.gather(*(work.use(TIMELINE, call) for call in calls))
            signs += judgement.landing_signs(user, logons, [item for item in timelines if item is not None])
            landed = {logon["host"] for logon in logons.result["logons"]}
            if len(landed) > _MAX_LANDED:
                work.not_checked.append(f"what followed on {len(landed) - _MAX_LANDED} more hosts of {quote(user, 60)}")
        return signs

    async def _rule(self, evidence: Evidence, host: str, work: Work) -> list[Sign]:
        rule = None if evidence.alert is None else evidence.alert["rule_id"]
        if not rule:
            return []
        first, last = _times(evidence)
        arguments = RuleArguments(rule_id=rule, since=first - _BEFORE, until=last + _BEFORE, except_host=host)
        found = await work.use(RULE_ELSEWHERE, arguments)
        if found is None:
            return []
        signs = judgement.rule_sign(found)
        if not signs:
            work.ruled_out.append("the same rule on other hosts within an hour")
        return signs

    async def hunt(self, params: HuntRequest, work: Work) -> HuntResult:
        """Raises AURORA-4220 when `until` isn't after `since`, or more than 90 days after it."""
        if not params.since < params.until <= params.since + _LONGEST:
            raise field_error("params.until", f"must lie after since, at most {_LONGEST.days} days")
        talking = await work.use(TALKING_HOSTS, TalkingArguments(since=params.since, until=params.until))
        result = HuntResult(sightings=[], not_found=[])
        for observable in dict.fromkeys(params.observables):
            await self._hunt_one(observable, params, talking, result, work)
        result.not_checked, result.citations = work.not_checked, work.citations
        return result

    async def _hunt_one(
        self, observable: Observable, params: HuntRequest, talking: Citation | None, result: HuntResult, work: Work
    ) -> None:
        lead = lead_of(observable)
        if lead is None:
            work.not_checked.append(f"{observable.type} {quote(observable.value, 80)} can't be looked for")
            return
        arguments = PivotArguments(kind=lead.kind, value=lead.value, since=params.since, until=params.until, times=True)
        seen = await work.use(PIVOT, arguments)
        if seen is None:
            return
        if not seen.result["count"]:
            result.not_found.append(observable)
            return
        result.sightings.append(
            Sighting(
                observable=observable,
                count=seen.result["count"],
                hosts=seen.result["hosts"],
                more=seen.result["more_hosts"],
                common=judgement.is_widespread(seen.result, None if talking is None else talking.result),
                first_seen=datetime.fromisoformat(seen.result["first_seen"]),
                last_seen=datetime.fromisoformat(seen.result["last_seen"]),
                citation=seen.id,
            )
        )


def _times(evidence: Evidence) -> tuple[datetime, datetime]:
    """When the first of the alerts was seen first, and the last of them last."""
    alerts = [evidence.alert or {}, *(citation.result for citation in evidence.related)]
    first = min(datetime.fromisoformat(alert["first_seen"]) for alert in alerts)
    return first, max(datetime.fromisoformat(alert["last_seen"]) for alert in alerts)


def _hosts(evidence: Evidence) -> list[str]:
    named = [evidence.entity("host"), *(seen.field("host.name") for seen in evidence.events)]
    return [host for host in dict.fromkeys(named) if host]


def _users(evidence: Evidence) -> list[str]:
    named = [evidence.entity("user"), *(seen.field("user.name") for seen in evidence.events)]
    people = [user for user in dict.fromkeys(named) if user.lower() not in _SHARED and not user.endswith("$")]
    return people[:_MAX_USERS]


def _landed(logons: Citation, host: str) -> list[TimelineArguments]:
    """The time after the first logon to each of the first hosts."""
    first: dict[str, datetime] = {}
    for logon in logons.result["logons"]:
        if not judgement.same_host(logon["host"], host):
            first.setdefault(logon["host"], datetime.fromisoformat(logon["timestamp"]))
    return [
        TimelineArguments(host=name, since=at - _LANDED_BEFORE, until=at + _LANDED_AFTER)
        for name, at in list(first.items())[:_MAX_LANDED]
    ]
