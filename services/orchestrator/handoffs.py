"""What investigations hand to dispatch and get back: a call to make, and a call as it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.contracts.agents import Handoff
from shared.contracts.investigations import DispatchRecord


@dataclass(frozen=True, slots=True)
class NewDispatch:
    """A call to make. `capabilities` are the permissions its tools may use."""

    id: str
    agent: str
    method: str
    params: dict[str, Any]
    reason: str
    requested_by: str
    capabilities: Sequence[str]
    investigation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A dispatch as it stands: its record, the handoff that was sent (if any), and what its tools may use."""

    record: DispatchRecord
    handoff: Handoff | None
    capabilities: list[str]
