"""Identity analyst: how an account was entered, from where, what was changed about it, and whether that is new here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.identity_analyst.judgement import (
    change_signs,
    impossible,
    is_settled,
    journey_sign,
    less_when_usual,
    login_signs,
    new_host_sign,
    new_source_sign,
    sources_after_failures,
    ticket_signs,
)
from services.agents.roster.identity_analyst.subjects import Login, Subjects, subjects_of
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.books import ACCOUNT_FACTS
from services.agents.toolkit.evidence import Evidence, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign, scaled
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.history import PAIR_HISTORY, VALUE_HISTORY, PairArguments, Term, ValuesArguments
from services.agents.toolkit.tools.identities import (
    ACCOUNT_CHANGES,
    LOGINS,
    TICKETS,
    ChangeArguments,
    LoginArguments,
    LoginField,
)
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.claims import Citation
from shared.contracts.common import Severity
from shared.contracts.reviews import (
    REVIEW_ACCOUNT,
    REVIEW_LOGINS,
    LoginReview,
    ReviewAccount,
    ReviewLogins,
)

_BEFORE, _AFTER = timedelta(hours=24), timedelta(hours=1)
_PAST = timedelta(days=30)
_MAX_USUAL = 4
_MAX_JOURNEYS = 2
_MAX_FOLLOWED = 1
#: What is left of signs to which only the account of another event leads: others may be using it.
_BY_ACCOUNT = 0.6
#: Somebody trying in vain says nothing of what the account does.
_IN_VAIN = frozenset({"guessing", "spraying", "distributed-guessing", "old-password"})
#: So many logins must have been seen for their being ordinary to say anything.
_ENOUGH = 5
_CLEAN = 0.35


class IdentityAnalyst:
    """Who came in, from where, and what became of the account."""

    id = "identity_analyst"
    description = "Guessing, spraying, roasting, impossible journeys, first-seen sources, changes of rights"
    tools: Sequence[Tool[Any]] = (
        GET_ALERT_TOOL,
        GET_EVENT,
        LOGINS,
        TICKETS,
        ACCOUNT_CHANGES,
        PAIR_HISTORY,
        VALUE_HISTORY,
    )
    skills: Sequence[Skill[Any, Any]]

    def __init__(self) -> None:
        self.skills = (Skill(REVIEW_ACCOUNT, self.review_account), Skill(REVIEW_LOGINS, self.review_logins))

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        level: Severity = "low" if evidence.alert is None else evidence.alert["severity"]
        subjects = subjects_of(evidence, params.heard)
        for source in subjects.told:
            work.not_checked.append(
                f"logins from {quote(source, 60)}: reviewed for another specialist, who tells of them"
            )
        if not subjects.users and not subjects.sources:
            return await undetermined([], evidence.iocs, level, "neither an account nor a source is named", work)
        at = _moment(evidence, work)
        signs, seen = await self._around(subjects, at - _BEFORE, at + _AFTER, work)
        signs += await self._told_by(evidence, at - _BEFORE, work)
        signs += await self._novelty(subjects.logins, at - _BEFORE, work)
        if any(sign.weight > 0 for sign in signs):
            return await assess(signs, evidence.iocs, level, work, clean=0.0)
        if subjects.direct and seen >= _ENOUGH and level not in ("high", "critical") and not work.not_checked:
            return await assess(signs, evidence.iocs, level, work, clean=_CLEAN)
        reason = f"{seen} login(s) around the alert, none of them unusual" if seen else "no logins were seen around it"
        return await undetermined(signs, evidence.iocs, level, reason, work)

    async def _around(self, subjects: Subjects, since: datetime, until: datetime, work: Work) -> tuple[list[Sign], int]:
        """The signs in the logins, tickets and changes of a day, and how many logins were seen."""
        asked: list[tuple[LoginField, str]] = [("user.name", user) for user in subjects.users]
        asked += [("source.ip", source) for source in subjects.sources]
        found = await asyncio.gather(*(self._one(*ask, since, until, subjects, work) for ask in asked))
        return [sign for signs, _ in found for sign in signs], sum(count for _, count in found)

    async def _one(
        self, field: LoginField, value: str, since: datetime, until: datetime, subjects: Subjects, work: Work
    ) -> tuple[list[Sign], int]:
        """What one account or source did."""
        logins = await work.use(LOGINS, LoginArguments(field=field, value=value, since=since, until=until))
        signs = [] if logins is None else await self._logins(logins, value, since, work)
        if subjects.windows:
            tickets = await work.use(TICKETS, LoginArguments(field=field, value=value, since=since, until=until))
            signs += [] if tickets is None else ticket_signs(tickets)
        if field == "user.name":
            signs += await self._changes(value, since, until, work)
            if not subjects.direct:
                signs = [sign for sign in signs if sign.kind not in _IN_VAIN]
            if logins is not None:
                signs += await self._entered_from(logins, since, until, subjects, work)
            if not subjects.direct:
                signs = scaled(signs, _BY_ACCOUNT)
        if not signs and logins is not None:
            work.ruled_out.append(f"guessing, spraying and impossible journeys of {quote(value, 60)} within a day")
        return signs, 0 if logins is None else logins.result["failed"] + logins.result["entered"]

    async def _entered_from(
        self, found: Citation, since: datetime, until: datetime, subjects: Subjects, work: Work
    ) -> list[Sign]:
        """What the source did besides from which an account was entered after failures: a guesser tries others too."""
        signs: list[Sign] = []
        known = {*subjects.sources, *subjects.told}
        for source in [one for one in sources_after_failures(found) if one not in known][:_MAX_FOLLOWED]:
            arguments = LoginArguments(field="source.ip", value=source, since=since, until=until)
            logins = await work.use(LOGINS, arguments)
            signs += [] if logins is None else await self._logins(logins, source, since, work)
        return signs

    async def _logins(self, found: Citation, value: str, since: datetime, work: Work) -> list[Sign]:
        """The signs in one table of logins."""
        if not found.result["complete"]:
            work.not_checked.append(f"only the newest {found.result['seen']} logins of {quote(value, 60)} were read")
        signs = login_signs(found)
        for row in impossible(found)[:_MAX_JOURNEYS]:
            ends = [row["from"]["ip"], row["to"]["ip"]]
            past = await asyncio.gather(
                *(self._past("user.name", row["user"], "source.ip", ip, since, work) for ip in ends)
            )
            days = min(0 if one is None else int(one.result["days"]) for one in past)
            signs.append(journey_sign(row, days, found))
        return signs

    async def _changes(self, user: str, since: datetime, until: datetime, work: Work) -> list[Sign]:
        found = await work.use(ACCOUNT_CHANGES, ChangeArguments(field="account", value=user, since=since, until=until))
        return [] if found is None else await self._weighed(change_signs(found), since, work)

    async def _told_by(self, evidence: Evidence, since: datetime, work: Work) -> list[Sign]:
        """What the alert's own events say of accounts."""
        told = [
            (sign, seen.event) for seen in evidence.events for sign in ACCOUNT_FACTS.signs_of(seen.event, seen.citation)
        ]
        return await self._weighed(told, since, work)

    async def _weighed(
        self, signs: Sequence[tuple[Sign, Mapping[str, Any]]], since: datetime, work: Work
    ) -> list[Sign]:
        """The signs, each at half its weight where its actor did the same on other days of the month before."""
        done = list(dict.fromkeys(_deed(event) for _, event in signs))[:_MAX_USUAL]
        days = dict(zip(done, await asyncio.gather(*(self._days(deed, since, work) for deed in done)), strict=True))
        return [less_when_usual(sign, days.get(_deed(event), 0)) for sign, event in signs]

    async def _days(self, deed: tuple[str, str], since: datetime, work: Work) -> int:
        actor, action = deed
        if not actor or not action:
            return 0
        past = await self._past("user.name", actor, "event.action", action, since, work)
        return 0 if past is None else int(past.result["days"])

    async def _novelty(self, logins: Iterable[Login], since: datetime, work: Work) -> list[Sign]:
        """What of the alert's own logins is new to the account. Without a past nothing is."""
        signs: list[Sign | None] = []
        for login in logins:
            terms = (Term("user.name", login.user),)
            sources = ValuesArguments(field="source.ip", terms=terms, since=since - _PAST, until=since)
            past = await work.use(VALUE_HISTORY, sources)
            if past is None or not is_settled(past.result):
                work.not_checked.append(f"whether a login is new to {quote(login.user, 60)}: it has no past here")
                continue
            if login.source:
                seen = await self._past("user.name", login.user, "source.ip", login.source, since, work)
                signs.append(
                    None if seen is None else new_source_sign(login.user, login.source, login.public, past, seen)
                )
            if login.host:
                seen = await self._past("user.name", login.user, "host.name", login.host, since, work)
                signs.append(None if seen is None else new_host_sign(login.user, login.host, seen))
        return [sign for sign in signs if sign is not None]

    async def _past(
        self, field: str, value: str, other: str, wanted: str, until: datetime, work: Work
    ) -> Citation | None:
        return await work.use(
            PAIR_HISTORY,
            PairArguments(
                field_a=field, value_a=value, field_b=other, value_b=wanted, since=until - _PAST, until=until
            ),
        )

    async def review_account(self, params: ReviewAccount, work: Work) -> LoginReview:
        """An account's logins, tickets and changes."""
        whose = LoginArguments(field="user.name", value=params.user, since=params.since, until=params.until)
        tickets = await work.use(TICKETS, whose)
        signs = [] if tickets is None else ticket_signs(tickets)
        signs += await self._changes(params.user, params.since, params.until, work)
        return await self._review(whose, signs, work)

    async def review_logins(self, params: ReviewLogins, work: Work) -> LoginReview:
        """The logins of an account, from an address or on a host."""
        whose = LoginArguments(field=params.field, value=params.value, since=params.since, until=params.until)
        return await self._review(whose, [], work)

    async def _review(self, whose: LoginArguments, signs: list[Sign], work: Work) -> LoginReview:
        logins = await work.use(LOGINS, whose)
        if logins is not None:
            signs += await self._logins(logins, whose.value, whose.since, work)
        judged = await assess(signs, [], "info", work, clean=0.0)
        return LoginReview(
            verdict=judged.verdict,
            confidence=judged.confidence,
            mitre_techniques=judged.mitre_techniques,
            findings=judged.findings,
            citations=judged.citations,
            ruled_out=judged.ruled_out,
            not_checked=judged.not_checked,
            failed=0 if logins is None else logins.result["failed"],
            entered=0 if logins is None else logins.result["entered"],
        )


def _deed(event: Mapping[str, Any]) -> tuple[str, str]:
    ecs = event["ecs"]
    return str(ecs.get("user.name", "")), str(ecs.get("event.action", ""))


def _moment(evidence: Evidence, work: Work) -> datetime:
    """When it happened: the newest event, else the alert's last, else the time of the question."""
    if evidence.events:
        return max(seen.moment for seen in evidence.events)
    return work.asked_at if evidence.alert is None else datetime.fromisoformat(evidence.alert["last_seen"])
