"""What correlations hand to detection: windows that fired, as matches, and the alert to raise for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.siem.draft import Draft


@dataclass(frozen=True, slots=True)
class Hit:
    """A window that fired, as a match of its correlation with the event at its end.

    `known_at` is when it could be known at the earliest: the arrival of what completed it, or the end of the stretch
    that had to be complete. `group` has the values of the group-by fields. `suppression_id` hides it.
    """

    rule_id: str
    log_id: str
    timestamp: datetime
    known_at: datetime
    group: dict[str, str]
    suppression_id: UUID | None
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class Correlated:
    """The windows of one group that fired now; without `draft` they raise nothing."""

    rule_id: str
    draft: Draft | None
    hits: list[Hit]
