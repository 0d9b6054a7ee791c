"""Replays: an investigation run again over its recorded tool results, and where it came out differently."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.contracts.common import Verdict
from shared.contracts.constants import INVESTIGATIONS_WRITE, Endpoint
from shared.contracts.fleet import ToolCallId
from shared.errors import CONFLICT, NOT_FOUND, UNAVAILABLE


class Difference(msgspec.Struct, kw_only=True):
    """The first place where the two differ, and what stands there; null where nothing does. Long texts are cut."""

    path: str
    recorded: Any
    replayed: Any


class UnrecordedCall(msgspec.Struct, kw_only=True):
    """A tool call that the replay wanted and the record doesn't have."""

    tool: str
    arguments: dict[str, Any]


class StepReplay(msgspec.Struct, kw_only=True):
    """One specialist asked again. `failed`: it gave no answer now, `error` says why; `skipped`: it had given none then.
    `altered` are the records whose content isn't what their address says. A version names the code and the knowledge
    that judged; it is empty where nobody knows it."""

    step_id: str
    agent: str
    method: str
    status: Literal["identical", "different", "failed", "skipped"]
    version_then: str
    version_now: str
    difference: Difference | None = None
    unrecorded: list[UnrecordedCall] = []
    altered: list[ToolCallId] = []
    error: str | None = None


class InvestigationReplay(msgspec.Struct, kw_only=True):
    """`identical`: every answer and the outcome are the same bytes as canonical JSON, and no record was altered.
    `difference` is of the outcome."""

    investigation_id: str
    identical: bool
    verdict: Verdict | None
    replayed_verdict: Verdict | None
    steps: list[StepReplay]
    difference: Difference | None


REPLAY_INVESTIGATION = Endpoint(
    "POST",
    "/api/v1/investigations/{investigation_id}/replay",
    INVESTIGATIONS_WRITE,
    service="orchestrator",
    summary="Run an investigation again over its recorded tool results",
    returns=InvestigationReplay,
    errors=(NOT_FOUND, CONFLICT, UNAVAILABLE),
    tag="Investigations",
    # Specialists are asked one after the other; each has its minute.
    timeout_seconds=310.0,
)
