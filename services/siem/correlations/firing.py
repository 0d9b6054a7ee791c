"""What the windows of one group that fire come to: matches, events to cite, and what feeds correlations above. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from msgspec import structs

from services.siem.correlations.domain import Found, Window, plain
from services.siem.correlations.measures import Entry
from services.siem.detections.engine.compiled import CompiledRule
from services.siem.draft import MAX_EVIDENCE, Draft
from services.siem.hit import Hit
from services.siem.match import Match
from shared.contracts.alerts import AlertEvidence

_MESSAGE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Fed:
    """A match on its way into correlations, with the evidence it stands for.

    `again` is a correlation that goes on firing: it is near in time, but no further occurrence. `run_id` names the run
    over the past that found it.
    """

    match: Match
    evidence: Sequence[AlertEvidence]
    run_id: UUID | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Firing:
    """A correlation's windows over one group. `group` has the values of its fields, `hidden` is a suppressor's answer.

    All events at the end of a window are of one moment and one group, so that one of them speaks for all.
    """

    rule: CompiledRule
    group: dict[str, str]
    found: Found
    hidden: Mapping[tuple[str, str], UUID]

    def shown(self) -> list[Entry]:
        """What an alert is to cite now: it was in no window that fired, and is in one that isn't hidden."""
        return self.found.uncited(w for w in self.found.windows if self._suppression(w) is None)

    def marked(self) -> list[Entry]:
        """What is in a window that fires for the first time, hidden or not."""
        return self.found.uncited(self.found.windows)

    def changed(self) -> dict[tuple[str, str], Entry]:
        """Entries as they are to be stored now, by reference and log id."""
        changed = {(e.reference, e.log_id): replace(e, cited=True) for e in self.marked()}
        for window in self.found.windows:
            place = window.right - 1
            while (
                window.news and place >= window.left and self.found.entries[place].timestamp == self.found.end(window)
            ):
                entry = self.found.entries[place]
                if entry.log_id in window.news:
                    changed[entry.reference, entry.log_id] = replace(entry, cited=True, hit=True)
                place -= 1
        return changed

    def hits(self, known_at: datetime, run_id: UUID | None) -> list[Hit]:
        """The windows as matches, those left out that are recorded."""
        return [
            Hit(self.rule.id, log_id, self.found.end(window), known_at, self.group, self._suppression(window), run_id)
            for window in self.found.windows
            for log_id in window.news
        ]

    def onward(self, matches: Sequence[Match], evidence: Sequence[AlertEvidence], run_id: UUID | None) -> Iterator[Fed]:
        """The hits for the correlations above, each with the fields of the newest of `matches` up to its moment."""
        for window in self.found.windows:
            moment = self.found.end(window)
            newest = matches[max(0, bisect_right(matches, moment, key=lambda match: match.timestamp) - 1)]
            fields = {**newest.fields, **self.group}
            for number, log_id in enumerate(window.news):
                begins = window.begins and number == 0
                hit = structs.replace(newest, rule_id=self.rule.id, log_id=log_id, timestamp=moment, fields=fields)
                yield Fed(hit, evidence if begins else [evidence_of(newest)], run_id, again=not begins)

    def _suppression(self, window: Window) -> UUID | None:
        return self.hidden.get((self.rule.id, self.found.entries[window.right - 1].log_id))


def asked(rule: CompiledRule, fields: Mapping[str, str | list[str]], found: Found, seen_at: datetime) -> list[Match]:
    """Each window as a match with these fields. A suppressor decides on it by those of its group alone."""
    return [
        Match(
            rule_id=rule.id,
            log_id=found.entries[window.right - 1].log_id,
            timestamp=found.end(window),
            ingested_at=seen_at,
            source="",
            message="",
            ecs={},
            fields=dict(fields),
        )
        for window in found.windows
    ]


def evidence_of(match: Match) -> AlertEvidence:
    """What an alert says of a match."""
    message = plain(match.message)[:_MESSAGE_LENGTH]
    return AlertEvidence(log_id=match.log_id, rule_id=match.rule_id, timestamp=match.timestamp, message=message)


def finished(draft: Draft, shown: Sequence[Entry], evidence: Sequence[AlertEvidence]) -> Draft:
    """The draft with what it is to cite."""
    draft.count = len({entry.log_id for entry in shown})
    draft.first_seen, draft.last_seen = shown[0].timestamp, shown[-1].timestamp
    draft.evidence = list(evidence[:MAX_EVIDENCE])
    return draft
