"""Whether the recorded intrusion was found, and nothing else called one. Pure: decides on what was read from the API.

A stage counts as found by an alert when one of its lines is among the alert's evidence, the alert or its investigation
names one of the stage's techniques, and the verdict is malicious or suspicious. Alerts of one host share an
investigation: it is an attack's when one of them is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from cli.replay.recording import Recording
from shared.contracts.alerts import Alert
from shared.contracts.investigations import Investigation
from shared.contracts.logs import LogEvent

ALARMING = ("malicious", "suspicious")


@dataclass(frozen=True, slots=True)
class Case:
    """An alert with its investigation, and what its evidence is of. `accepted_at` is that of its first log line."""

    alert: Alert
    investigation: Investigation | None
    stages: frozenset[str]
    accepted_at: datetime | None

    @property
    def alarming(self) -> bool:
        """Whether somebody would be called."""
        return self.investigation is not None and self.investigation.verdict in ALARMING

    @property
    def techniques(self) -> list[str]:
        """ATT&CK techniques of the alert and of its investigation, the alert's first."""
        found = self.investigation.mitre_techniques if self.investigation is not None else []
        return list(dict.fromkeys([*self.alert.mitre_techniques, *found]))

    @property
    def seconds_to_alert(self) -> float | None:
        """From the acceptance of the log line to the alert."""
        return None if self.accepted_at is None else (self.alert.created_at - self.accepted_at).total_seconds()

    @property
    def seconds_to_verdict(self) -> float | None:
        """From the acceptance of the log line to the first verdict, or to the end for an alert that joined later."""
        if self.accepted_at is None or self.investigation is None or self.investigation.completed_at is None:
            return None
        first = self.investigation.first_verdict_at
        known_at = first if first is not None and first >= self.alert.created_at else self.investigation.completed_at
        return (known_at - self.accepted_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Judgement:
    """`found` has, for each stage, the ids of the alerts that found it; `problems` are what isn't as it must be."""

    cases: list[Case]
    found: dict[str, list[str]]
    problems: list[str]


def cases_of(
    recording: Recording,
    events: Iterable[LogEvent],
    alerts: Iterable[Alert],
    investigations: Mapping[str, Investigation],
) -> list[Case]:
    """Each alert with what belongs to it, oldest first. `investigations` are by the alert's id."""
    stages_of_lines = recording.stages_of_lines()
    known = {event.id: event for event in events}
    cases = []
    for alert in sorted(alerts, key=lambda alert: alert.created_at):
        evidence = [known[item.log_id] for item in alert.evidence if item.log_id in known]
        stages = {stage for event in evidence for stage in stages_of_lines.get((event.source, event.raw), ())}
        accepted = min((event.ingested_at for event in evidence), default=None)
        cases.append(Case(alert, investigations.get(alert.id), frozenset(stages), accepted))
    return cases


def judge(recording: Recording, cases: list[Case]) -> Judgement:
    """What was found, and each way in which it isn't the recorded intrusion and nothing else."""
    stages = recording.stages()
    found: dict[str, list[str]] = {name: [] for name in stages}
    of_attacks = {case.investigation.id for case in cases if case.stages and case.investigation is not None}
    problems = []
    for case in cases:
        if case.investigation is None or case.investigation.completed_at is None:
            problems.append(f"{case.alert.id} has no finished investigation: {case.alert.title}")
        elif case.investigation.status == "failed":
            problems.append(f"the investigation of {case.alert.id} failed: {case.alert.title}")
        if not case.alarming or case.investigation is None:
            continue
        if case.investigation.id not in of_attacks:
            problems.append(f"{case.alert.id} calls ordinary administration an attack: {case.alert.title}")
        for name in case.stages:
            if stages[name].techniques.intersection(case.techniques):
                found[name].append(case.alert.id)
    problems += [f"stage {name} was not found: {stages[name].what}" for name, by in found.items() if not by]
    if not any(case.investigation is not None and case.investigation.verdict == "malicious" for case in cases):
        problems.append("no investigation ended as malicious")
    return Judgement(cases, found, problems)


def spread(values: Sequence[float | None]) -> tuple[float, float] | None:
    """Median and maximum of what is known."""
    known = [value for value in values if value is not None]
    return (median(known), max(known)) if known else None
