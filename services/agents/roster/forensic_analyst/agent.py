"""Forensic analyst: puts what happened around an alert in order, and judges the order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.agents.roster.forensic_analyst import judgement
from services.agents.roster.forensic_analyst.timelines import complete, cut_notes, merged, skewed
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import assess, undetermined
from services.agents.toolkit.chronology import window
from services.agents.toolkit.evidence import Evidence, gather
from services.agents.toolkit.fencing import quote
from services.agents.toolkit.signs import Sign
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL, AlertArguments
from services.agents.toolkit.tools.files import FILES_SEEN, FilesArguments
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.timeline import TIMELINE, TimelineArguments, around
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment, Budget
from shared.contracts.common import Observable
from shared.contracts.investigations import Citation
from shared.contracts.samples import TRIAGE_SAMPLE, TriageSample
from shared.contracts.timelines import BUILD_TIMELINE, Timeline, TimelineRequest
from shared.errors import field_error

_MAX_HOSTS = 2
#: A host's timeline that doesn't fit one record is read again in halves, so often.
_HALVINGS = 2
_LEAST = timedelta(minutes=2)
_LONGEST = timedelta(days=7)
#: Stored files that the malware analyst is asked about, and what it may spend on each.
_MAX_FILES = 3
_FILE_BUDGET = Budget(1, 45.0)


class ForensicAnalyst:
    """What happened, in order."""

    id = "forensic_analyst"
    description = "Timelines: what happened on a host in order, phases of an intrusion, traces that were removed"
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, TIMELINE, FILES_SEEN)

    def __init__(self) -> None:
        self.skills: Sequence[Skill[Any, Any]] = (Skill(BUILD_TIMELINE, self.build_timeline),)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        if evidence.alert is None:
            return await undetermined([], evidence.iocs, "low", "indicators alone have no timeline", work)
        level = evidence.level
        hosts = _hosts(evidence)
        if not hosts:
            return await undetermined([], evidence.iocs, level, "the alert names no host", work)
        first, last = _times([evidence.alert, *(citation.result for citation in evidence.related)])
        calls = [around(host, first, last) for host in hosts]
        read = await asyncio.gather(*(work.use(TIMELINE, call) for call in calls))
        signs = [sign for timeline in read if timeline is not None for sign in self._signs(timeline, evidence, work)]
        looked_at = judgement.LOOKS_AT_FILES in params.beside
        known = judgement.hashes_named(evidence) if looked_at else frozenset[str]()
        told, named = await self._files([call.host for call in calls], window(first, last), known, work)
        signs += told
        iocs = list(dict.fromkeys([*evidence.iocs, *named]))
        if not any(sign.weight for sign in signs):
            reason = "the timeline shows no sequence that speaks of an attack"
            return await undetermined(signs, iocs, level, reason, work)
        return await assess(signs, iocs, level, work, clean=0.0)

    async def _files(
        self, hosts: Sequence[str], span: tuple[datetime, datetime], known: Collection[str], work: Work
    ) -> tuple[list[Sign], list[Observable]]:
        """What the malware analyst says of stored files that were on the hosts then, but for those it `known`-s of by
        the alert; and the hashes of those that speak of an attack."""
        since, until = span
        calls = [FilesArguments(host=host, since=since, until=until) for host in hosts]
        seen = await asyncio.gather(*(work.use(FILES_SEEN, call) for call in calls))
        files = judgement.stored_files([found for found in seen if found is not None], known)
        if len(files) > _MAX_FILES:
            work.not_checked.append(f"what {len(files) - _MAX_FILES} more stored files of the hosts are")
        signs: list[Sign] = []
        named: list[Observable] = []
        # One after the other: each takes a process of its own.
        for file in files[:_MAX_FILES]:
            answer = await work.hand_off(
                judgement.LOOKS_AT_FILES,
                TRIAGE_SAMPLE,
                TriageSample(sha256=file.hash),
                reason=f"what the stored file {file.told()} is",
                budget=_FILE_BUDGET,
            )
            if answer is None:
                continue
            found = judgement.file_signs(file, answer)
            work.not_checked += answer.result.not_checked
            signs += found
            named += [Observable("hash", file.hash)] if any(sign.weight for sign in found) else []
        return signs, named

    def _signs(self, timeline: Citation, evidence: Evidence, work: Work) -> list[Sign]:
        """What one host's timeline says; what it can't say is noted."""
        work.not_checked += [*cut_notes(timeline), *skewed(timeline)]
        actors = {seen.field("user.name") for seen in evidence.events} | {evidence.entity("user")}
        sequences, traces = judgement.sequence_signs(timeline), judgement.trace_signs(timeline, actors - {""})
        host = quote(timeline.arguments["host"], 60)
        if not sequences:
            work.ruled_out.append(f"a sequence of strong signs on {host} within the timeline")
        if not traces and judgement.told(timeline):
            work.ruled_out.append(f"traces removed on {host} within the timeline")
        return [*sequences, *traces, *judgement.silence_signs(timeline)]

    async def build_timeline(self, params: TimelineRequest, work: Work) -> Timeline:
        """Raises AURORA-4220 without an alert that names a host and without hosts and times."""
        hosts, since, until = await self._span(params, work)
        users = tuple(params.users)
        found = await asyncio.gather(*(self._read(host, users, since, until, _HALVINGS, work) for host in hosts))
        timeline = merged([citation for part in found for citation in part])
        timeline.not_checked = work.not_checked
        return timeline

    async def _span(self, params: TimelineRequest, work: Work) -> tuple[Sequence[str], datetime, datetime]:
        """Hosts and times: those given, else the alert's."""
        hosts, since, until = list(params.hosts), params.since, params.until
        if params.alert_id is not None:
            alert = await work.use(GET_ALERT_TOOL, AlertArguments(params.alert_id))
            if alert is None and not (hosts and since and until):
                # Not that it names no host: nobody could look.
                raise field_error("params.alert_id", f"could not be read: {'; '.join(work.not_checked)}")
            if alert is not None:
                hosts = hosts or [host for host in [alert.result["entities"].get("host", "")] if host]
                first, last = window(*_times([alert.result]))
                since, until = since or first, until or last
        if not hosts or since is None or until is None:
            raise field_error("params", "needs an alert that names a host, or hosts, since and until")
        if not since < until <= since + _LONGEST:
            raise field_error("params.until", f"must lie after since, at most {_LONGEST.days} days")
        return hosts, since, until

    async def _read(
        self, host: str, users: tuple[str, ...], since: datetime, until: datetime, halvings: int, work: Work
    ) -> list[Citation]:
        """The host's timeline; in halves where it is too long for one record."""
        arguments = TimelineArguments(host=host, since=since, until=until, users=users)
        read = await work.use(TIMELINE, arguments)
        if read is None:
            return []
        if complete(read):
            return [read]
        if halvings == 0 or until - since < 2 * _LEAST:
            work.not_checked += cut_notes(read)
            return [read]
        middle = since + (until - since) / 2
        middle = middle.replace(microsecond=middle.microsecond // 1000 * 1000)
        parts = [
            await self._read(host, users, *half, halvings - 1, work) for half in ((since, middle), (middle, until))
        ]
        return [citation for part in parts for citation in part] or [read]


def _hosts(evidence: Evidence) -> list[str]:
    named = [evidence.entity("host"), *(seen.field("host.name") for seen in evidence.events)]
    return [host for host in dict.fromkeys(named) if host][:_MAX_HOSTS]


def _times(alerts: Sequence[Mapping[str, Any]]) -> tuple[datetime, datetime]:
    """When the first of them was seen first, and the last of them last."""
    first = min(datetime.fromisoformat(alert["first_seen"]) for alert in alerts)
    return first, max(datetime.fromisoformat(alert["last_seen"]) for alert in alerts)
