"""Report writer: writes an investigation down, every sentence with what it rests on. It has no vote."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from services.agents.roster.report_writer.markdown import rendered, sources
from services.agents.roster.report_writer.writing import Writing
from services.agents.toolkit.agent import Skill
from services.agents.toolkit.assessing import undetermined
from services.agents.toolkit.evidence import gather
from services.agents.toolkit.tool import Tool
from services.agents.toolkit.tools.alerts import GET_ALERT_TOOL, AlertArguments
from services.agents.toolkit.tools.logs import GET_EVENT
from services.agents.toolkit.tools.timeline import TIMELINE, around
from services.agents.toolkit.work import Work
from shared.contracts.agents import AnalyzeThreat, Assessment
from shared.contracts.investigations import Citation
from shared.contracts.reports import WRITE_REPORT, Report, ReportRequest

_MAX_ALERTS = 10
_MAX_HOSTS = 2


class ReportWriter:
    """What is written down."""

    id = "report_writer"
    description = "Writes the report: what happened, what it rests on, what was ruled out and not checked; no vote"
    tools: Sequence[Tool[Any]] = (GET_ALERT_TOOL, GET_EVENT, TIMELINE)

    def __init__(self) -> None:
        self.skills: Sequence[Skill[Any, Any]] = (Skill(WRITE_REPORT, self.write_report),)

    async def analyze(self, params: AnalyzeThreat, work: Work) -> Assessment:
        """Raises AURORA-4042 when there is neither an alert nor an indicator."""
        evidence = await gather(params, work)
        reason = "report_writer writes (write_report) and has no vote"
        return await undetermined([], evidence.iocs, evidence.level, reason, work)

    async def write_report(self, params: ReportRequest, work: Work) -> Report:
        """What can't be read of alerts and timelines is missing from the report, which then says so."""
        alerts = await self._alerts(params, work)
        timelines = await self._timelines(params, work)
        params.not_checked = [*params.not_checked, *work.not_checked]
        writing = Writing(params, alerts, timelines)
        sections = writing.sections()
        return Report(
            title=writing.title(),
            markdown=rendered(writing.title(), sections) + "\n" + sources(writing.sources(sections)),
            sections=sections,
            citations=work.citations,
        )

    async def _alerts(self, params: ReportRequest, work: Work) -> dict[str, Citation]:
        """Each alert and the result that carries it."""
        asked = [alert.id for alert in params.alerts[:_MAX_ALERTS]]
        found = await asyncio.gather(*(work.use(GET_ALERT_TOOL, AlertArguments(name)) for name in asked))
        return {name: citation for name, citation in zip(asked, found, strict=True) if citation is not None}

    async def _timelines(self, params: ReportRequest, work: Work) -> list[Citation]:
        """What happened on the alerts' hosts, around all of them."""
        if not params.alerts:
            return []
        hosts = dict.fromkeys(alert.entities.get("host", "") for alert in params.alerts)
        first = min(alert.first_seen for alert in params.alerts)
        last = max(alert.last_seen for alert in params.alerts)
        named = [host for host in hosts if host]
        if len(named) > _MAX_HOSTS:
            work.not_checked.append(f"the timelines of {len(named) - _MAX_HOSTS} more hosts")
        calls = [around(host, first, last) for host in named[:_MAX_HOSTS]]
        read = await asyncio.gather(*(work.use(TIMELINE, call) for call in calls))
        return [timeline for timeline in read if timeline is not None]
