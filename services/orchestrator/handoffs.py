"""What investigations hand to dispatch and get back: a call to make, and a call as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.contracts.agents import Budget, Handoff
from shared.contracts.fleet import ToolCall
from shared.contracts.investigations import DispatchRecord


@dataclass(frozen=True, slots=True)
class NewDispatch:
    """A call to make. `capabilities` are the permissions its tools may use; `budget` is the settings' when None. A call
    that an investigation leaves out is stored too, with the reason in `skipped`."""

    id: str
    agent: str
    method: str
    params: dict[str, Any]
    reason: str
    requested_by: str
    capabilities: Sequence[str]
    investigation_id: str | None = None
    round: int = 1
    budget: Budget | None = None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A dispatch as it stands: its record, the handoff that was sent (if any), what its tools may use and spend."""

    record: DispatchRecord
    handoff: Handoff | None
    capabilities: list[str]
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class KeptCall:
    """A tool call that is kept; `delivered`: the answer of its handoff rests on it."""

    call: ToolCall
    delivered: bool
