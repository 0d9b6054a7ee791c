"""What must be in a stored event for a rule to match it: a condition that may let too much through, never too little.

Pure. Knows rules and what the columns `logsource`, `raw` and `derived` promise; refuses to know SQL.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from services.siem.detections.engine.compiled import CompiledRule
from services.siem.detections.engine.literals import Trigger, best_group

#: What JSON escapes, and what is no ASCII, may be written in another way in a raw event.
_PLAIN_RUNS = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
#: The store searches for so many texts at once.
MAX_NEEDLES = 255


@dataclass(frozen=True, slots=True)
class Prefilter:
    """`sources` must all be in the log source, and one of `needles` in the event's texts, where there are any."""

    sources: tuple[str, ...]
    needles: tuple[str, ...]


def prefilter(rule: CompiledRule) -> Prefilter:
    """What every event has that the rule matches."""
    sources = tuple(
        f"|{part.lower().replace(' ', '_')}|" for part in (rule.product, rule.category, rule.service) if part
    )
    return Prefilter(sources, _needles(rule))


def _needles(rule: CompiledRule) -> tuple[str, ...]:
    group = None if rule.condition is None else best_group(rule.condition, Counter[Trigger]())
    if group is None:
        return ()
    needles = {max(_PLAIN_RUNS.findall(trigger.text), key=len, default="") for trigger in group}
    return () if "" in needles or len(needles) > MAX_NEEDLES else tuple(sorted(needles))


def progress(since: datetime, until: datetime, position: datetime) -> float:
    """The share of a range that lies before `position`, 0 to 1."""
    whole = (until - since).total_seconds()
    return 1.0 if whole <= 0 else min(1.0, max(0.0, (position - since).total_seconds() / whole))
