"""The orchestrator's settings, read from the environment by shared.config."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OrchestratorSettings:
    """Times in seconds."""

    siem_url: str = "http://127.0.0.1:5081"
    # agent id -> WebSocket URL
    agent_urls: dict[str, str] | None = None
    # investigations run at the same time by one process
    parallel_investigations: int = 4
    # one specialist's time for one call; then the investigation goes on without it
    step_seconds: float = 60.0
    # tool calls a specialist may make for one handoff
    step_tool_calls: int = 40
    # what the specialists of one round may spend together: tool calls, and seconds of each of them added up
    round_tool_calls: int = 300
    round_seconds: float = 300.0
    # how long an unreachable specialist is tried before its step counts as failed
    unreachable_seconds: float = 30.0
    # a claimed investigation whose process stops renewing is taken over after this
    lease_seconds: float = 10.0
    # an alert joins an investigation whose alerts were seen so near to it
    join_seconds: float = 1800.0
    # and which is open, or ended no longer ago than this
    join_ended_seconds: float = 600.0
    # an investigation goes on for an alert that was seen again this long after its end; each further round doubles it
    continue_seconds: float = 20.0
    # days that tool calls are kept; what an investigation rests on is part of it and stays
    tool_call_days: int = 90
    # what stored samples may take together, in GiB; then no more are taken
    samples_gib: int = 10
