"""From an investigation to the sections of its report: sentences, each with what it rests on. Pure.

Nothing is said that nothing carries: a sentence cites stored tool results or, of the process, the steps whose answers
it repeats; one whose citations aren't known is left out. The same investigation gives the same sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from services.agents.toolkit import attack
from services.agents.toolkit.chronology import Entry
from services.agents.toolkit.fencing import quote
from shared.contracts.claims import Citation, Finding
from shared.contracts.reports import CitedResult, ReportedStep, ReportRequest, Section, Sentence
from shared.contracts.responses import ResponseStep
from shared.contracts.wire import format_time

_ID = re.compile(r"tr_[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
_STRONGEST = 3
_MAX_ENTRIES = 60
_MAX_FINDINGS = 80
_MAX_LINES = 120
_MAX_CITED = 4
#: So many alerts are named one by one.
_NAMED = 3
#: Its own steps and the responder's say nothing of what happened.
_NO_VOTE = ("incident_responder", "report_writer")
_ASSESSED = "analyze_threat"


class Writing:
    """One report being written. `alerts` maps an alert to the result that carries it, `timelines` are read results."""

    def __init__(
        self,
        request: ReportRequest,
        alerts: Mapping[str, Citation],
        timelines: Sequence[Citation],
    ) -> None:
        self._request = request
        self._alerts = alerts
        self._timelines = timelines
        self._steps = [step for step in request.steps if step.status == "completed" and _ID.fullmatch(step.id)]
        plan = [] if request.plan is None else request.plan.citations
        # When this report's own results were read isn't told: written again it must be the same.
        results = {item.id: _result_line(item) for item in (*alerts.values(), *timelines)}
        stored: Sequence[Citation | CitedResult] = [*plan, *request.citations]
        results |= {
            item.id: _result_line(item, _moment(format_time(item.executed_at)))
            for item in stored
            if _ID.fullmatch(item.id)
        }
        self._known = results | {step.id: _step_line(step) for step in request.steps if _ID.fullmatch(step.id)}

    def title(self) -> str:
        """What the report is called."""
        request = self._request
        return f"Investigation {request.investigation_id}: {request.verdict}, severity {request.severity}"

    def sections(self) -> list[Section]:
        """All sections, in their fixed order; one without a sentence is left out."""
        written = (
            ("Summary", self._summary()),
            ("What happened", self._events()),
            ("Findings", self._findings()),
            ("Affected assets", self._assets()),
            ("Indicators", self._indicators()),
            ("Techniques", self._techniques()),
            ("Response plan", self._plan()),
            ("Contradictions", self._contradictions()),
            ("What was ruled out", self._lines("ruled_out")),
            ("What was not checked", self._not_checked()),
        )
        found = [
            Section(title=title, sentences=[item for item in items if item is not None]) for title, items in written
        ]
        return [section for section in found if section.sentences]

    def sources(self, sections: Sequence[Section]) -> list[tuple[str, str]]:
        """Each id that a sentence cites, once, and what it is."""
        cited = dict.fromkeys(id_ for section in sections for item in section.sentences for id_ in item.citations)
        return [(identifier, self._known[identifier]) for identifier in cited]

    def _sentence(self, text: str, citations: Iterable[str]) -> Sentence | None:
        known = [identifier for identifier in dict.fromkeys(citations) if identifier in self._known]
        return Sentence(text=text, citations=known[:_MAX_CITED]) if known else None

    def _voted(self) -> list[str]:
        """The steps that the verdict comes from."""
        return [step.id for step in self._steps if step.method == _ASSESSED and step.agent not in _NO_VOTE]

    def _summary(self) -> Iterable[Sentence | None]:
        request = self._request
        count = len(request.alert_ids)
        alerts = f"{count} alert{'' if count == 1 else 's'}"
        verdict = f"The verdict on {alerts} is {request.verdict}, severity {request.severity}"
        yield self._sentence(f"{verdict}, with a confidence of {request.confidence:.2f}.", self._voted())
        for finding in self._strongest()[:_STRONGEST]:
            yield self._sentence(_ended(finding.claim), finding.citations)

    def _strongest(self) -> list[Finding]:
        return sorted(self._request.findings, key=lambda item: (-item.confidence, item.agent, item.claim))

    def _events(self) -> Iterable[Sentence | None]:
        told = [
            (entry, timeline.id)
            for timeline in self._timelines
            for entry in msgspec.convert(timeline.result.get("entries", []), list[Entry])
        ]
        kept = sorted(told, key=lambda item: (-item[0].weight, item[0].timestamp, item[0].text))[:_MAX_ENTRIES]
        for entry, carrier in sorted(kept, key=lambda item: (item[0].timestamp, item[0].log_ids, item[1])):
            times = f", {entry.count} times until {_moment(entry.last)}" if entry.count > 1 else ""
            actor = f", {quote(entry.actor, 60)}" if entry.actor else ""
            text = f"{_moment(entry.timestamp)} on {quote(entry.host, 60)}{actor}: {entry.text}{times}"
            yield self._sentence(_ended(text), [carrier])

    def _findings(self) -> Iterable[Sentence | None]:
        for finding in self._strongest()[:_MAX_FINDINGS]:
            text = f"{_name(finding.agent)} (weight {finding.confidence:.2f}): {finding.claim}"
            yield self._sentence(_ended(text), finding.citations)

    def _assets(self) -> Iterable[Sentence | None]:
        named: dict[tuple[str, str], list[str]] = {}
        for alert in self._request.alerts:
            for kind, value in alert.entities.items():
                if not kind.startswith("process"):
                    named.setdefault((kind, value), []).append(alert.id)
        for (kind, value), ids in sorted(named.items(), key=lambda item: (-len(item[1]), item[0])):
            carriers = [self._alerts[identifier].id for identifier in ids if identifier in self._alerts]
            shown = ", ".join(quote(identifier, 40) for identifier in ids[:_NAMED])
            more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
            text = f"{_name(kind)} {quote(value, 120)} is named by alert {shown}{more}."
            yield self._sentence(text, carriers or self._voted())

    def _indicators(self) -> Iterable[Sentence | None]:
        for ioc in self._request.iocs:
            quoted = quote(ioc.value, len(ioc.value)).strip('"')
            carried = [id_ for item in self._request.findings if quoted in item.claim for id_ in item.citations]
            named = [step.id for step in self._steps if ioc in step.iocs]
            text = f"{_name(ioc.type)} {quote(ioc.value)} belongs to what was looked at."
            yield self._sentence(text, carried or named or self._voted())

    def _techniques(self) -> Iterable[Sentence | None]:
        for technique in self._request.mitre_techniques:
            if _TECHNIQUE.fullmatch(technique):
                named = [step.id for step in self._steps if technique in step.mitre_techniques]
                name = attack.name(technique)
                yield self._sentence(f"{technique}{f' ({name})' if name else ''} was seen.", named or self._voted())

    def _plan(self) -> Iterable[Sentence | None]:
        plan = self._request.plan
        asked = [step.id for step in self._steps if step.agent == "incident_responder"]
        if plan is None:
            return
        if plan.steps:
            text = f"{len(plan.steps)} steps are proposed; none is carried out without approval."
            yield self._sentence(text, asked or plan.steps[0].citations)
        for number, step in enumerate(plan.steps, 1):
            yield self._sentence(_step_text(number, step), step.citations)
        for reason in plan.not_planned[:_MAX_LINES]:
            yield self._sentence(_ended(f"Not planned: {reason}"), asked)

    def _contradictions(self) -> Iterable[Sentence | None]:
        for item in self._request.contradictions:
            said = "; ".join(f"{_name(agent)}: {claim}" for agent, claim in zip(item.agents, item.claims, strict=False))
            cited = [step.id for step in self._steps if step.agent in item.agents and step.method == _ASSESSED]
            yield self._sentence(_ended(f"Specialists disagree: {said}"), cited)

    def _lines(self, field: str) -> Iterable[Sentence | None]:
        """What steps say beside their findings, by whoever said it."""
        for line in getattr(self._request, field)[:_MAX_LINES]:
            said = [step.id for step in self._steps if line in getattr(step, field)]
            yield self._sentence(_ended(line), said or self._voted())

    def _not_checked(self) -> Iterable[Sentence | None]:
        yield from self._lines("not_checked")
        for step in self._request.steps:
            if step.status in ("failed", "skipped"):
                text = f"{_name(step.agent)} gave no answer ({step.error or step.status})."
                yield self._sentence(text, [step.id])


def _step_text(number: int, step: ResponseStep) -> str:
    risk = f"risk {step.risk}{f' ({step.risk_text.lower()})' if step.risk_text else ''}"
    before = f"; first: {step.precondition}" if step.precondition else ""
    return _ended(f"{step.phase}, step {number}: {step.title}; {risk}{before}")


def _result_line(item: Citation | CitedResult, at: str = "") -> str:
    return f"Result of {_name(item.tool)}, read by {_name(item.agent)}{f' at {at}' if at else ''}."


def _step_line(step: ReportedStep) -> str:
    verdict = f": {step.verdict}" if step.verdict else ""
    return f"Step: {_name(step.agent)} was asked by {_name(step.method)}, {step.status}{verdict}."


def _name(text: str) -> str:
    """A word that specialists and contracts choose, shown as it is; anything else is quoted."""
    return text.replace("_", " ") if re.fullmatch(r"[a-z][a-z0-9_]{0,63}", text) else quote(text, 64)


def _moment(timestamp: str) -> str:
    return timestamp.replace("T", " ", 1).partition(".")[0] + "Z"


def _ended(text: str) -> str:
    return text if text.endswith((".", "…")) else f"{text}."
