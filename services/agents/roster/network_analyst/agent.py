"""Network analyst: rhythm, reach and volume of the connections around an alert, and what its DNS questions carry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.network_analyst import judgement, known
from services.agents.roster.network_analyst.skills import analyze_dns, find_beacons
from services.agents.roster.network_analyst.subjects import Subject, focus_of, is_network, strangers, subjects_of
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.evidence import Evidence, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.lookups import Strange, looked_up
from services.agents.toolkit.network.names import registered
from services.agents.toolkit.network.volumes import MIN_BYTES
from services.agents.toolkit.signs import Sign, scaled
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.network import (
    DNS_QUESTIONS,
    LARGE_UPLOADS,
    NETWORK_FLOWS,
    RARITY,
    DnsArguments,
    FlowArguments,
    Rarity,
    RarityArguments,
    UploadArguments,
)
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.claims import Citation
from shared.contracts.common import Severity
from shared.contracts.network_analysis import ANALYZE_DNS, FIND_BEACONS

_BEFORE, _AFTER = timedelta(hours=24), timedelta(hours=1)
_MAX_BEACONS = 5
_MAX_CLOSER = 2
_MAX_RARE = 4
_STRANGE = "destination(s) that the alert does not name"
#: What is left of a sign about another destination than the alert's own: the same host at the same time.
_ELSEWHERE = 0.8
#: So many connections or questions must have been seen for their being ordinary to say anything.
_ENOUGH = 20
_CLEAN = 0.35
_RARE: tuple[tuple[str, Rarity], ...] = (
    ("destination", "destination.ip"),
    ("server name", "tls.client.server_name"),
    ("JA3 of a client", "tls.client.ja3"),
    ("user agent", "user_agent.original"),
)


class NetworkAnalyst:
    """Who talks to whom, how often, how much."""

    id = "network_analyst"
    description = "Regular connections, scans, DNS tunnels and generated names, unusual uploads, what was never seen"
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, NETWORK_FLOWS, DNS_QUESTIONS, LARGE_UPLOADS, RARITY)
    skills: Sequence[Skill[Any, Any]] = (Skill(FIND_BEACONS, find_beacons), Skill(ANALYZE_DNS, analyze_dns))

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        level: Severity = "low" if evidence.alert is None else evidence.alert["severity"]
        subjects = subjects_of(evidence)
        if not subjects:
            return await undetermined([], evidence.iocs, level, "neither host nor address is known", work)
        at, focus = _moment(evidence, work), focus_of(evidence)
        # One after the other: what is noted then stands in the same order whenever it is asked again.
        looked = [await self._subject(subject, at, focus, work) for subject in subjects]
        signs = [sign for found, _ in looked for sign in found]
        signs += await self._rare_signs(evidence, at, work)
        strange = Strange(strangers(work.citations, focus), _STRANGE, "listed-destination", ("T1071",))
        listed, named = await looked_up(strange, at, work)
        signs += scaled(listed, _ELSEWHERE)
        seen = sum(count for _, count in looked)
        if any(sign.weight > 0 for sign in signs):
            iocs = list(dict.fromkeys([*evidence.iocs, *named]))
            return await assess(signs, iocs, level, work, clean=0.0)
        if is_network(evidence) and seen >= _ENOUGH and level not in ("high", "critical") and not work.not_checked:
            return await assess(signs, evidence.iocs, level, work, clean=_CLEAN)
        reason = f"{seen} connection(s) and question(s) around the alert, none of them unusual"
        return await undetermined(signs, evidence.iocs, level, reason if seen else "no network logs tell of it", work)

    async def _subject(
        self, subject: Subject, at: datetime, focus: frozenset[str], work: Work
    ) -> tuple[list[Sign], int]:
        """The signs about one host or address, and how many connections and questions were seen."""
        since, until = at - _BEFORE, at + _AFTER
        flows = await work.use(
            NETWORK_FLOWS, FlowArguments(field=subject.field, value=subject.value, since=since, until=until)
        )
        asked, uploads = await self._of_source(subject, flows, since, until, work)
        signs: list[Sign] = []
        for found, what in ((flows, "connections"), (asked, "DNS questions"), (uploads, "uploads")):
            if found is not None and not found.result.get("complete", False):
                work.not_checked.append(f"only the newest {what} of {quote(subject.value, 60)} were read")
        if flows is not None:
            names = {} if asked is None else asked.result.get("names", {})
            signs += judgement.scan_signs(flows)
            for found in [flows, *await self._closer(subject, flows, focus, since, until, work)]:
                signs += await self._beacons(found, names, at, focus, work)
        if asked is not None:
            signs += _dns_signs(asked, focus, work)
        if uploads is not None:
            judged = judgement.upload_signs(uploads)
            work.ruled_out += judged.ruled_out
            signs += judged.signs
        return signs, sum(found.result.get("seen", 0) for found in (flows, asked) if found is not None)

    async def _closer(
        self, subject: Subject, flows: Citation, focus: frozenset[str], since: datetime, until: datetime, work: Work
    ) -> list[Citation]:
        """Of a source too busy to be read to the end, what it had with the alert's own destinations."""
        if flows.result.get("complete", False) or subject.field == "destination.ip":
            return []
        found = []
        for address in sorted(filter(known.is_public, focus))[:_MAX_CLOSER]:
            arguments = FlowArguments(
                field=subject.field, value=subject.value, since=since, until=until, destination=address
            )
            citation = await work.use(NETWORK_FLOWS, arguments)
            found += [] if citation is None else [citation]
        return found

    async def _of_source(
        self, subject: Subject, flows: Citation | None, since: datetime, until: datetime, work: Work
    ) -> tuple[Citation | None, Citation | None]:
        """DNS questions of whoever acts, and its uploads where so much was sent; a destination alone asks nothing."""
        field, value = subject.field, subject.value
        if field == "destination.ip":
            return None, None
        asked = await work.use(DNS_QUESTIONS, DnsArguments(field=field, value=value, since=since, until=until))
        if flows is None or (flows.result.get("complete", False) and flows.result["most_sent"] < MIN_BYTES):
            return asked, None
        return asked, await work.use(LARGE_UPLOADS, UploadArguments(field=field, value=value, until=until))

    async def _beacons(
        self, flows: Citation, resolved: Mapping[str, str], at: datetime, focus: frozenset[str], work: Work
    ) -> list[Sign]:
        beacons = sorted(flows.result["beacons"], key=lambda beacon: beacon["destination"] not in focus)
        signs: list[Sign] = []
        for beacon in beacons[:_MAX_BEACONS]:
            rarity = None
            if known.is_public(beacon["destination"]):
                until = at + _AFTER
                asked = RarityArguments(field="destination.ip", value=beacon["destination"], at=until)
                rarity = await work.use(RARITY, asked)
            judged = judgement.beacon_signs(beacon, flows, rarity, resolved)
            work.ruled_out += judged.ruled_out
            near = beacon["destination"] in focus or bool(focus.intersection(beacon["names"]))
            signs += judged.signs if near else scaled(judged.signs, _ELSEWHERE)
        if len(beacons) > _MAX_BEACONS:
            work.not_checked.append(f"{len(beacons) - _MAX_BEACONS} more regular connections")
        return signs

    async def _rare_signs(self, evidence: Evidence, at: datetime, work: Work) -> list[Sign]:
        """What the alert's own events have that nothing here had before."""
        asked: dict[tuple[str, Rarity, str], None] = {}
        for seen in evidence.events:
            for what, field in _RARE:
                value = seen.field(field)
                if value and (field != "destination.ip" or known.is_public(value)):
                    asked.setdefault((what, field, value[:500]))
        signs = []
        for what, field, value in list(asked)[:_MAX_RARE]:
            rarity = await work.use(RARITY, RarityArguments(field=field, value=value, at=at + _AFTER))
            sign = None if rarity is None else judgement.rarity_sign(what, value, rarity)
            signs += [] if sign is None else [sign]
        return signs


def _dns_signs(asked: Citation, focus: frozenset[str], work: Work) -> list[Sign]:
    signs: list[Sign] = []
    owners = _registered(focus)
    for domain in asked.result["telling"]:
        if domain["tunnel"]:
            judged = judgement.tunnel_signs(domain, asked)
            work.ruled_out += judged.ruled_out
            signs += judged.signs if domain["domain"] in owners else scaled(judged.signs, _ELSEWHERE)
    for generated in asked.result["generated"]:
        signs += judgement.generated_signs(generated, asked)
    return signs


def _registered(focus: Iterable[str]) -> frozenset[str]:
    return frozenset(registered(name) for name in focus) - {""}


def _moment(evidence: Evidence, work: Work) -> datetime:
    """Around when to look."""
    return work.asked_at if evidence.alert is None else datetime.fromisoformat(evidence.alert["last_seen"])
