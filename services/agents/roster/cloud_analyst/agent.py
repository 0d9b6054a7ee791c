"""Cloud analyst: what a principal did in the control plane, what that means, and whether it is new for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.cloud_analyst.judgement import (
    burst_signs,
    is_at_home,
    journey_signs,
    less_at_home,
    less_when_usual,
    new_principal_sign,
    new_value_sign,
    step_signs,
)
from services.agents.roster.cloud_analyst.subjects import Principal, is_cloud, principals_of
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.books import CLOUD_FACTS
from services.agents.toolkit.controlplane import AGENT
from services.agents.toolkit.evidence import Evidence, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.clouds import CONTROL_PLANE, PRINCIPAL_TIMELINE, PrincipalArguments
from services.agents.toolkit.tools.history import PAIR_HISTORY, PairArguments
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.claims import Citation
from shared.contracts.common import Severity
from shared.contracts.reviews import REVIEW_PRINCIPAL, PrincipalReview, PrincipalStep, ReviewPrincipal

_BEFORE, _AFTER = timedelta(hours=6), timedelta(hours=1)
_PAST = timedelta(days=30)
_MAX_USUAL = 5
#: So many steps must have been seen for their being ordinary to say anything.
_ENOUGH = 5
_CLEAN = 0.35
#: What of a principal may be new: how it is called, the field, and where the answer of the tool counts it.
_NEW = (
    ("address", "source.ip", "addresses"),
    ("region", "cloud.region", "regions"),
    ("client", "user_agent.original", "agents"),
)
_MAX_NEW = 2
#: The verb alone is no deed.
_VERBS_ONLY = "kubernetes.audit"

Told = list[tuple[Sign, Mapping[str, Any]]]


class CloudAnalyst:
    """Who did what in the cloud, and was it ever so before."""

    id = "cloud_analyst"
    description = (
        "Steps in AWS, Azure, Entra ID, Okta and Kubernetes: what they mean, in bursts, by whom and since when"
    )
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, CONTROL_PLANE, PRINCIPAL_TIMELINE, PAIR_HISTORY)
    skills: Sequence[Skill[Any, Any]]

    def __init__(self) -> None:
        self.skills = (Skill(REVIEW_PRINCIPAL, self.review_principal),)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        level: Severity = "low" if evidence.alert is None else evidence.alert["severity"]
        principals = principals_of(evidence)
        if not principals:
            return await undetermined([], evidence.iocs, level, "no event of a cloud's control plane is named", work)
        at = _moment(evidence, work)
        since, until = at - _BEFORE, at + _AFTER
        told: Told = [
            (sign, seen.event)
            for seen in evidence.events
            if is_cloud(seen)
            for sign in CLOUD_FACTS.signs_of(seen.event, seen.citation)
        ]
        signs = await self._weighed(told, since, work)
        looked = await asyncio.gather(*(self._principal(principal, since, until, work) for principal in principals))
        signs += [sign for found, _ in looked for sign in found]
        if any(at_home for _, at_home in looked):
            signs = [less_at_home(sign) for sign in signs]
        seen_steps = sum(citation.result["count"] for citation in work.citations if citation.tool == CONTROL_PLANE.name)
        if any(sign.weight > 0 for sign in signs):
            return await assess(signs, evidence.iocs, level, work, clean=0.0)
        if seen_steps >= _ENOUGH and level not in ("high", "critical") and not work.not_checked:
            return await assess(signs, evidence.iocs, level, work, clean=_CLEAN)
        reason = f"{seen_steps} step(s) around the alert, none of them telling"
        return await undetermined(signs, evidence.iocs, level, reason, work)

    async def _principal(
        self, principal: Principal, since: datetime, until: datetime, work: Work
    ) -> tuple[list[Sign], bool]:
        """The signs in what one principal did, and whether it did it from where it lives."""
        whose = PrincipalArguments(field=principal.field, value=principal.value, since=since, until=until)
        found = await work.use(CONTROL_PLANE, whose)
        if found is None:
            return [], False
        signs = await self._signs(principal.name or principal.value, found, since, work)
        novel, at_home = await self._novelty(principal, found, since, work)
        if not signs:
            work.ruled_out.append(f"bursts and telling steps of {quote(principal.value, 80)} within six hours")
        return [*signs, *novel], at_home

    async def _signs(self, who: str, found: Citation, since: datetime, work: Work) -> list[Sign]:
        if not found.result["complete"]:
            work.not_checked.append(f"only the newest {found.result['count']} steps of {quote(who, 80)} were read")
        signs = await self._weighed(step_signs(found), since, work)
        return [*signs, *burst_signs(who, found), *journey_signs(found)]

    async def _weighed(self, told: Told, since: datetime, work: Work) -> list[Sign]:
        """The signs, each at half its weight where its actor did the same on other days of the month before."""
        deeds = list(dict.fromkeys(_deed(event) for _, event in told))
        deeds = [deed for deed in deeds if all(deed)][:_MAX_USUAL]
        found = await asyncio.gather(
            *(self._past("user.name", actor, "event.action", action, since, work) for actor, action in deeds)
        )
        days = {deed: int(past.result["days"]) for deed, past in zip(deeds, found, strict=True) if past is not None}
        return [less_when_usual(sign, days.get(_deed(event), 0)) for sign, event in told]

    async def _novelty(
        self, principal: Principal, found: Citation, since: datetime, work: Work
    ) -> tuple[list[Sign], bool]:
        """What is new about a principal, and whether all its addresses are known ones."""
        who = principal.name
        if not who:
            return [], False
        past = await self._past("user.name", who, None, None, since, work)
        if past is None:
            return [], False
        log = (
            await self._past("event.dataset", principal.dataset, None, None, since, work) if principal.dataset else None
        )
        signs = [None if log is None else new_principal_sign(who, past, log)]
        homes: list[bool] = []
        for kind, field, counted in _NEW:
            for value in [item for item in found.result.get(counted, {}) if len(item) < AGENT][:_MAX_NEW]:
                seen = await self._past("user.name", who, field, value, since, work)
                signs.append(None if seen is None else new_value_sign(who, kind, value, past, seen))
                if kind == "address":
                    homes.append(is_at_home(seen))
        return [sign for sign in signs if sign is not None], bool(homes) and all(homes)

    async def _past(
        self, field: str, value: str, other: str | None, wanted: str | None, until: datetime, work: Work
    ) -> Citation | None:
        return await work.use(
            PAIR_HISTORY,
            PairArguments(
                field_a=field, value_a=value, field_b=other, value_b=wanted, since=until - _PAST, until=until
            ),
        )

    async def review_principal(self, params: ReviewPrincipal, work: Work) -> PrincipalReview:
        """What a principal did, step by step, and what of it speaks of an attack."""
        whose = PrincipalArguments(field=params.field, value=params.value, since=params.since, until=params.until)
        found, told = await asyncio.gather(work.use(CONTROL_PLANE, whose), work.use(PRINCIPAL_TIMELINE, whose))
        signs: list[Sign] = []
        if found is not None:
            signs = await self._signs(params.value, found, params.since, work)
            name = params.value if params.field == "user.name" else next(iter(found.result.get("principals", {})), "")
            novel, at_home = await self._novelty(
                Principal(params.field, params.value, name, ""), found, params.since, work
            )
            signs = [less_at_home(sign) for sign in (*signs, *novel)] if at_home else [*signs, *novel]
        if told is not None and not told.result["complete"]:
            work.not_checked.append("the timeline holds the newest steps only")
        judged = await assess(signs, [], "info", work, clean=0.0)
        return PrincipalReview(
            verdict=judged.verdict,
            confidence=judged.confidence,
            mitre_techniques=judged.mitre_techniques,
            findings=judged.findings,
            citations=judged.citations,
            ruled_out=judged.ruled_out,
            not_checked=judged.not_checked,
            steps=[] if told is None else [_step(row) for row in told.result.get("steps", ())],
            timeline=None if told is None else told.id,
        )


def _deed(event: Mapping[str, Any]) -> tuple[str, str]:
    """Who did what; nothing where the action's name alone is no deed."""
    ecs = event["ecs"]
    action = "" if event["dataset"] == _VERBS_ONLY else str(ecs.get("event.action", ""))
    return str(ecs.get("user.name", "")), action


def _step(row: Mapping[str, Any]) -> PrincipalStep:
    times = {name: datetime.fromisoformat(row[name]) for name in ("at", "until")}
    return PrincipalStep(**{**row, **times})


def _moment(evidence: Evidence, work: Work) -> datetime:
    """When it happened: the newest event, else the alert's last, else the time of the question."""
    if evidence.events:
        return max(seen.moment for seen in evidence.events)
    return work.asked_at if evidence.alert is None else datetime.fromisoformat(evidence.alert["last_seen"])
